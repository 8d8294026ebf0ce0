"""The study: its arithmetic on cases with known answers, and the whole of it by real DVC on tiny phantoms."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, ran, run
from PIL import Image
from scipy.special import softmax
from test_dag import files_of, loaded_sections, reached
from test_training import STUDENT, TEACHER, TRAIN

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.data.archive import list_images, open_archive
from cxr_distill.data.params import SplitCounts
from cxr_distill.data.phantom import write_archive
from cxr_distill.distill.losses import distillation_losses
from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation.bootstrap import Estimate, mean_by_patient
from cxr_distill.evaluation.geometry import geometry_model
from cxr_distill.evaluation.metrics import Scored, calibration_error, expected_calibration_error
from cxr_distill.films.pixels import squash
from cxr_distill.nets.common.views import network_input
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.teacher.network import build_teacher
from cxr_distill.release.calibration import fit_temperature
from cxr_distill.study.answers.report import Source, study_markdown
from cxr_distill.study.answers.statistics import (
    auroc_within,
    brier,
    effective_alpha,
    over_seeds,
    scaled,
    seed_picks,
    strata_of,
    threshold_for_prevalence,
)
from cxr_distill.study.checks.maps import activation_maps, overlap, rank_correlation
from cxr_distill.study.checks.originals import FRAMINGS, films_of
from cxr_distill.study.checks.shortcuts import oriented_gradients, thumbnails

PIPELINE = yaml.safe_load((ROOT / "study/dvc.yaml").read_text())["stages"]


def scored(labels: list[int], probabilities: list[float]) -> Scored:
    return Scored(np.array(labels), np.array(probabilities), np.arange(len(labels)).astype(str))


def test_the_blogs_loss_at_its_alpha_is_hintons_at_the_effective_one() -> None:
    assert effective_alpha(0.25, 1.0, classes=2) == pytest.approx(1 / 7)
    assert effective_alpha(0.75, 4.0, classes=2) == pytest.approx(0.0857, abs=1e-4)
    assert effective_alpha(0.0, 2.0, classes=2) == 0 and effective_alpha(1.0, 4.0, classes=2) == 1
    student, teacher = torch.randn(2, 16, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(16) % 2
    blog = distillation_losses(student, teacher, labels, DistillParams(alpha=0.75, temperature=4.0, loss="blog"))
    alpha = effective_alpha(0.75, 4.0, classes=2)
    hinton = distillation_losses(student, teacher, labels, DistillParams(alpha=alpha, temperature=4.0, loss="hinton"))
    assert float(blog["loss"]) == pytest.approx((1 - 0.75) / (1 - alpha) * float(hinton["loss"]), rel=1e-5)


def test_seeds_and_patients_are_resampled_together() -> None:
    # Patients that never vary: the interval is that of the mean of seeds drawn with replacement.
    draws = [Estimate(value, np.full(20_000, value)) for value in (0.0, 1.0)]
    picks = seed_picks(2, resamples=20_000, seed=0)
    both = over_seeds(draws, picks)
    assert both.draw.value == 0.5 and both.summary()["sd"] == pytest.approx(np.sqrt(0.5), abs=1e-6)
    assert [np.mean(both.draw.resamples == value) for value in (0, 0.5, 1)] == pytest.approx(
        [0.25, 0.5, 0.25], abs=0.02
    )
    # Seeds that never vary: the patients' resamples come through as they are.
    patients = Estimate(0.3, np.linspace(0, 1, 20_000))
    assert np.allclose(over_seeds([patients, patients], picks).draw.resamples, patients.resamples)
    # A constant gain of every seed has no uncertainty once paired.
    better = over_seeds([Estimate(d.value + 0.1, d.resamples + 0.1) for d in draws], picks)
    assert (better.draw - both.draw).summary() == {"value": 0.1, "low": 0.1, "high": 0.1}


def test_whole_patients_are_resampled_in_a_mean() -> None:
    values, patients = np.array([1.0, 1.0, 0.0, 0.0]), np.array(["a", "a", "b", "b"])
    drawn = mean_by_patient(values, patients, resamples=4000, seed=0)
    assert drawn.value == 0.5 and set(drawn.resamples) == {0.0, 0.5, 1.0}


def test_prevalence_threshold_calls_as_many_as_have_it() -> None:
    one = scored([1, 0, 1, 0, 0], [0.2, 0.9, 0.7, 0.1, 0.3])
    assert (one.probabilities >= threshold_for_prevalence(one)).sum() == 2


def test_temperature_scaling_finds_the_temperature_that_made_the_odds_too_bold() -> None:
    random = np.random.default_rng(0)
    odds = random.normal(0, 2, 20_000)
    labels = (random.random(20_000) < 1 / (1 + np.exp(-odds))).astype(int)
    bold = Scored(labels, 1 / (1 + np.exp(-3 * odds)), labels)
    assert fit_temperature(bold.probabilities, bold.labels) == pytest.approx(3, abs=0.1)
    mild = scaled(bold, 3.0)
    ones = np.ones((1, len(labels)))
    assert calibration_error(mild, ones)[0] < 0.02 < calibration_error(bold, ones)[0]
    assert brier(mild, ones)[0] < brier(bold, ones)[0]
    assert ((mild.probabilities >= 0.5) == (bold.probabilities >= 0.5)).all()
    assert calibration_error(bold, ones)[0] == pytest.approx(expected_calibration_error(bold))


def test_a_ranking_by_strata_alone_tells_nothing_within_them() -> None:
    strata = np.repeat([0, 1], 4)
    labels = [0, 0, 0, 1, 0, 1, 1, 1]
    ones = np.ones((1, 8))
    assert auroc_within(strata)(scored(labels, (0.2 + 0.5 * strata).tolist()), ones)[0] == 0.5
    assert auroc_within(strata)(scored(labels, [0.1, 0.1, 0.1, 0.2, 0.8, 0.9, 0.9, 0.9]), ones)[0] == 1
    one_class = auroc_within(strata)(scored([0, 0, 0, 0, 0, 0, 1, 1], [0.9, 0.9, 0.9, 0.9, 0.1, 0.2, 0.3, 0.4]), ones)
    assert one_class[0] == 1
    assert np.bincount(strata_of(np.arange(10.0), strata=5)).tolist() == [2] * 5


@pytest.mark.parametrize("arch", ["plain", "residual", "teacher"])
def test_an_activation_map_sums_up_to_what_the_network_says(arch: str) -> None:
    net = build_teacher(TEACHER) if arch == "teacher" else build_student(STUDENT.model_copy(update={"arch": arch}))
    net.eval()
    net[-1].normal.fill_(0.7)
    maps, sums = activation_maps(net, TRAIN.pixels[:6])
    with torch.inference_mode():
        logits = net(network_input(torch.from_numpy(TRAIN.pixels[:6]))).numpy()
    shares = softmax(logits[:, 1:], axis=1)
    said = (shares * logits[:, 1:]).sum(axis=1) - logits[:, 0]
    assert np.allclose(maps.mean(axis=(1, 2)), said, atol=1e-5) and np.allclose(sums, said, atol=1e-5)
    # Exact, not only on average: features summed with the weights of the last layer, bias and operating point apart.
    if arch != "teacher":
        with torch.inference_mode():
            features = net[:-4](network_input(torch.from_numpy(TRAIN.pixels[:6]))).numpy()
        weights = shares @ net[-2].weight.detach().numpy()[1:] - net[-2].weight.detach().numpy()[0]
        evidence = np.einsum("bchw,bc->bhw", features, weights)
        offset = (maps - evidence).reshape(6, -1)
        assert np.allclose(offset, offset[:, :1], atol=1e-5)


def test_a_network_without_pooling_before_its_last_layer_has_no_map() -> None:
    with pytest.raises(CxrError, match="class activation maps"):
        activation_maps(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(576, 3)), TRAIN.pixels[:2])


def test_maps_overlap_with_themselves_and_not_with_their_opposite() -> None:
    maps = np.random.default_rng(0).random((3, 10, 10))
    assert np.allclose(overlap(maps, maps), 1) and np.allclose(overlap(maps, -maps), 0)
    assert np.allclose(rank_correlation(maps, maps), 1) and np.allclose(rank_correlation(maps, -maps), -1)
    assert np.allclose(rank_correlation(maps, np.ones_like(maps)), 0)


def test_geometry_alone_finds_what_only_sizes_tell() -> None:
    labels = np.tile([0, 1], 20)
    sizes = np.stack([1000 + 500.0 * labels, np.full(40, 900.0)], axis=1) + np.arange(40)[:, None]
    sizes[5] = np.nan
    p = geometry_model(sizes, labels, np.isfinite(sizes).all(axis=1))
    assert np.isnan(p[5]) and (np.delete(p, 5)[np.delete(labels, 5) == 1].min() > 0.5 > p[0])


def test_features_without_a_network_do_not_know_exposure() -> None:
    image = np.random.default_rng(0).integers(0, 100, (1, 40, 40), dtype=np.uint8)
    assert np.allclose(thumbnails(image), thumbnails(image + 50), atol=1e-6)
    assert np.allclose(oriented_gradients(image), oriented_gradients(image + 50))
    stripes = np.tile(np.arange(40, dtype=np.uint8) * 5, (1, 40, 1))
    turned = stripes.transpose(0, 2, 1)
    assert not np.allclose(oriented_gradients(stripes), oriented_gradients(turned))


def test_a_wide_film_is_cut_barred_or_squashed() -> None:
    film = np.zeros((20, 40), np.uint8)
    film[:, 10:30] = 200
    ways = ("crop", "letterbox", "squash")
    crop, letterbox, squashed = (squash(FRAMINGS[way](Image.fromarray(film)), size=20) for way in ways)
    assert (crop == 200).all()
    assert letterbox[0].max() == 0 and letterbox[10, 10] == 200
    assert squashed[0, 0] == 0 and squashed[0, 10] == 200


def test_originals_are_asked_for_where_the_archive_holds_copies_of_one_size(tmp_path: Path) -> None:
    counts = SplitCounts(**{split: {"NORMAL": 2, "PNEUMONIA": 2} for split in ("train", "val", "test")})
    archive = tmp_path / "archive.zip"
    write_archive(archive, counts, seed=0)
    with open_archive(archive) as zipped:
        entries = list_images(zipped, {})
    index = pd.DataFrame({"file": [e.file for e in entries], "split": [e.folder for e in entries]})
    copies = index.assign(width=224, height=224)
    with pytest.raises(CxrError, match=r"set CXR_ORIGINALS=/path/to/originals\.zip"):
        films_of(copies, archive, None)
    assert films_of(copies, archive, archive)["file"].tolist() == index["file"].tolist()
    own = films_of(copies.assign(width=np.arange(len(index))), archive, None)
    assert set(own["split"]) == {"test"} and len(own) == 4
    with pytest.raises(CxrError, match="holds no image"):
        films_of(copies.assign(file="train/NORMAL/IM-9999-0001.jpeg"), archive, archive)


@pytest.mark.parametrize("stage", PIPELINE)
def test_deps_of_the_study_name_every_file_that_a_stage_imports_and_nothing_else(stage: str) -> None:
    definition = PIPELINE[stage]
    code = [dep for dep in definition["deps"] if dep.startswith(("src/", "../stages/"))]
    named = {dep: files_of(dep.removeprefix("../")) for dep in code}
    module = definition["cmd"].split()[-1]
    assert reached(module) <= set().union(*named.values())
    assert [dep for dep, files in named.items() if not files & reached(module)] == []
    params = [str(key).split(".")[0] for entry in definition.get("params", []) for key in entry["../params.yaml"]]
    assert loaded_sections(module) <= set(params)
    assert ("params.yaml" in definition["deps"]) == (
        "read_sections" in (ROOT / f"{module.replace('.', '/')}.py").read_text()
    )


def test_the_study_keeps_to_its_budgets() -> None:
    assert len((ROOT / "study/dvc.yaml").read_text().splitlines()) <= 120
    assert (ROOT / "study/src").is_symlink() and (ROOT / "study/src").readlink() == Path("../src")
    lock = ROOT / "study/dvc.lock"
    assert len(lock.read_text().splitlines()) <= 400
    metrics = json.loads((ROOT / "study/metrics.json").read_text())
    assert {name: list(values) for name, values in metrics.items()} == {
        "student": ["parameters", "seeds", "accuracy", "auroc"],
        "gain_over_baseline": ["accuracy", "auroc"],
        "teacher": ["accuracy", "auroc"],
    }


def test_the_report_names_the_steps_that_hurt_beside_those_that_helped() -> None:
    figures = json.loads((ROOT / "study/results.json").read_text())
    for name, value in (("ablation_02_residual", -0.04), ("ablation_05_views", 0.04), ("ablation_04_balanced", 0.0)):
        figures["ablation"][name]["step"]["auroc"] = {"value": value, "low": value - 0.01, "high": value + 0.01}
    models = {name: {"weights_sha256": "0" * 64} for name in ("teacher", "baseline", "distilled")}
    dataset = {"image_size": 96, "archive_sha256": "0" * 64}
    trained = {"precision": "32-true", "processor": "any"}
    report = study_markdown(figures, Source(dataset, "residual", models, trained, synthetic=False))
    raised, lowered, other = (
        next(line for line in report.splitlines() if start in line)
        for start in ("raised AUROC", "lowered AUROC", "For the other steps")
    )
    assert "views +0.040 [+0.030, +0.050]" in raised and "residual -0.040 [-0.050, -0.030]" in lowered
    assert "balanced" in other and "views" not in other


@pytest.fixture(scope="module")
def repo(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished pipeline on phantoms with a tiny study beside it, which has run and is committed."""
    folder = tmp_path_factory.mktemp("study") / "repo"
    run(finished, "git", "checkout", "-q", "-f", "main")
    run(finished, "git", "clean", "-fdq")
    run(finished, "dvc", "checkout", "-f", "-q")
    shutil.copytree(finished, folder, symlinks=True)
    (folder / "study").mkdir()
    for name in ("dvc.yaml", "geometry.csv", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / "study" / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "study" / name, folder / "study" / name)
    (folder / "study/src").symlink_to("../src")
    shutil.copy(ROOT / "demo/tiny_study.yaml", folder / "study/params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_CELL_STORE", str(folder.parent / "store"))
        output = run(folder / "study", "dvc", "repro")
        assert ran(output) == ["checks", "shortcuts", "cells", "report"] and "cells: 0 of 13 are in" in output
        run(folder, "git", "add", "-A")
        run(folder, "git", "commit", "-qm", "study")
        yield folder


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from leaves(value)
    else:
        yield values


def test_the_study_runs_and_answers_every_question_in_finite_figures(repo: Path) -> None:
    figures = json.loads((repo / "study/results.json").read_text())
    assert all(np.isfinite(leaf) for leaf in leaves(figures) if isinstance(leaf, int | float))
    assert set(figures["students"]) == {
        f"{arch}-{kind}" for arch in ("plain", "residual") for kind in ("baseline", "distilled")
    }
    for student in figures["students"].values():
        for metric in ("accuracy", "auroc", "sensitivity", "specificity"):
            each = student[metric]
            assert each["low"] <= each["mean"] <= each["high"] and each["seeds"] == 2 and each["sd"] >= 0
    gain = figures["differences"]["residual"]["distilled_minus_baseline"]["auroc"]
    assert json.loads((repo / "study/metrics.json").read_text())["gain_over_baseline"]["auroc"] == gain
    for section in (
        "calibration",
        "operating_points",
        "subtypes",
        "shortcuts",
        "originals",
        "maps",
        "blog",
        "ablation",
    ):
        assert figures[section]
    point = figures["grid"]["points"]["blog_alpha0.5_T2"]
    assert point["effective_alpha"] == pytest.approx(1 / 9, abs=1e-5)
    # A phantom's copy is its original.
    moved = figures["originals"]["all"]["teacher"]
    assert moved["original_and_copy"]["mean_absolute_change"]["value"] == 0
    assert "up to date" in run(repo / "study", "dvc", "repro", "--dry", "--allow-missing")


def test_the_reports_say_that_they_are_synthetic_and_open_offline(repo: Path) -> None:
    page, report = ((repo / f"study/reports/study.{kind}").read_text() for kind in ("html", "md"))
    assert "SYNTHETIC" in page and report.startswith("# SYNTHETIC") and "## In short" in report
    assert re.search(r'(?:src|href)="(?!data:)(?!\.\./maps\.png)|https?://|@import|url\(', page) is None
    assert page.count('src="data:image/svg+xml;base64,') == 9
    for name in ("seeds.png", "grid.png"):
        assert (repo / "study/reports" / name).read_bytes().startswith(b"\x89PNG")
    for model in ("teacher", "baseline", "distilled"):
        assert f"{model} `{file_sha256(repo / f'models/{model}.safetensors')[:12]}`" in report
    made = {
        "metrics.json",
        "results.json",
        *(f"reports/{n}" for n in ("study.md", "study.html", "seeds.png", "grid.png")),
    }
    given = {".dvc/.gitignore", ".dvc/config", ".dvcignore", "dvc.yaml", "geometry.csv", "params.yaml", "src"}
    tracked = {name for name in run(repo / "study", "git", "ls-files").split() if not name.startswith(".home/")}
    assert tracked == made | given | {"dvc.lock"}


def test_the_pipeline_knows_nothing_of_the_study(repo: Path) -> None:
    assert ran(run(repo, "dvc", "repro", "-P")) == []
    for command in (("stage", "list", "--name-only"), ("dag",), ("metrics", "show")):
        assert "study" not in run(repo, "dvc", *command)


def test_compiled_files_make_no_stage_stale_and_changed_code_does(repo: Path) -> None:
    compiled = repo / "src/cxr_distill/base/__pycache__/errors.cpython.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"compiled")
    for edited, stale in {
        "src/cxr_distill/distill/losses.py": {"cells", "report"},
        "src/cxr_distill/study/answers/plots.py": {"report"},
        "src/cxr_distill/study/checks/maps.py": {"checks", "report"},
        "stages/study/shortcuts.py": {"shortcuts", "report"},
        "stages/compare.py": set(),
    }.items():
        path = repo / edited
        path.write_text(path.read_text() + "# changed\n")
        assert {"report", *ran(run(repo / "study", "dvc", "repro", "--dry"))} == {"report", *stale}, edited
        run(repo, "git", "checkout", "-q", edited)


def test_deleted_outputs_come_back_from_the_store_and_one_changed_cell_costs_one(repo: Path) -> None:
    study, before = repo / "study", (repo / "study/dvc.lock").read_text()
    shutil.rmtree(study / "cells")
    shutil.rmtree(study / ".dvc/cache")
    output = run(study, "dvc", "repro")
    assert "cells: 13 of 13 are in" in output and (study / "dvc.lock").read_text() == before
    params = study / "params.yaml"
    text = params.read_text()
    params.write_text(
        text.replace("alpha: 0.5, temperature: 2.0, loss: hinton", "alpha: 0.5, temperature: 3.0, loss: hinton")
    )
    output = run(study, "dvc", "repro")
    assert ran(output) == ["cells", "report"] and "cells: 12 of 13 are in" in output
    params.write_text(text.replace("grid_blog:", "renamed:"))
    output = run(study, "dvc", "repro")
    assert "cells: 13 of 13 are in" in output
    assert "renamed.safetensors" in names_in(study / "cells") and len(names_in(study / "cells")) == 13
    params.write_text(text)


def test_a_wrong_setting_is_one_line_and_nothing_is_trained_or_lost(repo: Path) -> None:
    params, store = repo / "study/params.yaml", repo.parent / "store"
    text, kept = params.read_text(), names_in(store)
    for old, new, reason in (
        ("grid_alone: {<<: *grid}", "grid_alone: {<<: *grid, epochs: 0}", "study/params.yaml: alone.grid_alone.epochs"),
        (
            "grid_alone: {<<: *grid}",
            "grid_alone: {<<: *grid, pool: 5}",
            "study/params.yaml: grid_alone: pool 5 does not divide",
        ),
        ("  grid_alone: {<<: *grid}\n", "", "study/params.yaml: group grid needs one student in alone"),
    ):
        assert old in text
        params.write_text(text.replace(old, new))
        output = run(repo, "python", "-m", "stages.study.cells", check=False)
        assert f"error: {reason}" in output and "Traceback" not in output and output.strip().count("\n") == 0, output
    params.write_text(text)
    assert names_in(store) == kept and len(names_in(repo / "study/cells")) == 13
