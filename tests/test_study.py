"""The study: its arithmetic on cases with known answers, and the whole of it by real DVC on tiny phantoms."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, program, put_back, ran, run, with_path
from deps import files_of, loaded_sections, reached
from scipy import stats
from scipy.special import softmax
from sklearn.metrics import roc_auc_score
from small_training import OURS, STUDENT, TEACHER, TRAIN

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.probabilities import log_odds, weighted_auroc
from cxr_distill.base.tensors import read_tensors
from cxr_distill.data.archive import list_images, open_archive
from cxr_distill.data.phantom import write_archive
from cxr_distill.data.source import SplitCounts
from cxr_distill.evaluation.bootstrap import Estimate, Floats, mean_by_patient, patient_resamples
from cxr_distill.evaluation.geometry import geometry_model
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.evaluation.scores import Scored, brier, calibration_error, expected_calibration_error
from cxr_distill.nets.common.activation import activation_maps
from cxr_distill.nets.common.views import network_input
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.teacher.network import build_teacher
from cxr_distill.report.committed import read_committed
from study.checks.originals import films_of
from study.gather.gathered import of_pipeline
from study.plan.matrix import Main, SiteStudent, Student, WholeImages, cells_of
from study.plan.params import read_study
from study.report.tables import softened, values_of
from study.results import questions
from study.results.checks import auroc_within, scaled, strata_of
from study.results.networks import Asked, Network, difference, measured, networks_of, resampling, summaries
from study.results.statistics import over_seeds, seed_coverage

PIPELINE = yaml.safe_load((ROOT / "study/dvc.yaml").read_text())["stages"]


def scored(labels: list[int], probabilities: list[float]) -> Scored:
    return Scored(np.array(labels), np.array(probabilities), np.arange(len(labels)).astype(str))


def test_an_interval_over_seeds_and_patients_is_that_of_a_textbook_where_one_of_them_never_varies() -> None:
    random = np.random.default_rng(0)
    # Patients that never vary: Student's interval of the mean of the seeds.
    values = [0.1, 0.2, 0.6, 0.3]
    found = over_seeds([Estimate(value, np.full(100, value)) for value in values])
    low, high = stats.t.interval(0.95, 3, np.mean(values), stats.sem(values))
    assert found.summary() == pytest.approx(
        {"mean": 0.3, "sd": np.std(values, ddof=1), "low": low, "high": high, "seeds": 4}, abs=1e-6
    )
    # Seeds that never vary: the normal interval of the patients' resamples.
    patients = Estimate(0.3, random.normal(0.3, 0.01, 20_000))
    same = over_seeds([patients] * 3).summary()
    assert same["high"] - same["mean"] == pytest.approx(1.96 * patients.resamples.std(), abs=1e-4)
    # Both at once: their variances add up, with more degrees of freedom than the seeds have.
    each = [Estimate(value, value + 10 * (patients.resamples - 0.3)) for value in values]
    both, between = over_seeds(each).summary(), stats.sem(values) ** 2
    total = between + 100 * patients.resamples.var()
    assert both["high"] - 0.3 == pytest.approx(stats.t.ppf(0.975, 3 * (total / between) ** 2) * total**0.5, abs=1e-6)
    # A constant gain of every seed has no uncertainty once paired; a single network is taken from every seed.
    better = over_seeds([Estimate(one.value + 0.1, one.resamples + 0.1) for one in each])
    gain = (better - over_seeds(each)).summary()
    assert gain == pytest.approx({"mean": 0.1, "sd": 0, "low": 0.1, "high": 0.1, "seeds": 4})
    assert (better - over_seeds(each[:1])).summary()["mean"] == pytest.approx(0.3 + 0.1 - 0.1)


def test_whole_patients_are_resampled_in_a_mean() -> None:
    values, patients = np.array([1.0, 1.0, 0.0, 0.0]), np.array(["a", "a", "b", "b"])
    drawn = mean_by_patient(values, patients, resamples=4000, seed=0)
    assert drawn.value == 0.5 and set(drawn.resamples) == {0.0, 0.5, 1.0}


def test_an_interval_over_five_seeds_holds_what_it_promises() -> None:
    assert 0.93 <= seed_coverage(5) <= 0.95
    assert seed_coverage(2) < seed_coverage(3) < seed_coverage(5)


@pytest.mark.slow
def test_an_interval_of_a_paired_auroc_over_five_seeds_holds_the_truth_of_simulated_students() -> None:
    # Students that differ by seed, on patients that differ and have up to three films, near the ceiling of the metric.
    random = np.random.default_rng(0)

    def student(gap: float, quality: float, hard: Floats, labels: Floats) -> Floats:
        return (gap + quality) * labels + hard + random.normal(0, 0.7, len(labels))

    def gain_of(patients: int, seeds: int) -> tuple[list[Estimate], list[Estimate]]:
        key = np.repeat(np.arange(patients), random.integers(1, 4, patients)).astype(str)
        labels = (key.astype(int) % 2).astype(np.int64)
        hard = random.normal(0, 0.7, patients)[key.astype(int)]
        weights = patient_resamples(labels, key, resamples=200, seed=0)
        both: tuple[list[Estimate], list[Estimate]] = ([], [])
        for _ in range(seeds):
            for gap, found in zip((3.0, 3.3), both, strict=True):
                odds = student(gap, random.normal(0, 0.15), hard, labels)
                values = weighted_auroc(labels, odds, np.vstack([np.ones(len(labels)), weights]))
                found.append(Estimate(float(values[0]), values[1:]))
        return both

    truth = np.subtract(*[np.mean([one.value for one in each]) for each in gain_of(3000, 60)][::-1])
    held = []
    for _ in range(400):
        baseline, distilled = map(over_seeds, gain_of(200, 5))
        interval = (distilled - baseline).summary()
        held.append(interval["low"] <= truth <= interval["high"])
    assert np.mean(held) >= 0.93


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


def test_geometry_baseline_finds_what_only_sizes_tell() -> None:
    labels = np.tile([0, 1], 20)
    sizes = np.stack([1000 + 500.0 * labels, np.full(40, 900.0)], axis=1) + np.arange(40)[:, None]
    sizes[5] = np.nan
    p = geometry_model(sizes, labels, np.isfinite(sizes).all(axis=1))
    assert np.isnan(p[5]) and (np.delete(p, 5)[np.delete(labels, 5) == 1].min() > 0.5 > p[0])


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


FRAMES = {"": 1, "_reframed": 1, "_reframed_any": 4}


def network(skill: float, seed: int, *, parameters: int = 100) -> Network:
    """A network whose scores separate the classes by `skill` standard deviations in every place."""
    random = np.random.default_rng(seed)

    def draw(count: int) -> Scored:
        labels = np.arange(count) % 2
        odds = random.normal(0, 1, count) + skill * (labels - 0.5)
        return Scored(labels, 1 / (1 + np.exp(-odds)), np.arange(count).astype(str))

    counts = {"validation": 120, "test": 160, "held_out": 80}
    places = {f"{split}{frame}": (count, FRAMES[frame]) for split, count in counts.items() for frame in FRAMES}
    scored = {place: [draw(count) for _ in range(draws)] for place, (count, draws) in places.items()}
    return Network(scored, parameters)


@pytest.fixture(scope="module")
def by_hand() -> Asked:
    """Networks for the tiny study: a teacher of lungs helps the small student, one of films does not, and without
    augmentation it harms."""
    study = read_study(ROOT / "demo/tiny_study.yaml")
    main = Main(STUDENT.model_copy(update={"arch": "residual", "channels": [8, 16, 16]}), ["lungs"], OURS)
    cells = cells_of(study, main)
    skills = {"lungs": 4.0, "both": 4.0, "film": 1.0, "baseline": 1.0}
    networks = {"teacher": network(4, 99, parameters=10_000)}
    for number, (name, cell) in enumerate(cells.items()):
        if isinstance(cell, WholeImages | SiteStudent):
            continue
        skill, parameters = 2.0, 10_000
        if isinstance(cell, Student):
            skill, parameters = skills.get(cell.how, 2.0), 100 if cell.student == "residual_4k" else 1000
            if cell.group == "augmentation":
                skill = {"baseline": 4.0, "lungs": 1.0}[cell.how]
        networks[name] = network(skill, number, parameters=parameters)
    params = EvaluateParams(bootstrap_resamples=300, seed=0, sensitivity_target=0.95)
    return Asked(study, main, cells, networks, resampling(networks.values(), params))


def test_the_answers_say_where_a_teacher_helps_and_where_it_harms(by_hand: Asked) -> None:
    megabytes = {key: {"fp32": 0.2, "int8": 0.1} for key in ("residual_10k", "residual_4k")}
    size = questions.size(by_hand, megabytes, {"students": {"residual_4k": {"fp32": 1.0, "int8": 2.0}}})
    labelled = {0.5: {"patients": 5, "films": 6}, 1.0: {"patients": 10, "films": 12}}
    labels, augmentation = questions.labels(by_hand, labelled), questions.augmentation(by_hand)
    main, small = (size["differences"][name] for name in ("residual_10k", "residual_4k"))
    for place in (f"{split}{frame}" for split in ("validation", "test") for frame in FRAMES):
        for helped in (main["lungs_minus_baseline"], labels["shares"]["50"]["distilled_minus_baseline"]):
            assert helped[place]["auroc"]["value"] > 0.1
        assert set(small) == {"lungs_minus_baseline"}
        assert (
            abs(main["film_minus_baseline"][place]["auroc"]["value"])
            < main["lungs_minus_film"][place]["auroc"]["value"]
        )
        assert augmentation["without"]["distilled_minus_baseline"][place]["auroc"]["value"] < -0.1
    students = size["students"]
    assert students["residual_4k"]["milliseconds"]["int8"] == 2 and "milliseconds" not in students["residual_10k"]
    assert [students[name]["parameters"] for name in ("residual_10k", "residual_4k")] == [1000, 100]


def test_a_difference_is_paired_by_seed_and_by_patient(by_hand: Asked) -> None:
    one, other = ([network(skill, seed) for seed in (1, 2)] for skill in (2, 3))
    found = [measured(each, by_hand.draws) for each in (one, other)]
    again, turned = (measured(each, by_hand.draws) for each in (one, one[::-1]))
    assert difference(found[0], again)["test"]["auroc"] == {"value": 0, "low": 0, "high": 0}
    unpaired = difference(found[0], turned)["test"]["auroc"]
    assert unpaired["value"] == 0 and unpaired["low"] < 0 < unpaired["high"]
    by_seed = [
        [roc_auc_score(each.on("test").labels, each.on("test").probabilities) for each in networks]
        for networks in (one, other)
    ]
    assert summaries(found[0])["by_seed"]["auroc"] == pytest.approx(by_seed[0], abs=1e-6)
    change = difference(found[1], found[0])["test"]["auroc"]
    assert change["value"] == pytest.approx(np.mean(by_seed[1]) - np.mean(by_seed[0]), abs=1e-6)
    # Reframed by any class, the mean over the draws of partners.
    draws = [[roc_auc_score(d.labels, d.probabilities) for d in each.scored["test_reframed_any"]] for each in one]
    assert np.std(draws) > 0
    assert summaries(found[0])["test_reframed_any"]["auroc"]["mean"] == pytest.approx(np.mean(draws), abs=1e-6)


def test_scores_of_other_films_are_refused() -> None:
    films = pd.DataFrame({"split": ["val", "val", "test", "test"], "file": list("abcd"), "patient": list("1234")})
    films["label"] = ["NORMAL", "PNEUMONIA"] * 2
    table = films.assign(p_pneumonia=[0.1, 0.9, 0.25, 0.75], p_reframed=0.5, p_reframed_any_0=0.5, p_reframed_any_1=0.2)
    scores = of_pipeline("teacher", table, films)
    assert scores["test"] == pytest.approx(np.log([1 / 3, 3])) and scores["test"].dtype == np.float32
    assert scores["test_reframed_any"].shape == (2, 2) and scores["val_reframed"].shape == (2,)
    with pytest.raises(CxrError, match=r"evaluation/teacher\.csv is of other films"):
        of_pipeline("teacher", table.assign(file=list("abdc")), films)
    of_split = {"validation": films[:2], "test": films[2:], "held_out": films}
    tensors = {f"teacher/{place}": odds for place, odds in scores.items()}
    (only,) = networks_of(tensors, of_split, {"teacher": 7}).values()
    assert only.parameters == 7 and only.on("test").probabilities == pytest.approx([0.25, 0.75])
    assert len(only.scored["test_reframed_any"]) == 2
    with pytest.raises(CxrError, match="has scores of other films"):
        networks_of(tensors, {**of_split, "test": films}, {"teacher": 7})


IGNORED = {line.lstrip("/") for line in (ROOT / "study/.dvcignore").read_text().splitlines() if line.endswith(".py")}
"""What DVC leaves out of the folders that stages name through study/src."""


def named_by(dep: str) -> set[str]:
    """The Python files that a dep of study/dvc.yaml names; none if it is no code."""
    path = (ROOT / "study" / dep).resolve()
    if not (path.is_dir() or path.suffix == ".py"):
        return set()
    return files_of(str(path.relative_to(ROOT))) - (IGNORED if dep.startswith("src/") else set())


@pytest.mark.parametrize("stage", PIPELINE)
def test_deps_of_the_study_name_every_file_that_can_change_a_result_and_nothing_else(stage: str) -> None:
    definition = PIPELINE[stage]
    module = f"{definition['cmd'].split()[-1]}.__main__"
    named = {dep: files for dep in definition["deps"] if (files := named_by(dep))}
    assert reached(module) <= set().union(*named.values())
    assert [dep for dep, files in named.items() if not files & reached(module)] == []
    assert len(named) <= 12
    params = [
        key
        for entry in definition.get("params", [])
        for key in ([entry] if isinstance(entry, str) else entry["../params.yaml"])
    ]
    assert loaded_sections(module) <= {key.split(".")[0] for key in params}
    text = (ROOT / f"{module.replace('.', '/')}.py").read_text()
    assert ("params.yaml" in definition["deps"]) == ("read_study" in text)


def test_what_comes_after_gathering_reads_files_of_git_alone() -> None:
    made = {"results": {"gathered"}, "report": {"results.json"}}
    for stage, inputs in made.items():
        deps = {dep for dep in PIPELINE[stage]["deps"] if not named_by(dep)}
        tracked = run(ROOT, "git", "ls-files", "study", "reports").split()
        assert inputs <= deps
        assert {str(Path("study", dep).as_posix()).replace("study/../", "") for dep in deps - inputs} <= {*tracked}


def test_figures_are_computed_without_pytorch_and_pictures() -> None:
    modules = ("__main__", "checks", "questions", "reads", "site")
    program = (
        f"import sys, stages; {'; '.join(f'import study.results.{each}' for each in modules)}; print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=with_path("."), capture_output=True, text=True, check=True
    )
    loaded = done.stdout.split()
    assert "study.results.site" in loaded and not {"torch", "lightning", "matplotlib"} & {*loaded}


def lines_of(*pattern: str) -> int:
    files = run(ROOT, "git", "ls-files", "--", *pattern).split()
    return sum(len((ROOT / file).read_text().splitlines()) for file in files)


def test_the_study_keeps_to_its_budgets() -> None:
    assert lines_of("study/dvc.yaml") <= 120 and lines_of("study/dvc.lock") <= 430
    assert lines_of("study/*.py") <= 2700 and lines_of("study/report/*.py") <= 260
    assert (ROOT / "study/src").is_symlink() and (ROOT / "study/src").readlink() == Path("../src")


def test_a_temperature_spreads_a_films_probabilities_and_names_stay_readable() -> None:
    film = {"logits": [2.0, 0.0, -2.0]}
    assert softened(film, 1) == "0.87 / 0.12 / 0.02" and softened(film, 1000) == "0.33 / 0.33 / 0.33"
    values = values_of(read_committed(ROOT / "study/results.json"), read_committed(ROOT / "reports/evaluation.json"))
    rows = values["differences"]["gains"].rows
    assert len(rows) > 4 and not any("_" in each for each in rows)


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed files of this repository, as they are now, without data, models or a cache."""
    folder = tmp_path_factory.mktemp("clone")
    for name in run(ROOT, "git", "ls-files", "-z").split("\0"):
        if name and ((ROOT / name).is_file() or (ROOT / name).is_symlink()):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A", "-f")
    run(folder, "git", "commit", "-qm", "as it is")
    return folder


@pytest.mark.slow
def test_an_edited_sentence_is_in_the_report_after_seconds_in_a_clone_without_any_cache(clone: Path) -> None:
    assert "Stage 'report' didn't change" in run(clone / "study", "dvc", "repro", "-s", "--dry", "report")
    template = clone / "study/report/templates/study.j2"
    template.write_text(template.read_text().replace("What does temperature do?", "Does it pay?"))
    assert ran(run(clone / "study", "dvc", "repro", "-s", "report")) == ["report"]
    for kind in ("md", "html"):
        assert "Does it pay?" in (clone / f"study/reports/study.{kind}").read_text()
    assert "Stage 'report' didn't change" in run(clone / "study", "dvc", "repro", "-s", "--dry", "report")
    changed = run(clone, "git", "diff", "--name-only").split()
    assert set(changed) == {
        "study/dvc.lock", "study/report/templates/study.j2", "study/reports/study.html", "study/reports/study.md"
    }  # fmt: skip


def test_the_committed_page_opens_offline_and_shows_no_broken_picture() -> None:
    page, report = ((ROOT / f"study/reports/study.{kind}").read_text() for kind in ("html", "md"))
    assert re.search(r'(?:src|href)="(?!data:)|https?://|@import|url\(', page) is None
    assert page.count('src="data:image/svg+xml;base64,') + 1 == page.count("<figure><img") == 9
    assert page.count("<details>") == page.count("<table>") == report.count("|---|\n") > 10
    assert page.count("SYNTHETIC") == 2 and "SYNTHETIC" not in report  # the films of one picture: alt and caption
    assert "&lt;" not in page
    for each in (ROOT / "study/reports").glob("*.png"):
        assert each.read_bytes().startswith(b"\x89PNG")


@pytest.fixture(scope="module")
def repo(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The finished pipeline on phantoms with a tiny study beside it, which has run and is committed."""
    folder = tmp_path_factory.mktemp("study") / "repo"
    put_back(finished)
    shutil.copytree(finished, folder, symlinks=True)
    made = ("study/dvc.lock", "study/results.json", "study/metrics.json", "study/gathered/", "study/reports/")
    for name in run(ROOT, "git", "ls-files", "study").split():
        if not name.startswith(made):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name, follow_symlinks=False)
    shutil.copy(ROOT / "demo/tiny_study.yaml", folder / "study/params.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CXR_CELL_STORE", str(folder.parent / "store"))
        output = run(folder / "study", "dvc", "repro")
        assert ran(output) == ["checks", "cells", "gather", "results", "report"]
        assert f"cells: 0 of {CELLS} are in" in output
        assert len((folder / "study/dvc.lock").read_text().splitlines()) <= 400
        run(folder, "git", "add", "-A")
        run(folder, "git", "commit", "-qm", "study")
        yield folder


CELLS = 39


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def leaves(values: Any) -> Iterator[Any]:
    if isinstance(values, dict | list):
        for value in values.values() if isinstance(values, dict) else values:
            yield from leaves(value)
    else:
        yield values


METRICS = ("accuracy", "auroc", "sensitivity", "specificity")
FEW = ("accuracy", "auroc")
PLACES = {f"{split}{frame}": FEW if frame else METRICS for split in ("validation", "test") for frame in FRAMES}


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
    assert figures["student"] == "residual_10k" and figures["teacher_sees"] == "lungs"
    for student, teachers in {
        "residual_10k": ["baseline", "film", "lungs", "both"],
        "residual_4k": ["baseline", "lungs"],
    }.items():
        each = figures["size"]["students"][student]
        assert list(each["by_teacher"]) == teachers and each["megabytes"]["int8"] > 0
        for scores in each["by_teacher"].values():
            check_scores(scores)
        for pair, change in figures["size"]["differences"][student].items():
            check_difference(change, *(each["by_teacher"][how] for how in pair.split("_minus_")))
    assert set(figures["size"]["differences"]["residual_10k"]) == {
        "film_minus_baseline", "lungs_minus_baseline", "both_minus_baseline", "lungs_minus_film", "lungs_minus_both",
    }  # fmt: skip
    # Lungs are cut out of a film in whatever frame it is, and only a teacher that sees films sees frames.
    for place in ("test_reframed", "test_reframed_any"):
        same = {name for name, each in figures["teachers"].items() if each["test"]["auroc"] == each[place]["auroc"]}
        assert same == {"lungs", "lungs_50"} and set(figures["teachers"]) - same == {"film", "both"}
    assert list(figures["labels"]["shares"]) == ["50", "100"]
    few, all_of_them = figures["labels"]["shares"].values()
    assert few["films"] < all_of_them["films"] and few["patients"] < all_of_them["patients"]
    assert all_of_them["baseline"] == figures["size"]["students"]["residual_4k"]["by_teacher"]["baseline"]
    augmentation = figures["augmentation"]
    for each in (few, all_of_them, augmentation["with"], augmentation["without"]):
        check_difference(each["distilled_minus_baseline"], each["distilled"], each["baseline"])
    for how in ("baseline", "distilled"):
        change = augmentation["with_minus_without"][how]
        check_difference(change, augmentation["with"][how], augmentation["without"][how])
    for section in ("calibration", "shortcuts", "originals", "reads", "share_in_lungs", "soft_targets"):
        assert figures[section]
    blog = figures["blog"]
    for change, (before, after) in questions.CAUSES.items():
        one, other = (blog["cells"][each]["at_half"]["auroc"]["mean"] for each in (after, before))
        assert blog["causes"][change]["auroc"]["value"] == pytest.approx(one - other, abs=2e-6)
    site = figures["site"]
    assert list(site["sizes"]) == ["20", "28"] and site["held_out"]["films"] >= 10
    for each in site["sizes"].values():
        for place in ("held_out", "held_out_reframed", "held_out_reframed_any"):
            random, release = (each[init][place]["auroc"]["mean"] for init in ("random", "release"))
            change, own = (each[key][place]["auroc"] for key in ("release_minus_random", "trained_minus_release"))
            assert change["value"] == pytest.approx(release - random, abs=2e-6) and change["low"] <= change["high"]
            assert own["value"] == pytest.approx(release - site["release"][place]["auroc"]["value"], abs=2e-6)
    # A synthetic film's copy is its original.
    moved = figures["originals"]["all"]
    assert moved["distilled"]["original_and_copy"]["mean_absolute_change"]["value"] == 0
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
            for metric in FEW
        },
        "teacher": {metric: figures["teachers"]["lungs"]["test"][metric]["value"] for metric in FEW},
    }
    seed_0 = json.loads((repo / "evaluation/distilled.json").read_text())["test"]
    assert student["by_seed"]["auroc"][0] == seed_0["auroc"]  # that of the main pipeline
    assert shown["teacher"]["auroc"] == json.loads((repo / "evaluation/teacher.json").read_text())["test"]["auroc"]


@pytest.mark.slow
def test_all_figures_come_from_the_log_odds_that_git_keeps(repo: Path) -> None:
    scores, trained = read_tensors(repo / "study/gathered/scores.safetensors")
    scores |= read_tensors(repo / "study/gathered/reframed_any.safetensors")[0]
    assert trained.keys() == {"precision", "processor"}
    assert {each.dtype for key, each in scores.items() if not key.endswith("/parameters")} == {np.dtype(np.float32)}
    predicted = pd.read_csv(repo / "evaluation/distilled.csv")
    test = predicted[predicted["split"] == "test"]
    assert scores["distilled/test"] == pytest.approx(log_odds(test["p_pneumonia"]), rel=1e-6)
    draws = np.stack([log_odds(test[f"p_reframed_any_{number}"]) for number in range(4)])
    assert scores["distilled/test_reframed_any"] == pytest.approx(draws, rel=1e-6)
    assert scores["teacher/val_logits"].shape == ((predicted["split"] == "val").sum(), 3)
    for file in (repo / "study/out/cells").iterdir():
        for place, each in read_tensors(file)[0].items():
            if place.startswith(("val", "test", "held_out")):
                assert np.array_equal(scores[f"{file.stem}/{place}"], each)
    # Without the outputs that only DVC keeps, the figures are the same to the byte.
    before = (repo / "study/results.json").read_bytes()
    (repo / "study/out").rename(repo.parent / "out")
    try:
        assert ran(run(repo / "study", "dvc", "repro", "-s", "-f", "results")) == ["results"]
    finally:
        (repo.parent / "out").rename(repo / "study/out")
    assert (repo / "study/results.json").read_bytes() == before


@pytest.mark.slow
def test_the_reports_say_that_they_are_synthetic_and_open_offline(repo: Path) -> None:
    page, report = ((repo / f"study/reports/study.{kind}").read_text() for kind in ("html", "md"))
    assert "<h1>SYNTHETIC" in page and report.startswith("# SYNTHETIC") and "SYNTHETIC films" in report
    assert re.search(r'(?:src|href)="(?!data:)|https?://|@import|url\(', page) is None
    assert "reframed by any class" in report
    for model in ("teacher", "baseline", "distilled"):
        assert f"| {model} | `{file_sha256(repo / f'models/{model}.safetensors')[:12]}` |" in report
    tracked = {name for name in run(repo, "git", "ls-files", "study").split() if not name.endswith((".py", ".png"))}
    made = {name for name in tracked if name.startswith(("study/gathered/", "study/reports/"))}
    assert {Path(name).name for name in made} == {
        "films.csv", "originals.csv", "reframed_any.safetensors", "scores.safetensors", "shortcuts.csv", "sizes.csv",
        "study.html", "study.md"
    }  # fmt: skip
    assert not any(name.startswith("study/out/") for name in tracked)


@pytest.mark.slow
def test_ci_holds_the_study_to_its_lock_and_to_the_pipelines_results(repo: Path) -> None:
    def held() -> str:
        said = run(repo, *program("check_study")).splitlines()
        return next((line for line in said if line.startswith(("Refused", "Not"))), "")

    assert held() == ""
    for file, old, new, reason in (
        ("study/reports/study.md", "SYNTHETIC", "", "Refused: not what dvc.lock names: study/reports;"),
        ("study/gathered/films.csv", "train", "test", "Refused: not what dvc.lock names: study/gathered;"),
        ("study/metrics.json", "seeds", "seed", "Refused: not what dvc.lock names: study/metrics.json;"),
        ("dvc.lock", film_md5(repo), "0" * 32, "Refused: the study is older than data/film;"),
    ):
        path = repo / file
        path.write_text(path.read_text().replace(old, new))
        assert held().startswith(reason)
        run(repo, "git", "checkout", "-q", file)


def film_md5(folder: Path) -> str:
    made = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]["find_lungs"]["outs"]
    return str(next(out["md5"] for out in made if out["path"] == "data/film/val.safetensors"))


@pytest.mark.slow
def test_the_pipeline_knows_nothing_of_the_study(repo: Path) -> None:
    assert ran(run(repo, "dvc", "repro", "-P")) == []
    for command in (("stage", "list", "--name-only"), ("dag",), ("metrics", "show")):
        assert "study" not in run(repo, "dvc", *command)


@pytest.mark.slow
def test_an_edited_word_or_message_trains_nothing_and_changed_code_does(repo: Path) -> None:
    compiled = repo / "src/cxr_distill/base/__pycache__/errors.cpython.pyc"
    compiled.parent.mkdir(exist_ok=True)
    compiled.write_bytes(b"compiled")
    for edited, stale in {
        "study/report/templates/study.j2": {"report"},
        "study/report/templates/words.yaml": {"report"},
        "study/report/plots.py": {"report"},
        "src/cxr_distill/base/templates.py": {"report"},
        "src/cxr_distill/base/errors.py": set(),
        "src/cxr_distill/base/params.py": set(),
        "stages/running.py": set(),
        "stages/compare.py": set(),
        "study/results/site.py": {"results"},
        "study/gather/gathered.py": {"gather"},
        "study/checks/pictures.py": {"checks"},
        "src/cxr_distill/release/int8.py": {"checks"},
        "src/cxr_distill/distill/losses.py": {"cells"},
        "study/plan/matrix.py": {"cells", "results"},
    }.items():
        path = repo / edited
        path.write_text(path.read_text() + "# changed\n")
        found = {*ran(run(repo / "study", "dvc", "repro", "--dry"))}
        heavy = {"checks", "cells"}
        assert found & heavy == stale & heavy and stale <= found, edited
        run(repo, "git", "checkout", "-q", edited)


@pytest.mark.slow
def test_deleted_outputs_come_back_from_the_store_and_a_changed_question_costs_its_networks(repo: Path) -> None:
    study, before = repo / "study", (repo / "study/dvc.lock").read_text()
    shutil.rmtree(study / "out/cells")
    shutil.rmtree(study / ".dvc/cache")
    output = run(study, "dvc", "repro", "cells")
    assert f"cells: {CELLS} of {CELLS} are in" in output and (study / "dvc.lock").read_text() == before
    params = study / "params.yaml"
    text = params.read_text()
    params.write_text(text.replace("learning_rates: [1.0e-5, 1.0e-3]", "learning_rates: [1.0e-5, 2.0e-3]"))
    output = run(study, "dvc", "repro", "cells")
    assert ran(output)[-1] == "cells" and f"cells: {CELLS - 6} of {CELLS} are in" in output
    assert len(names_in(study / "out/cells")) == CELLS
    params.write_text(text.replace("residual_4k", "renamed"))
    assert f"cells: {CELLS} of {CELLS} are in" in run(study, "dvc", "repro", "-s", "cells")
    assert "renamed_lungs_0.safetensors" in names_in(study / "out/cells")
    params.write_text(text)


@pytest.mark.slow
def test_a_wrong_setting_is_one_line_and_nothing_is_trained_or_lost(repo: Path) -> None:
    params, store = repo / "study/params.yaml", repo.parent / "store"
    text, kept, cells = params.read_text(), names_in(store), names_in(repo / "study/out/cells")
    for old, new, reason in (
        ("shares: [0.5]", "shares: [1.5]", "study/params.yaml: labels.shares.0"),
        ("pool: 2", "pool: 5", "study/params.yaml: blog_low_baseline_0: pool 5 does not divide"),
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
    assert names_in(store) == kept and names_in(repo / "study/out/cells") == cells
