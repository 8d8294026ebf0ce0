"""The study: its arithmetic on cases with known answers, and the whole of it by real DVC on tiny phantoms."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, put_back, ran, run
from deps import files_of, loaded_sections, reached
from PIL import Image
from scipy.special import softmax
from sklearn.metrics import roc_auc_score
from small_training import OURS, STUDENT, TEACHER, TRAIN

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.data.archive import list_images, open_archive
from cxr_distill.data.phantom import write_archive
from cxr_distill.data.source import SplitCounts
from cxr_distill.distill.losses import distillation_losses
from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation.bootstrap import Estimate, mean_by_patient
from cxr_distill.evaluation.geometry import geometry_model
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.evaluation.scores import Scored, calibration_error, expected_calibration_error
from cxr_distill.films.pixels import squash
from cxr_distill.nets.common.activation import activation_maps
from cxr_distill.nets.common.views import network_input
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.teacher.network import build_teacher
from study.checks.maps import overlap, rank_correlation
from study.checks.originals import FRAMINGS, films_of
from study.checks.shortcuts import oriented_gradients, thumbnails
from study.params import read_study
from study.plan.matrix import Main, Student, WholeImages, by_seed, cells_of
from study.report.text import Source, study_markdown
from study.results import questions
from study.results.networks import (
    Network,
    difference,
    measured,
    network_of,
    resampling,
    same_images,
    summaries,
)
from study.results.questions import Asked
from study.results.results import worth_it
from study.results.statistics import (
    auroc_within,
    brier,
    effective_alpha,
    over_seeds,
    scaled,
    seed_coverage,
    seed_picks,
    strata_of,
    threshold_for_prevalence,
)

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


def test_an_interval_over_few_seeds_holds_the_mean_less_often() -> None:
    # The interval over two seeds is that between them, which holds the mean in half of all cases.
    assert seed_coverage(2) == pytest.approx(0.5, abs=0.03)
    assert seed_coverage(2) < seed_coverage(3) < seed_coverage(5) < 0.9


def test_prevalence_threshold_calls_as_many_as_have_it() -> None:
    one = scored([1, 0, 1, 0, 0], [0.2, 0.9, 0.7, 0.1, 0.3])
    assert (one.probabilities >= threshold_for_prevalence(one)).sum() == 2


def test_temperature_scaling_finds_the_temperature_that_made_the_odds_too_bold() -> None:
    random = np.random.default_rng(0)
    odds = random.normal(0, 2, 20_000)
    labels = (random.random(20_000) < 1 / (1 + np.exp(-odds))).astype(int)
    bold = Scored(labels, 1 / (1 + np.exp(-3 * odds)), labels)
    mild = scaled(bold, 3.0)
    ones = np.ones((1, len(labels)))
    assert calibration_error(mild, ones)[0] < 0.02 < calibration_error(bold, ones)[0]
    assert brier(mild, ones)[0] < brier(bold, ones)[0]
    assert ((mild.probabilities >= 0.5) == (bold.probabilities >= 0.5)).all()
    assert calibration_error(bold, ones)[0] == pytest.approx(expected_calibration_error(bold))


def test_a_ranking_by_strata_baseline_tells_nothing_within_them() -> None:
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


def test_geometry_baseline_finds_what_only_sizes_tell() -> None:
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


def network(skill: float, seed: int, *, parameters: int = 100) -> Network:
    """A network whose scores separate the classes by `skill` standard deviations in every place."""
    random = np.random.default_rng(seed)
    scores = {}
    for place, count in {"validation": 120, "test": 160}.items():
        labels = np.arange(count) % 2
        for where in (place, f"{place}_reframed"):
            odds = random.normal(0, 1, count) + skill * (labels - 0.5)
            scores[where] = Scored(labels, 1 / (1 + np.exp(-odds)), np.arange(count).astype(str))
    return Network(**scores, parameters=parameters)


@pytest.fixture(scope="module")
def by_hand() -> Asked:
    """Networks for the tiny study: a teacher of lungs helps the small student, one of films does not, and without views
    it harms."""
    study = read_study(ROOT / "demo/tiny_study.yaml")
    main = Main(STUDENT.model_copy(update={"arch": "residual", "channels": [8, 16, 16]}), "lungs", OURS)
    cells = cells_of(study, main)
    skills = {"lungs": 4.0, "distilled": 4.0, "films": 1.0, "baseline": 1.0}
    networks = {"teacher": network(4, 99, parameters=10_000)}
    for number, (name, cell) in enumerate(cells.items()):
        if isinstance(cell, WholeImages):
            continue
        skill, parameters = 2.0, 10_000
        if isinstance(cell, Student):
            skill, parameters = skills.get(cell.how, 2.0), 100 if cell.student == "residual_4k" else 1000
            if not cell.views and cell.group == "regime":
                skill = {"baseline": 4.0, "distilled": 1.0}[cell.how]
        networks[name] = network(skill, number, parameters=parameters)
    params = EvaluateParams(bootstrap_resamples=300, seed=0, sensitivity_target=0.95)
    return Asked(study, main, cells, networks, resampling(networks["teacher"], params))


MEGABYTES = {key: {"fp32": 0.2, "int8": 0.1} for key in ("residual_10k", "residual_4k")}


def test_the_answers_say_where_a_teacher_is_worth_it_and_which_size_is_enough(by_hand: Asked) -> None:
    figures: dict[str, Any] = {
        "size": questions.size(by_hand, MEGABYTES, {"students": {}}),
        "labels": questions.labels(by_hand, {0.5: {"patients": 5, "films": 6}, 1.0: {"patients": 10, "films": 12}}),
        "regime": questions.regime(by_hand),
        "tuning": questions.tuning(by_hand),
        "taught_by": "lungs",
    }
    found = worth_it(figures)
    cases = ("residual_10k, teacher of lungs", "residual_4k, teacher of lungs",
             "residual_10k, teacher of lungs, against the tuned baseline",
             "residual_4k with 50% of the labels")  # fmt: skip
    helped = [f"{case} (2 seeds)" for case in cases]
    for place in ("test", "test_reframed", "validation_reframed"):
        assert found[place] == {
            "higher": helped,
            "includes_zero": ["residual_4k, teacher of films (2 seeds)"],
            "lower": ["residual_4k without views (2 seeds)"],
        }
    # Both are as good, so that the smaller one is enough; where it is not, the larger one is taken.
    choice = figures["size"]["choice"]
    assert choice["good_enough"] == ["residual_10k", "residual_4k"] and choice["smallest"] == "residual_4k"
    poor = {name: network(1, 7) for name in by_seed(by_hand.cells, "size", "residual_4k", "lungs").values()}
    other = replace(by_hand, networks={**by_hand.networks, **poor})
    assert questions.size(other, MEGABYTES, {"students": {}})["choice"]["smallest"] == "residual_10k"


def test_a_difference_is_paired_by_seed_and_by_patient(by_hand: Asked) -> None:
    one, other = ([network(skill, seed) for seed in (1, 2)] for skill in (2, 3))
    found = [measured(each, by_hand.draws) for each in (one, other)]
    again, turned = (measured(each, by_hand.draws) for each in (one, one[::-1]))
    assert difference(found[0], again)["test"]["auroc"] == {"value": 0, "low": 0, "high": 0}
    unpaired = difference(found[0], turned)["test"]["auroc"]
    assert unpaired["value"] == 0 and unpaired["low"] < 0 < unpaired["high"]
    by_seed = [
        [roc_auc_score(each.test.labels, each.test.probabilities) for each in networks] for networks in (one, other)
    ]
    assert summaries(found[0])["by_seed"]["auroc"] == pytest.approx(by_seed[0], abs=1e-6)
    change = difference(found[1], found[0])["test"]["auroc"]
    assert change["value"] == pytest.approx(np.mean(by_seed[1]) - np.mean(by_seed[0]), abs=1e-6)


def test_networks_of_other_images_are_refused(by_hand: Asked) -> None:
    teacher = by_hand.networks["teacher"]
    cell = {f"{split}{frame}": np.zeros((120 if split == "val" else 160, 3)) for split in ("val", "test")
            for frame in ("", "_reframed")} | {"parameters": np.array([7])}  # fmt: skip
    assert network_of(teacher, cell).parameters == 7
    with pytest.raises(CxrError, match="are of other images"):
        network_of(teacher, {**cell, "test": np.zeros((159, 3))})
    moved = replace(teacher.test, patients=teacher.test.patients[::-1])
    with pytest.raises(CxrError, match="distilled was scored on other images than teacher"):
        same_images({"teacher": teacher, "distilled": replace(teacher, test=moved)})


@pytest.mark.parametrize("stage", PIPELINE)
def test_deps_of_the_study_name_every_file_that_a_stage_imports_and_nothing_else(stage: str) -> None:
    definition = PIPELINE[stage]
    code = [dep for dep in definition["deps"] if dep.startswith(("src/", "../stages/"))]
    named = {dep: files_of(dep.removeprefix("../")) for dep in code}
    module = definition["cmd"].split()[-1]
    assert reached(module) <= set().union(*named.values())
    assert [dep for dep, files in named.items() if not files & reached(module)] == []
    assert len([dep for dep in code if dep.startswith("src/")]) <= 8
    params = [str(key).split(".")[0] for entry in definition.get("params", []) for key in entry["../params.yaml"]]
    assert loaded_sections(module) <= set(params)
    assert ("params.yaml" in definition["deps"]) == (
        "read_study" in (ROOT / f"{module.replace('.', '/')}.py").read_text()
    )


def test_the_study_keeps_to_its_budgets() -> None:
    assert len((ROOT / "study/dvc.yaml").read_text().splitlines()) <= 120
    assert (ROOT / "study/src").is_symlink() and (ROOT / "study/src").readlink() == Path("../src")
    lock = ROOT / "study/dvc.lock"
    assert len(lock.read_text().splitlines()) <= 400


@pytest.fixture(scope="module")
def repo(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished pipeline on phantoms with a tiny study beside it, which has run and is committed."""
    folder = tmp_path_factory.mktemp("study") / "repo"
    put_back(finished)
    shutil.copytree(finished, folder, symlinks=True)
    (folder / "study").mkdir()
    for name in ("dvc.yaml", "geometry.csv", "latency.json", ".dvcignore", ".dvc/config", ".dvc/.gitignore"):
        (folder / "study" / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / "study" / name, folder / "study" / name)
    (folder / "study/src").symlink_to("../src")
    shutil.copy(ROOT / "demo/tiny_study.yaml", folder / "study/params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_CELL_STORE", str(folder.parent / "store"))
        output = run(folder / "study", "dvc", "repro")
        assert ran(output) == ["checks", "cells", "report"] and "cells: 0 of 39 are in" in output
        assert len((folder / "study/dvc.lock").read_text().splitlines()) <= 395  # real params have a few lines more
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


METRICS = ("accuracy", "auroc", "sensitivity", "specificity")
PLACES = {
    "validation": METRICS,
    "validation_reframed": ("accuracy", "auroc"),
    "test": METRICS,
    "test_reframed": ("accuracy", "auroc"),
}


def check_scores(scores: dict[str, Any]) -> None:
    for place, metrics in PLACES.items():
        assert tuple(scores[place]) == metrics
        for each in scores[place].values():
            assert each["low"] <= each["mean"] <= each["high"] and each["seeds"] == 2 and each["sd"] >= 0


def check_difference(change: dict[str, Any], one: dict[str, Any], other: dict[str, Any]) -> None:
    for place, metrics in PLACES.items():
        for metric in metrics:
            expected = one[place][metric]["mean"] - other[place][metric]["mean"]
            assert change[place][metric]["value"] == pytest.approx(expected, abs=2e-6)
            assert change[place][metric]["low"] <= change[place][metric]["high"]


@pytest.mark.slow
def test_the_study_runs_and_answers_every_question_in_finite_figures(repo: Path) -> None:
    figures = json.loads((repo / "study/results.json").read_text())
    assert all(np.isfinite(leaf) for leaf in leaves(figures) if isinstance(leaf, int | float))
    assert figures["student"] == "residual_10k" and figures["taught_by"] == "lungs"
    for student, teachers in {
        "residual_10k": ["baseline", "lungs"],
        "residual_4k": ["baseline", "films", "lungs"],
    }.items():
        each = figures["size"]["students"][student]
        assert list(each["by_teacher"]) == teachers and each["megabytes"]["int8"] > 0
        for scores in each["by_teacher"].values():
            check_scores(scores)
        for pair, change in figures["size"]["differences"][student].items():
            check_difference(change, *(each["by_teacher"][how] for how in pair.split("_minus_")))
    assert set(figures["size"]["differences"]["residual_4k"]) == {
        "films_minus_baseline", "lungs_minus_baseline", "lungs_minus_films",
    }  # fmt: skip
    assert set(figures["teachers"]) == {"lungs", "films", "labels_50"}
    # Lungs are cut out of a film in whatever frame it is, and only a teacher of films sees frames.
    same = {name: each["test"]["auroc"] == each["test_reframed"]["auroc"] for name, each in figures["teachers"].items()}
    assert same == {"lungs": True, "films": False, "labels_50": True}
    assert list(figures["labels"]["shares"]) == ["50", "100"]
    few, all_of_them = figures["labels"]["shares"].values()
    assert few["films"] < all_of_them["films"] and few["patients"] < all_of_them["patients"]
    assert all_of_them["baseline"] == figures["size"]["students"]["residual_4k"]["by_teacher"]["baseline"]
    for each in (few, all_of_them, figures["regime"]["views"], figures["regime"]["no_views"]):
        check_difference(each["distilled_minus_baseline"], each["distilled"], each["baseline"])
    cases = ["residual_10k, teacher of lungs", "residual_4k, teacher of films", "residual_4k, teacher of lungs",
             "residual_10k, teacher of lungs, against the tuned baseline", "residual_4k with 50% of the labels",
             "residual_4k without views"]  # fmt: skip
    for found in figures["is_a_teacher_worth_it"].values():
        found_in = [case for verdict in found.values() for case in verdict]
        assert sorted(found_in) == sorted(f"{case} (2 seeds)" for case in cases)
    for section in ("calibration", "operating_points", "subtypes", "shortcuts", "originals", "maps", "blog"):
        assert figures[section]
    assert figures["grid"]["points"]["grid_blog_a25_t1"]["effective_alpha"] == pytest.approx(0.1, abs=1e-5)
    tuning, settings = figures["tuning"], figures["tuning"]["settings"]
    assert list(settings) == ["as in params.yaml", "learning_rate 0.004"] and tuning["chosen"] == "learning_rate 0.004"
    assert tuning["best"] == min(settings, key=lambda words: settings[words]["log_loss"]["value"])
    ((student, tuned),) = tuning["students"].items()
    check_scores(tuned["tuned"])
    scores = {**figures["size"]["students"][student]["by_teacher"], "tuned": tuned["tuned"]}
    assert scores["tuned"] != scores["baseline"]
    for pair in ("tuned_minus_baseline", "lungs_minus_tuned"):
        check_difference(tuned[pair], *(scores[how] for how in pair.split("_minus_")))
    site = figures["site"]
    assert list(site["sizes"]) == ["20", "28"] and site["held_out"]["films"] >= 10
    for each in site["sizes"].values():
        for place in ("held_out", "held_out_reframed"):
            nothing, release = (each[start][place]["auroc"]["mean"] for start in ("nothing", "release"))
            change, own = (each[key][place]["auroc"] for key in ("release_minus_random", "trained_minus_release"))
            assert change["value"] == pytest.approx(release - nothing, abs=2e-6) and change["low"] <= change["high"]
            assert own["value"] == pytest.approx(release - site["release"][place]["auroc"]["value"], abs=2e-6)
    # A synthetic film's copy is its original, and a teacher of lungs is not asked about films.
    moved = figures["originals"]["all"]
    assert moved["distilled"]["original_and_copy"]["mean_absolute_change"]["value"] == 0 and "teacher" not in moved
    assert "up to date" in run(repo / "study", "dvc", "repro", "--dry", "--allow-missing")


@pytest.mark.slow
def test_the_few_figures_that_dvc_compares_are_those_of_the_main_student(repo: Path) -> None:
    figures, shown = (json.loads((repo / f"study/{name}.json").read_text()) for name in ("results", "metrics"))
    student = figures["size"]["students"]["residual_10k"]["by_teacher"]["lungs"]
    assert shown == {
        "student": {
            "parameters": 10075,
            "seeds": 2,
            "accuracy": student["test"]["accuracy"]["mean"],
            "auroc": student["test"]["auroc"]["mean"],
            "accuracy_reframed": student["test_reframed"]["accuracy"]["mean"],
            "auroc_reframed": student["test_reframed"]["auroc"]["mean"],
        },
        "gain_over_baseline": {
            metric: figures["size"]["differences"]["residual_10k"]["lungs_minus_baseline"]["test"][metric]
            for metric in ("accuracy", "auroc")
        },
        "teacher": {metric: figures["teachers"]["lungs"]["test"][metric]["value"] for metric in ("accuracy", "auroc")},
    }
    seed_0 = json.loads((repo / "evaluation/distilled.json").read_text())["test"]
    assert student["by_seed"]["auroc"][0] == seed_0["auroc"]  # that of the main pipeline
    assert shown["teacher"]["auroc"] == json.loads((repo / "evaluation/teacher.json").read_text())["test"]["auroc"]


@pytest.mark.slow
def test_the_reports_say_that_they_are_synthetic_and_open_offline(repo: Path) -> None:
    page, report = ((repo / f"study/reports/study.{kind}").read_text() for kind in ("html", "md"))
    assert "SYNTHETIC" in page and report.startswith("# SYNTHETIC") and "## In short" in report
    assert (
        re.search(r'(?:src|href)="(?!data:)(?!\.\./checks/(?:maps|frames)\.png)|https?://|@import|url\(', page) is None
    )
    assert page.count('src="data:image/svg+xml;base64,') == 9
    assert page.count("<details>") == page.count("<table>") > 10
    pictures = ("size.png", "reads.png", "labels.png", "grid.png", "site.png")
    for name in pictures:
        assert (repo / "study/reports" / name).read_bytes().startswith(b"\x89PNG")
    for model in ("teacher", "baseline", "distilled"):
        assert f"{model} `{file_sha256(repo / f'models/{model}.safetensors')[:12]}`" in report
    made = {"metrics.json", "results.json", *(f"reports/{n}" for n in ("study.md", "study.html", *pictures))}
    given = {
        ".dvc/.gitignore",
        ".dvc/config",
        ".dvcignore",
        "dvc.yaml",
        "geometry.csv",
        "latency.json",
        "params.yaml",
        "src",
    }
    tracked = {name for name in run(repo / "study", "git", "ls-files").split() if not name.startswith(".home/")}
    assert tracked == made | given | {"dvc.lock"}


@pytest.mark.slow
def test_the_report_leads_with_what_the_intervals_allow_and_shows_latency_where_it_was_measured(repo: Path) -> None:
    figures = json.loads((repo / "study/results.json").read_text())
    for place in ("test", "test_reframed", "validation_reframed"):
        figures["is_a_teacher_worth_it"][place] = {
            "higher": ["small, lungs", "small, 5% of the labels"],
            "includes_zero": ["large, films"],
            "lower": ["small, no views"],
        }
    figures["size"]["students"]["residual_4k"]["milliseconds"] = {"fp32": 0.25, "int8": 0.125}
    models = {name: {"weights_sha256": "0" * 64} for name in ("teacher", "baseline", "distilled")}
    dataset = {"image_size": 96, "archive_sha256": "0" * 64}
    trained = {"precision": "32-true", "processor": "any"}
    report = study_markdown(figures, Source(dataset, models, trained, synthetic=False))
    assert report.splitlines()[2] == (
        "**Is a teacher worth it? On test films in the other frame, the teacher raised the student's AUROC in 2 of 4 "
        "cases: small, lungs; small, 5% of the labels. No measurable gain: large, films. It lowered AUROC: small, no "
        "views.**"
    )
    assert "| 0.25 | 0.12 |" in report and "SYNTHETIC" not in report


def test_the_committed_baseline_is_tuned_on_as_many_settings_as_distillation_and_has_the_best_of_them() -> None:
    figures = json.loads((ROOT / "study/results.json").read_text())
    tuning = figures["tuning"]
    assert len(tuning["settings"]) >= len(figures["grid"]["points"])
    assert tuning["chosen"] == tuning["best"] and figures["student"] in tuning["students"]


@pytest.mark.slow
def test_the_pipeline_knows_nothing_of_the_study(repo: Path) -> None:
    assert ran(run(repo, "dvc", "repro", "-P")) == []
    for command in (("stage", "list", "--name-only"), ("dag",), ("metrics", "show")):
        assert "study" not in run(repo, "dvc", *command)


@pytest.mark.slow
def test_compiled_files_make_no_stage_stale_and_changed_code_does(repo: Path) -> None:
    compiled = repo / "src/cxr_distill/base/__pycache__/errors.cpython.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"compiled")
    for edited, stale in {
        "src/cxr_distill/distill/losses.py": {"cells", "report"},
        "src/cxr_distill/study/answers/plots.py": {"report"},
        "src/cxr_distill/study/checks/maps.py": {"checks", "report"},
        "src/cxr_distill/study/plan/matrix.py": {"cells", "report"},
        "src/cxr_distill/release/int8.py": {"report"},
        "stages/study/report.py": {"report"},
        "stages/compare.py": set(),
    }.items():
        path = repo / edited
        path.write_text(path.read_text() + "# changed\n")
        assert {"report", *ran(run(repo / "study", "dvc", "repro", "--dry"))} == {"report", *stale}, edited
        run(repo, "git", "checkout", "-q", edited)


@pytest.mark.slow
def test_deleted_outputs_come_back_from_the_store_and_one_changed_cell_costs_one(repo: Path) -> None:
    study, before = repo / "study", (repo / "study/dvc.lock").read_text()
    shutil.rmtree(study / "cells")
    shutil.rmtree(study / ".dvc/cache")
    output = run(study, "dvc", "repro", "cells")
    assert "cells: 39 of 39 are in" in output and (study / "dvc.lock").read_text() == before
    params = study / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("alpha: [0.5], temperature: [2.0]", "alpha: [0.5], temperature: [3.0]"))
    output = run(study, "dvc", "repro", "cells")
    assert ran(output)[-1] == "cells" and "cells: 38 of 39 are in" in output
    assert "grid_hinton_a50_t3.safetensors" in names_in(study / "cells") and len(names_in(study / "cells")) == 39
    params.write_text(text.replace("residual_4k", "renamed"))
    assert "cells: 39 of 39 are in" in run(study, "dvc", "repro", "cells")
    assert "size_renamed_film_0.safetensors" in names_in(study / "cells")
    params.write_text(text)


@pytest.mark.slow
def test_a_wrong_setting_is_one_line_and_nothing_is_trained_or_lost(repo: Path) -> None:
    params, store = repo / "study/params.yaml", repo.parent / "store"
    text, kept, cells = params.read_text(), names_in(store), names_in(repo / "study/cells")
    for old, new, reason in (
        ("shares: [0.5]", "shares: [1.5]", "study/params.yaml: labels.shares.0"),
        ("pool: 2", "pool: 5", "study/params.yaml: blog_low_alone: pool 5 does not divide"),
        (
            "[8, 16, 16]",
            "[8, 16, 24]",
            "study/params.yaml: students needs one of arch residual and channels [8, 16, 16]",
        ),
    ):
        assert old in text
        params.write_text(text.replace(old, new))
        output = run(repo, "python", "-m", "study.cells", check=False)
        assert f"error: {reason}" in output and "Traceback" not in output and output.strip().count("\n") == 0, output
    params.write_text(text)
    assert names_in(store) == kept and names_in(repo / "study/cells") == cells
