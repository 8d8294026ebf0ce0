"""What is released must answer as what was trained, say what it is, and reject what it knows nothing about."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import ROOT, program
from drawn_films import chest, shrunk
from PIL import Image
from scipy.special import expit, logit
from torch import nn

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.release.build import FP32, INT8, answer_all
from cxr_distill.release.graph import Screener, to_onnx, with_facts
from cxr_distill.release.strangers import ALTERED, ALTERED_UNSEEN, DRAWN, DRAWN_UNSEEN, alter_films, draw_strangers
from cxr_distill.release.temperature import fit_temperature
from cxr_distill.release.typicality import Typicality
from cxr_distill.screen.facts import Facts, read_facts
from cxr_distill.screen.session import Model
from demo.workspace import make_workspace

FACTS = Facts(32, ("normal", "bacterial", "viral"), 0.5, 2.0, -1.0, -2.0, "data", "weights", "fp32")


@pytest.mark.parametrize("arch", [pytest.param("plain", marks=pytest.mark.slow), "residual"])
def test_the_graph_answers_as_the_student_does(arch: str, drawn_student, drawn_tensors: np.ndarray) -> None:
    student = drawn_student(arch)
    model = Model(with_facts(to_onnx(Screener(student, Typicality(32), 2.0), size=32), FACTS))
    answers = answer_all(model, drawn_tensors)
    logits = predict_logits(student, drawn_tensors)
    p = p_pneumonia(logits)
    assert np.ptp(p) > 0.1  # with equal answers for all films, equality would say nothing
    assert np.abs(answers.p_pneumonia - p).max() < 1e-5
    assert np.abs(answers.probabilities - torch.from_numpy(logits).softmax(1).numpy()).max() < 1e-5
    assert np.abs(answers.p_calibrated - expit(logit(p) / 2)).max() < 1e-5

    # The map's mean is the log odds, but for the head's biases, the operating point and the entropy of the subtypes.
    head = next(module for module in student.modules() if isinstance(module, nn.Linear))
    bias = head.bias.detach().numpy()
    shares = answers.probabilities[:, 1:] / answers.probabilities[:, 1:].sum(axis=1, keepdims=True)
    entropy = -(shares * np.log(shares)).sum(axis=1)
    terms = shares @ bias[1:] - bias[0] - student[-1].normal.item() + entropy
    assert np.abs(answers.activation.mean(axis=(1, 2)) + terms - logit(p)).max() < 1e-3


@pytest.mark.slow
def test_a_probability_is_at_most_1_however_sure_the_student_is(drawn_student, drawn_tensors: np.ndarray) -> None:
    student = deepcopy(drawn_student("residual"))
    with torch.no_grad():
        next(module for module in student.modules() if isinstance(module, nn.Linear)).bias[0] = -100
    model = Model(with_facts(to_onnx(Screener(student, Typicality(32), 2.0), size=32), FACTS))
    raw = model.session.run(["p_pneumonia"], {"image": drawn_tensors.astype(np.float32)})[0]
    assert raw.max() > 1 and model(drawn_tensors).p_pneumonia.max() == 1


def test_a_release_says_what_it_is_and_nothing_about_where_it_was_made(released: dict[str, bytes]) -> None:
    for name, precision in ((FP32, "fp32"), (INT8, "int8")):
        facts = Model(released[name]).facts
        assert facts.precision == precision and facts.dataset_sha256 == "data" and facts.image_size == 32
        assert read_facts(facts.to_json()) == facts
        assert not any(word in released[name] for word in (str(ROOT).encode(), b"site-packages", b"/tmp"))


def test_int8_stays_close_and_rejects_alike(released: dict[str, bytes], drawn_tensors: np.ndarray) -> None:
    whole, small = (answer_all(Model(released[name]), drawn_tensors) for name in (FP32, INT8))
    assert 0 < np.abs(whole.p_pneumonia - small.p_pneumonia).max() < 0.1
    assert np.array_equal(whole.typicality, small.typicality)


def test_one_image_alone_gets_the_answer_that_it_gets_in_a_batch(
    released: dict[str, bytes], drawn_tensors: np.ndarray
) -> None:
    model = Model(released[FP32])
    together, alone = model(drawn_tensors[:5]), model(drawn_tensors[3:4])
    assert all(np.allclose(all_[3], one[0], atol=1e-5) for all_, one in zip(together, alone, strict=True))


@pytest.mark.parametrize(
    "change",
    [{"format": 1}, {"classes": None}, {"more": 1}, {"chest_threshold": None}, {"typicality_threshold": float("nan")}],
)
def test_damaged_facts_are_one_clear_error(change: dict) -> None:
    with pytest.raises(CxrError, match="model"):
        read_facts(json.dumps(json.loads(FACTS.to_json()) | change))


def test_strangers_are_rejected_and_films_are_not(released: dict[str, bytes]) -> None:
    model = Model(released[FP32])
    films = np.stack([shrunk(chest(seed)) for seed in range(700, 720)])
    typical = answer_all(model, films).typicality >= model.facts.typicality_threshold
    assert typical.mean() >= 0.8
    strangers = draw_strangers(DRAWN | DRAWN_UNSEEN, count=4, size=32, seed=0)
    strangers |= alter_films(ALTERED | ALTERED_UNSEEN, films[typical][:4])
    assert len(strangers) == 26
    rejected = [answer_all(model, p).typicality < model.facts.typicality_threshold for p in strangers.values()]
    assert np.mean(rejected) >= 0.95
    lower = model.facts.chest_threshold
    assert lower < model.facts.typicality_threshold and (answer_all(model, films).typicality >= lower).mean() >= 0.95
    assert np.mean([answer_all(model, p).typicality < lower for p in strangers.values()]) >= 0.7


def test_turning_a_picture_turns_what_the_score_compares_it_with(drawn_tensors: np.ndarray) -> None:
    torch.manual_seed(0)
    score = Typicality(32)
    score.whiten.copy_(torch.rand_like(score.whiten))
    score.mean.copy_(torch.rand_like(score.mean))
    images = torch.from_numpy(drawn_tensors[:3]).float()
    expected = [images, images.rot90(1, (1, 2)), images.rot90(-1, (1, 2)), images.rot90(2, (1, 2)), 255 - images]
    for column, image in enumerate(expected):
        assert torch.allclose(score.distances(images)[:, column], score.distances(image)[:, 0], rtol=1e-4)


def test_temperature_undoes_overconfidence_and_keeps_a_half() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(0, 2, 20_000)
    labels = (random.uniform(size=truth.shape) < expit(truth)).astype(np.int64)
    found = fit_temperature(expit(3 * truth), labels)
    assert found == pytest.approx(3, rel=0.05)
    rows = np.repeat(np.arange(len(labels)), np.where(labels == 1, 4, 1))  # with any share of pneumonia, as with half
    assert fit_temperature(expit(3 * truth)[rows], labels[rows]) == pytest.approx(found, abs=1e-3)
    assert np.isfinite(fit_temperature(labels.astype(np.float64), labels))


@pytest.mark.slow
def test_the_wheel_screens_with_its_own_model(released: dict[str, bytes], tmp_path: Path) -> None:
    make_workspace(tmp_path / "repo", {})
    (tmp_path / "repo/release").mkdir()
    for name, content in released.items():
        (tmp_path / "repo/release" / name).write_bytes(content)
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=tmp_path / "repo", check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    content = zipfile.ZipFile(wheel)
    assert not [name for name in content.namelist() if not name.startswith(("cxr_distill/", "cxr_distill-"))]
    needs = content.read(next(name for name in content.namelist() if name.endswith("METADATA"))).decode()
    required = [
        line.split()[1] for line in needs.splitlines() if line.startswith("Requires-Dist") and "extra" not in line
    ]
    assert {name.split(">")[0] for name in required} == {"jinja2", "numpy", "onnxruntime", "pillow", "pydicom", "tqdm"}
    content.extractall(tmp_path / "installed")
    Image.fromarray(chest()).save(tmp_path / "film.png")
    result = run_installed(tmp_path, "main", "cxr_distill.screen.command", "--json", "--no-reject", "film.png")
    assert result.returncode == 0 and 0 <= json.loads(result.stdout)["p_pneumonia"] <= 1
    needs_an_extra = "cxr_distill/site/picture.py"
    modules = [
        name.removesuffix(".py").replace("/", ".")
        for name in content.namelist()
        if name.endswith(".py") and name != needs_an_extra
    ]
    assert {"cxr_distill.base.files", "cxr_distill.films.pixels", "cxr_distill.screen.command"} <= set(modules)
    for number in range(60):
        folder = tmp_path / ("NORMAL", "PNEUMONIA")[number % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(chest(number)).save(folder / f"{number}.png")
    result = run_installed(tmp_path, "main", "cxr_distill.site.command", ".", "-o", "evaluation")
    assert result.returncode == 0 and "For a picture: pip install" in result.stdout, result.stderr
    assert (tmp_path / "evaluation/report.md").exists() and not (tmp_path / "evaluation/evaluation.png").exists()
    result = run_installed(tmp_path, "import", *(module.removesuffix(".__init__") for module in modules))
    assert result.returncode == 0, result.stderr


def run_installed(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """tests/programs/installed.py with these words and the unpacked wheel in `folder`/installed."""
    return subprocess.run(program("installed", *words), cwd=folder, capture_output=True, text=True, timeout=60)
