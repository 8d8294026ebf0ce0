"""What the repository promises of its release, held against the committed graphs, figures and reports.

No X-ray image may be committed, so drawn chests go through the graphs. A model of real films rejects many of them.
Nothing here therefore asks for a right answer, only that the answers agree with each other, with the facts in the file
and with the documentation.
"""

import hashlib
import json
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import ROOT
from numpy.typing import NDArray
from PIL import Image
from scipy.special import entr, expit, logit

from benchmarks import latency
from benchmarks import run as run_benchmark
from cxr_distill.base.files import file_sha256
from cxr_distill.data.phantom import draw_film
from cxr_distill.films.formats import read_film
from cxr_distill.films.pixels import squash
from cxr_distill.release.build import FP32, INT8
from cxr_distill.report.committed import read_committed
from cxr_distill.screen.command import ALL_SCREENED, main
from cxr_distill.screen.session import Model, load_model

RELEASE = ROOT / "release"
NAMES = ("IM-0001-0001.jpeg", "person1_bacteria_1.jpeg", "person1_virus_1.jpeg")
DIGEST = re.compile(r"\b[0-9a-f]{12}\b")
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return read_committed(ROOT / "reports/release.json")


@pytest.fixture(scope="module")
def models() -> dict[str, Model]:
    return {name: load_model(RELEASE / name) for name in (FP32, INT8)}


@pytest.fixture(scope="module")
def films() -> list[bytes]:
    """Twelve drawn chests as JPEG files, four of each class."""
    return [draw_film(NAMES[number % 3], np.random.default_rng([3, number])).jpeg for number in range(12)]


@pytest.fixture(scope="module")
def upright(films: list[bytes], models: dict[str, Model]) -> Pixels:
    """The same as the graphs take them, uint8 (12, S, S)."""
    return np.stack([squash(read_film(film), size=models[FP32].facts.image_size) for film in films])


@pytest.fixture(scope="module")
def altered(upright: Pixels) -> dict[str, Pixels]:
    """Pictures of the same shape that no model may take for an upright film."""
    return {
        "negative": 255 - upright,
        "upside down": np.rot90(upright, 2, (1, 2)),
        "turned left": np.rot90(upright, 1, (1, 2)),
        "turned right": np.rot90(upright, -1, (1, 2)),
        "noise": np.random.default_rng(0).integers(0, 256, upright.shape, dtype=np.uint8),
        "flat": np.full_like(upright, 128),
    }


def test_the_release_answers_as_the_evaluated_student(figures: dict[str, Any]) -> None:
    evaluated = read_committed(ROOT / "metrics/distilled.json")["test"]
    fp32, int8 = figures["fp32"], figures["int8"]
    assert fp32["largest_change"] <= 1e-5 and fp32["decisions_changed"] == 0
    assert (fp32["accuracy"], fp32["auroc"]) == (evaluated["accuracy"], evaluated["auroc"])
    assert abs(int8["accuracy_change"]) <= 0.005 and abs(int8["auroc_change"]) <= 0.003


def test_films_pass_and_other_pictures_do_not(figures: dict[str, Any]) -> None:
    rejected = figures["rejected"]
    assert rejected["test"] <= 0.02
    assert rejected["strangers_mean"] >= 0.95 and rejected["strangers_unseen_mean"] >= 0.95
    chest = figures["no_chest_film"]
    assert chest["test"] <= 0.005 and chest["strangers_unseen_mean"] >= 0.8


def test_the_committed_files_are_those_that_the_pipeline_made() -> None:
    """A graph of another run would answer just as smoothly, and the figures beside it would be of something else."""
    lock = yaml.safe_load((ROOT / "dvc.lock").read_text())["stages"]
    owners = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    made = {
        out["path"]: out["md5"]
        for stage in ("release", "report")
        for out in lock[stage]["outs"]
        if out["path"] in {next(iter(each)) for each in owners[stage]["outs"]}  # as dvc.yaml is today
    }
    found = {str(file.relative_to(ROOT)): hashlib.md5(file.read_bytes()).hexdigest() for file in RELEASE.iterdir()}
    assert found.keys() == {f"release/{name}" for name in (FP32, INT8, "MODEL_CARD.md")}
    assert found == {path: made.get(path) for path in found}
    assert sum(file.stat().st_size for file in RELEASE.iterdir()) < 2_000_000


def test_the_facts_in_the_files_are_the_committed_ones(figures: dict[str, Any], models: dict[str, Model]) -> None:
    evaluation = read_committed(ROOT / "reports/evaluation.json")
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    for name, precision in ((FP32, "fp32"), (INT8, "int8")):
        facts = models[name].facts
        assert facts.precision == precision
        assert facts.image_size == params["preprocess"]["image_size"] == evaluation["dataset"]["image_size"]
        assert facts.temperature == figures["calibration"]["temperature"]
        assert facts.dataset_sha256 == evaluation["dataset"]["archive_sha256"]
        assert facts.weights_sha256 == evaluation["models"]["distilled"]["weights_sha256"]
        assert figures[precision]["megabytes"] == pytest.approx((RELEASE / name).stat().st_size / 1e6, abs=1e-6)


@pytest.mark.parametrize("name", [FP32, INT8])
def test_a_film_gets_finite_and_consistent_answers(
    name: str, models: dict[str, Model], upright: Pixels, altered: dict[str, Pixels]
) -> None:
    model = models[name]
    images = np.concatenate([upright, *altered.values()])
    answers = model(images)
    assert all(np.isfinite(output).all() for output in answers)
    assert answers.probabilities.shape == (len(images), len(model.facts.classes))
    assert np.abs(answers.probabilities.sum(axis=1) - 1).max() < 1e-5 and answers.probabilities.min() >= 0
    normal = answers.probabilities[:, model.facts.classes.index("normal")]
    assert np.abs(answers.p_pneumonia - (1 - normal)).max() < 1e-5
    assert len(set(answers.p_pneumonia.round(4))) > len(upright)  # it looks at the picture
    p = np.clip(answers.p_pneumonia.astype(np.float64), 1e-5, 1 - 1e-5)
    assert np.abs(answers.p_calibrated - expit(logit(p) / model.facts.temperature)).max() < 1e-4
    alone = model(upright[5:6])
    assert all(np.allclose(one[0], together[5], atol=1e-4) for one, together in zip(alone, answers, strict=True))


@pytest.mark.parametrize("name", [FP32, INT8])
def test_the_activation_map_explains_the_probability(
    name: str, models: dict[str, Model], upright: Pixels, altered: dict[str, Pixels]
) -> None:
    """The map's mean is the log odds, apart from the entropy of the subtypes and two constants of the network: a bias
    that all images share, and one in proportion to the share of viral."""
    answers = models[name](np.concatenate([upright, altered["noise"], altered["negative"]]))
    count, height, width = answers.activation.shape
    assert count == len(answers.p_pneumonia) and height > 1 and width > 1
    probabilities = answers.probabilities.astype(np.float64)
    subtypes = probabilities[:, 1:] / probabilities[:, 1:].sum(axis=1, keepdims=True)
    log_odds = np.log(probabilities[:, 1:].sum(axis=1)) - np.log(probabilities[:, 0])
    rest = log_odds - entr(subtypes).sum(axis=1) - answers.activation.mean(axis=(1, 2))
    constants = np.stack([np.ones(count), subtypes[:, 1]], axis=1)
    fitted = constants @ np.linalg.lstsq(constants, rest, rcond=None)[0]
    assert np.abs(rest - fitted).max() < 1e-3
    assert np.ptp(log_odds) > 0.1  # or equality says nothing


def test_int8_stays_close_to_fp32(models: dict[str, Model], upright: Pixels) -> None:
    whole, small = models[FP32](upright), models[INT8](upright)
    assert 0 < np.abs(whole.p_pneumonia - small.p_pneumonia).max() < 0.1
    assert np.array_equal(whole.typicality, small.typicality)


@pytest.mark.parametrize("name", [FP32, INT8])
def test_what_is_no_upright_film_is_rejected(
    name: str, models: dict[str, Model], upright: Pixels, altered: dict[str, Pixels]
) -> None:
    model = models[name]
    typicality = model(upright).typicality
    for kind, pictures in altered.items():
        found = model(np.ascontiguousarray(pictures)).typicality
        assert (found < model.facts.typicality_threshold).all(), kind
        assert (found < typicality).mean() >= 0.9, f"{kind}: not less typical than the same films upright"


@pytest.mark.parametrize(("name", "words"), [(FP32, []), (INT8, ["--int8"])])
def test_the_command_says_what_the_committed_graph_says(
    name: str,
    words: list[str],
    models: dict[str, Model],
    films: list[bytes],
    upright: Pixels,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "film.jpeg").write_bytes(films[0])
    status = main([*words, "--json", "--no-reject", "--heatmap", str(tmp_path), str(tmp_path / "film.jpeg")])
    assert status == ALL_SCREENED
    said = json.loads(capsys.readouterr().out)
    answers = models[name](upright[:1])
    assert said["p_pneumonia"] == pytest.approx(float(answers.p_pneumonia[0]), abs=1e-6)
    assert said["p_calibrated"] == pytest.approx(float(answers.p_calibrated[0]), abs=1e-6)
    assert said["decision"] == ("pneumonia" if said["p_pneumonia"] >= models[name].facts.threshold else "normal")
    with Image.open(tmp_path / "film.jpeg.png") as heat, Image.open(BytesIO(films[0])) as film:
        assert heat.size == film.size


def test_every_report_is_about_the_committed_model_files(models: dict[str, Model]) -> None:
    evaluation = read_committed(ROOT / "reports/evaluation.json")
    weights = {name: model["weights_sha256"][:12] for name, model in evaluation["models"].items()}
    released = {name: file_sha256(RELEASE / name)[:12] for name in (FP32, INT8)}
    known = {*weights.values(), *released.values(), evaluation["dataset"]["archive_sha256"][:12]}
    reports = [RELEASE / "MODEL_CARD.md", *(ROOT / "reports").glob("*.md"), *(ROOT / "study/reports").glob("*.md")]
    named = {report.name: set(DIGEST.findall(report.read_text())) for report in reports}
    assert {name: digests - known for name, digests in named.items() if digests - known} == {}
    assert named["MODEL_CARD.md"] >= {*released.values(), weights["distilled"]}
    assert named["latency.md"] >= {*released.values(), weights["distilled"], weights["teacher"]}
    assert named["comparison.md"] >= set(weights.values())


def test_latency_without_models_is_one_clear_line_and_leaves_the_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report, model = tmp_path / "latency.md", tmp_path / "models/teacher.safetensors"
    report.write_text("as it was")
    for name, value in (("ROOT", tmp_path), ("REPORT", report), ("MEASURED", [model])):
        monkeypatch.setattr(latency, name, value)
    with pytest.raises(SystemExit, match=r"^error: models/teacher.safetensors missing; run `dvc repro`[^\n]*$"):
        run_benchmark(latency.main)
    assert report.read_text() == "as it was"
