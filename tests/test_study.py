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
from test_training import STUDENT, TEACHER, TRAIN, VIEWS

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import parse
from cxr_distill.data.archive import list_images, open_archive
from cxr_distill.data.params import SplitCounts
from cxr_distill.data.phantom import write_archive
from cxr_distill.distill.losses import distillation_losses
from cxr_distill.distill.params import DistillParams
from cxr_distill.distill.task import DistillationTask
from cxr_distill.evaluation.calibration import fit_temperature
from cxr_distill.evaluation.metrics import Estimate, Scored, expected_calibration_error
from cxr_distill.films.pixels import squash
from cxr_distill.nets.common.views import draw_view, network_input
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.network import build_teacher
from cxr_distill.study.activation_maps import activation_maps, overlap, rank_correlation
from cxr_distill.study.cells import cell_images, no_views, student_of
from cxr_distill.study.collapse import collapse
from cxr_distill.study.framing import FRAMINGS
from cxr_distill.study.originals import films_of
from cxr_distill.study.params import AloneCell, TaughtCell
from cxr_distill.study.results import Network, families, more_seeds
from cxr_distill.study.shortcuts import geometry_model, oriented_gradients, thumbnails
from cxr_distill.study.statistics import (
    auroc_within,
    behaves_like,
    brier,
    calibration_error,
    distances_to_teacher,
    effective_alpha,
    mean_by_patient,
    over_seeds,
    scaled,
    seed_picks,
    strata_of,
    threshold_for_prevalence,
)  # fmt: skip
from cxr_distill.study.whole_targets import kl_gradient_share, whole_targets


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


def test_an_alpha_is_read_off_a_falling_curve_even_if_noise_makes_it_rise() -> None:
    assert behaves_like([0, 0.5, 1], [1.0, 0.5, 0.0], 0.75) == pytest.approx(0.25, abs=1e-3)
    assert behaves_like([0, 0.5, 1], [1.0, 0.2, 0.4], 0.65) == pytest.approx(0.25, abs=1e-3)
    assert behaves_like([0, 0.5, 1], [1.0, 0.5, 0.2], 9.0) == pytest.approx(0.0, abs=1e-3)


def test_distance_to_the_teacher_is_zero_for_the_teacher_and_falls_with_temperature() -> None:
    logits, other = np.array([[2.0, -1.0], [0.0, 3.0]]), np.zeros((2, 2))
    assert np.allclose(distances_to_teacher(logits, logits, temperature=3.0), 0)
    hot, cold = (distances_to_teacher(other, logits, temperature=t) for t in (4.0, 1.0))
    assert (hot < cold).all()


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


def test_two_classes_keep_the_probability_of_normal() -> None:
    logits = np.array([[0.3, -1.0, 2.0]], dtype=np.float32)
    two = collapse(logits, classes=2)
    before, after = (np.exp(each[0, 0]) / np.exp(each).sum() for each in (logits, two))
    assert two.shape == (1, 2) and before == pytest.approx(after, rel=1e-6)
    assert collapse(logits, classes=3) is logits


def test_a_cell_sees_means_of_blocks_and_two_labels() -> None:
    cell = AloneCell(group="grid", arch="plain", channels=[4, 4, 4], seed=0, classes=2, pool=2)
    small = cell_images(TRAIN, cell)
    assert small.pixels.shape == (48, 12, 12) and set(small.labels) == {0, 1}
    assert small.pixels[0, 0, 0] == round(TRAIN.pixels[0, :2, :2].mean())
    with pytest.raises(CxrError, match="pool 5"):
        cell_images(TRAIN, cell.model_copy(update={"pool": 5}))


def test_no_views_leave_an_image_as_it_is() -> None:
    pixels = torch.from_numpy(TRAIN.pixels)
    same = network_input(pixels, draw_view(len(pixels), no_views(VIEWS), number=3))
    assert torch.allclose(same, network_input(pixels), atol=2e-4)


def test_whole_targets_in_train_mode_go_by_the_batch_and_leave_the_teacher_alone() -> None:
    teacher = build_teacher(TEACHER).eval()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    logits = whole_targets(teacher, TRAIN.pixels, batch_size=16)
    assert logits["eval"].shape == logits["train"].shape == (48, 3)
    assert not np.allclose(logits["eval"], logits["train"], atol=0.05)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert np.array_equal(logits["train"], whole_targets(teacher, TRAIN.pixels, batch_size=16)["train"])


def test_the_teachers_pull_grows_with_alpha_and_the_blog_weakens_it() -> None:
    targets = np.random.default_rng(0).normal(size=(48, 3)).astype(np.float32)
    view = draw_view(48, VIEWS, number=0)

    def share(alpha: float, loss: str) -> float:
        distill = DistillParams(alpha=alpha, temperature=4.0, loss=loss)
        return kl_gradient_share(DistillationTask(build_student(STUDENT), STUDENT, distill), TRAIN, targets, view)

    assert share(0.0, "hinton") == 0 and share(1.0, "hinton") == 1
    assert 0 < share(0.25, "hinton") < share(0.75, "hinton") < 1
    # The blog's share is Hinton's at the effective alpha.
    assert share(0.75, "blog") == pytest.approx(share(effective_alpha(0.75, 4.0, classes=3), "hinton"), rel=1e-3)


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


OURS = DistillParams(alpha=0.9, temperature=4.0, loss="hinton")


def network(kind: str = "baseline", seed: int | None = None, *, group: str = "seeds", **changes: Any) -> Network:
    one = scored([0, 1, 0, 1], [0.1, 0.9, 0.4, 0.6])
    values = {"group": group, "arch": "plain", "channels": [4, 8, 8], "seed": seed, **changes}
    taught = {"distill": OURS, **values}
    cell = None if seed is None else AloneCell(**values) if kind == "baseline" else TaughtCell(**taught)
    return Network(one, one, np.zeros((4, 2)), cell)


def test_the_main_run_is_a_seed_of_the_study_and_other_distillation_is_none() -> None:
    cells = {"a": network(seed=1), "b": network("distilled", 1)}
    main = {"baseline": network(), "distilled": network()}
    found = families(cells, main, STUDENT, OURS)
    assert {name: list(seeds) for name, seeds in found.items()} == {"plain-baseline": [0, 1], "plain-distilled": [0, 1]}
    with pytest.raises(CxrError, match=r"taught\.b\.distill is not `distill`"):
        families(cells, main, STUDENT, OURS.model_copy(update={"alpha": 0.5}))
    with pytest.raises(CxrError, match="needs two seeds"):
        families({"a": network(seed=0), "b": network("distilled", 0)}, main, STUDENT, OURS)


def test_seeds_that_a_point_within_noise_lacks_can_be_pasted_into_params() -> None:
    cells = {"g": network("distilled", 0, group="grid")}
    cells["worse"] = network("distilled", 0, group="grid", distill=OURS.model_copy(update={"alpha": 0.1}))
    points = {
        "hinton_alpha0.9_T4": {"within_noise_of_the_best": True},
        "hinton_alpha0.1_T4": {"within_noise_of_the_best": False},
    }
    added = yaml.safe_load("\n".join(more_seeds({"points": points}, cells)))
    assert list(added) == ["taught"] and list(added["taught"]) == ["g_s1"]
    cell = parse(TaughtCell, added["taught"]["g_s1"], "g_s1")
    assert cell.seed == 1 and cell.distill == OURS


def test_every_committed_cell_is_a_student_that_can_be_built() -> None:
    main = yaml.safe_load((ROOT / "params.yaml").read_text())
    sections = yaml.safe_load((ROOT / "study/params.yaml").read_text())
    base = parse(StudentParams, main["student"], "student")
    cells = {name: parse(AloneCell, cell, name) for name, cell in sections["alone"].items()}
    cells |= {name: parse(TaughtCell, cell, name) for name, cell in sections["taught"].items()}
    assert len(cells) == len(sections["alone"]) + len(sections["taught"]), "a name is in both sections"
    for name, cell in cells.items():
        build_student(student_of(cell, base, name=name), classes=cell.classes)
        assert main["preprocess"]["image_size"] % cell.pool == 0
        if cell.group == "seeds" and isinstance(cell, TaughtCell):
            assert cell.distill.model_dump() == main["distill"]
    for arch in ("plain", "residual"):
        for kind in (AloneCell, TaughtCell):
            seeds = {c.seed for c in cells.values() if type(c) is kind and c.group == "seeds" and c.arch == arch}
            # The main pipeline's student is one seed of its architecture.
            assert len(seeds | ({base.seed} if arch == base.arch else set())) >= 5
    assert {sections["maps"][kind].split("_")[0] for kind in ("baseline", "distilled")} == {"plain", "residual"} - {
        base.arch
    }


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


@pytest.fixture(scope="module")
def repo(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished pipeline on phantoms with a tiny study beside it, which has run and is committed."""
    folder = tmp_path_factory.mktemp("study") / "repo"
    run(finished, "git", "checkout", "-q", "-f", "main")
    run(finished, "git", "clean", "-fdq")
    run(finished, "dvc", "checkout", "-f", "-q")
    shutil.copytree(finished, folder, symlinks=True)
    (folder / "study").mkdir()
    shutil.copy(ROOT / "study/dvc.yaml", folder / "study/dvc.yaml")
    shutil.copy(ROOT / "study/geometry.csv", folder / "study/geometry.csv")
    shutil.copy(ROOT / "demo/tiny_study.yaml", folder / "study/params.yaml")
    output = run(folder, "dvc", "repro", "study/dvc.yaml")
    assert not [stage for stage in ran(output) if not stage.startswith("study/dvc.yaml:")]
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "study")
    yield folder


def leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from leaves(value)
    else:
        yield values


def test_the_study_runs_and_answers_every_question_in_finite_figures(repo: Path) -> None:
    figures = json.loads((repo / "metrics/study.json").read_text())
    assert all(np.isfinite(leaf) for leaf in leaves(figures) if isinstance(leaf, int | float))
    assert set(figures["students"]) == {
        f"{arch}-{kind}" for arch in ("plain", "residual") for kind in ("baseline", "distilled")
    }
    for student in figures["students"].values():
        for metric in ("accuracy", "auroc", "sensitivity", "specificity"):
            each = student[metric]
            assert each["low"] <= each["mean"] <= each["high"] and each["seeds"] == 2 and each["sd"] >= 0
    for arch in ("plain", "residual"):
        assert {"value", "low", "high"} == set(figures["differences"][arch]["distilled_minus_baseline"]["auroc"])
        assert "accuracy" in figures["differences"][arch]["distilled_minus_teacher"]
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
    assert point["effective_alpha"] == pytest.approx(1 / 9, abs=1e-5) and 0 <= point["measured_alpha"]["value"] <= 1
    # A phantom's copy is its original.
    moved = figures["originals"]["all"]["teacher"]
    assert moved["original_and_copy"]["mean_absolute_change"]["value"] == 0
    assert "up to date" in run(repo, "dvc", "repro", "-P", "--dry", "--allow-missing")


def test_the_reports_say_that_they_are_synthetic_and_open_offline(repo: Path) -> None:
    page, report = ((repo / f"reports/study.{kind}").read_text() for kind in ("html", "md"))
    assert "SYNTHETIC" in page and report.startswith("# SYNTHETIC") and "## In short" in report
    assert re.search(r'(?:src|href)="(?!data:)(?!\.\./study/maps\.png)|https?://|@import|url\(', page) is None
    assert page.count('src="data:image/svg+xml;base64,') == 9
    for name in ("study_seeds.png", "study_grid.png"):
        assert (repo / "reports" / name).read_bytes().startswith(b"\x89PNG")
    tracked = run(repo, "git", "ls-files", "study").split()
    assert sorted(tracked) == ["study/dvc.lock", "study/dvc.yaml", "study/geometry.csv", "study/params.yaml"]


def test_a_plain_repro_runs_nothing_of_the_study(repo: Path) -> None:
    assert ran(run(repo, "dvc", "repro")) == []
    assert "study" not in run(repo, "dvc", "stage", "list", "--name-only")


def test_changed_code_makes_the_networks_stale_that_depend_on_it_and_no_others(repo: Path) -> None:
    losses = repo / "src/cxr_distill/distill/losses.py"
    losses.write_text(losses.read_text() + "# changed\n")
    hashing = [f"study/dvc.yaml:inputs_{kind}" for kind in ("alone", "taught")]
    assert ran(run(repo, "dvc", "repro", "--single-item", *hashing)) == ["study/dvc.yaml:inputs_taught"]
    stale = [stage for stage in ran(run(repo, "dvc", "repro", "study/dvc.yaml", "--dry")) if "@" in stage]
    assert "study/dvc.yaml:taught@grid_hinton" in stale and "study/dvc.yaml:alone" not in " ".join(stale)
    run(repo, "git", "checkout", "-q", ".")
    run(repo, "dvc", "checkout", "-q")


def test_one_changed_cell_costs_one_cell_and_ci_refuses_until_it_is_paid(repo: Path) -> None:
    params = repo / "study/params.yaml"
    params.write_text(
        params.read_text().replace(
            "alpha: 0.5, temperature: 2.0, loss: hinton", "alpha: 0.5, temperature: 3.0, loss: hinton"
        )
    )
    assert "up to date" not in run(repo, "dvc", "repro", "-P", "--dry", "--allow-missing")
    run(repo, "git", "commit", "-qam", "another temperature")
    run(repo, "python", ".ci/pipeline.py", "HEAD~", check=False)
    summary = (repo / "ci-results/summary.md").read_text()
    assert "the study is older than the code" in summary and "not run again" in summary
    again = ran(run(repo, "dvc", "repro", "study/dvc.yaml"))
    assert again == ["study/dvc.yaml:taught@grid_hinton", "study/dvc.yaml:gather"]
