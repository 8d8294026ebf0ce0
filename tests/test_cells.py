"""The networks of the study: nothing is lost when a worker dies, and nothing stale is ever taken for a result."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from conftest import ROOT, with_path
from scipy.special import expit
from small_training import OURS, SETTINGS, STUDENT, TEACHER, TRAIN, VAL, VIEWS, images

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import parse
from cxr_distill.base.tensors import write_tensors
from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation.predictions import DRAWS
from cxr_distill.nets.common.layers import write_weights
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.params import ViewParams
from cxr_distill.nets.common.views import draw_view, network_input
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.network import build_teacher
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.training.data import Images
from study.cells import cluster, keys
from study.cells.cluster import Input, Inputs, input_of, keys_of, train_cells
from study.cells.distilled import collapse, train_distilled
from study.cells.keys import cell_key, code_hash, environment
from study.cells.network import framed, mean_scores, pooled, seen, train_baseline
from study.cells.store import default_store, open_store, read_cell, write_folder
from study.cells.teacher import by_mode, train_teacher
from study.plan.jobs import LONGEST, Base, jobs_of, no_views
from study.plan.labels import labelled_films
from study.plan.matrix import Main, Student, Teacher, by_seed, cells_of, main_student
from study.plan.params import Study, read_study
from study.plan.settings import Job, StudentSetting, TeacherSetting
from study.plan.site import SiteRows, in_order, site_rows

MAIN = Main(STUDENT, ["lungs"], OURS)
BASE = Base(
    student=STUDENT,
    baseline=STUDENT.model_copy(update={"label_smoothing": 0.1}),
    teacher=TEACHER.model_copy(update={"sees": ["lungs"], "epochs": 1}),
    fit=SETTINGS,
    view_count=2,
    frame_seed=0,
)
QUESTIONS: dict[str, Any] = {
    "students": {"main": {"arch": "plain", "channels": [4, 8, 8]}, "small": {"arch": "plain", "channels": [4, 4, 4]}},
    "seeds": 2,
    "size": ["small"],
    "labels": {"student": "small", "shares": [0.5]},
    "augmentation": {"student": "small"},
    "site": {"films": [20], "seeds": 2, "learning_rate": 1e-4},
    "blog": {
        "student": "small",
        "learning_rates": [1e-5, 1e-3],
        "distill": {"alpha": 0.25, "temperature": 1.0, "loss": "blog"},
        "classes": 2,
        "pool": 2,
        "epochs": 1,
        "keep": "best",
        "balance": {"classes": False, "film_quality": 0.0, "batchnorm": "views"},
        "operating_point": {"widths": [], "frames": 0},
    },
}


def asked(folder: Path, **changes: Any) -> Study:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump({**QUESTIONS, **changes}))
    return read_study(path)


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Job]:
    """One cell of every kind, teachers with their students."""
    study = asked(tmp_path_factory.mktemp("asked"))
    every = jobs_of(cells_of(study, MAIN), study, BASE)
    names = ("small_baseline_1", "main_film_0", "small_lungs_0", "main_both_1", "labels_50_baseline_0",
             "labels_50_lungs_0", "not_augmented_lungs_0", "blog_high_train_0", "teacher_film", "teacher_both",
             "teacher_lungs_50", "whole", "site_release", "site_20_random_0", "site_20_release_0")  # fmt: skip
    return {name: every[name] for name in names}


def with_boxes(split: Images) -> Images:
    random = np.random.default_rng(len(split.labels))
    low, high = random.uniform(0, 0.3, (len(split.labels), 2)), random.uniform(0.6, 1, (len(split.labels), 2))
    return replace(split, boxes=np.concatenate([low, high], axis=1).astype(np.float32))


FILMS = {"train": with_boxes(TRAIN), "val": with_boxes(VAL), "test": with_boxes(images(24, 2))}
LABELLED = np.arange(48) % 4 < 2


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("inputs")
    for split, each in FILMS.items():
        write_tensors(folder / f"film_{split}", {"images": each.pixels, "labels": each.labels, "boxes": each.boxes})
        write_tensors(folder / f"lungs_{split}", {"images": 255 - each.pixels, "labels": each.labels})
    logits = np.random.default_rng(0).normal(size=(2, 48, 3)).astype(np.float32)
    write_tensors(folder / "soft_targets", {"logits": logits})
    write_weights(build_teacher(TEACHER), folder / "teacher")
    files = {sees: {split: input_of(folder / f"{sees}_{split}") for split in FILMS} for sees in ("film", "lungs")}
    part = np.random.default_rng(0).permutation(sum(len(FILMS[split].labels) for split in ("train", "val"))) % 6
    site = {0: SiteRows(part < 2, part == 2, part == 5), 20: SiteRows(part == 3, part == 4, part == 5)}
    return Inputs(files, input_of(folder / "soft_targets"), input_of(folder / "teacher"), {0.5: LABELLED}, site)


def dask(*command: str) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "dask", *command]
    return subprocess.Popen(words, env=with_path("src"), stderr=subprocess.DEVNULL)


def wait_until(reached: Callable[[], bool]) -> None:
    for _ in range(15_000):
        if reached():
            return
        time.sleep(0.02)
    raise TimeoutError


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A Dask scheduler and two workers, each a process of its own."""
    folder = tmp_path_factory.mktemp("dask")
    known = folder / "scheduler.json"
    here = ["--scheduler-file", str(known), "--no-dashboard"]
    started = [dask("scheduler", *here, "--host", "127.0.0.1", "--port", "0")]
    alone = ["--nthreads", "1", "--no-nanny", "--host", "127.0.0.1", "--local-directory", str(folder)]
    workers = [dask("worker", *here, *alone) for _ in range(2)]
    try:
        wait_until(known.exists)
        yield SimpleNamespace(address=yaml.safe_load(known.read_text())["address"], workers=workers)
    finally:
        for process in (*workers, *started):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def one_worker(jobs: dict[str, Job], inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store after all jobs were done by a cluster of this machine with one worker."""
    store = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch, mock.patch.dict(os.environ):  # where Dask leaves OMP_NUM_THREADS=1
        patch.setattr(cluster, "CPU_COUNT", 1)
        done, trained = train_cells(jobs, inputs, store)
    assert set(done) == set(jobs) and trained["processor"].endswith("1 thread")
    return store


def content(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir()}


@pytest.mark.slow
def test_a_worker_killed_in_the_middle_costs_nothing_and_changes_no_byte(
    jobs: dict[str, Job], inputs: Inputs, one_worker: Path, running: SimpleNamespace, tmp_path: Path
) -> None:
    left: list[int] = []

    def kill() -> None:
        # Its teachers are done by then, and their students under way.
        wait_until(lambda: len(list(tmp_path.glob("*.safetensors"))) >= 4)
        left.append(len(jobs) - len(list(tmp_path.glob("*.safetensors"))))
        running.workers[0].send_signal(signal.SIGKILL)

    killer = Thread(target=kill, daemon=True)
    killer.start()
    train_cells(jobs, inputs, tmp_path, scheduler=running.address)
    killer.join()
    assert left[0] > 1 and running.workers[0].wait() == -signal.SIGKILL and running.workers[1].poll() is None
    assert content(tmp_path) == content(one_worker) and len(content(tmp_path)) == len(jobs)


@pytest.mark.slow
def test_one_changed_cell_trains_one_and_a_damaged_file_is_trained_again(
    jobs: dict[str, Job],
    inputs: Inputs,
    one_worker: Path,
    running: SimpleNamespace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(one_worker, tmp_path, dirs_exist_ok=True)
    name = "small_baseline_1"
    train_cells({**jobs, name: slower(jobs[name], 1e-4)}, inputs, tmp_path, scheduler=running.address)
    assert "cells: 14 of 15 are in" in capsys.readouterr().out
    where = keys_of(jobs, inputs, environment())
    damaged, cut = (tmp_path / f"{where[name]}.safetensors" for name in ("blog_high_train_0", "not_augmented_lungs_0"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + bytes([damaged.read_bytes()[-1] ^ 1]))
    cut.write_bytes(cut.read_bytes()[:100])
    train_cells(jobs, inputs, tmp_path, scheduler=running.address)
    assert "cells: 13 of 15 are in" in capsys.readouterr().out
    assert content(one_worker).items() <= content(tmp_path).items()


def slower(job: Job, learning_rate: float) -> Job:
    """The same job with another learning rate."""
    assert isinstance(job.setting, StudentSetting | TeacherSetting)
    part = "student" if isinstance(job.setting, StudentSetting) else "teacher"
    fit = getattr(job.setting, part).model_copy(update={"learning_rate": learning_rate})
    return replace(job, setting=job.setting.model_copy(update={part: fit}))


@pytest.mark.slow
def test_a_changed_teacher_costs_its_students_and_one_from_the_store_is_not_trained_again(
    jobs: dict[str, Job],
    inputs: Inputs,
    one_worker: Path,
    running: SimpleNamespace,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(one_worker, tmp_path, dirs_exist_ok=True)
    changed = {**jobs, "teacher_film": slower(jobs["teacher_film"], 1e-4)}
    done, _ = train_cells(changed, inputs, tmp_path, scheduler=running.address)
    assert "cells: 13 of 15 are in" in capsys.readouterr().out
    before, _ = train_cells(jobs, inputs, tmp_path, scheduler=running.address)
    assert "cells: 15 of 15 are in" in capsys.readouterr().out
    assert not np.array_equal(done["main_film_0"]["val"], before["main_film_0"]["val"])
    taught = tmp_path / f"{keys_of(jobs, inputs, environment())['labels_50_lungs_0']}.safetensors"
    taught.unlink()
    train_cells(jobs, inputs, tmp_path, scheduler=running.address)
    assert "cells: 14 of 15 are in" in capsys.readouterr().out
    assert content(one_worker).items() <= content(tmp_path).items()


@pytest.mark.slow
def test_a_cell_that_fails_is_named_with_its_students_and_the_others_are_kept(
    jobs: dict[str, Job], inputs: Inputs, running: SimpleNamespace, tmp_path: Path
) -> None:
    names = ("teacher_film", "main_film_0", "small_baseline_1", "blog_high_train_0", "whole")
    few = {name: jobs[name] for name in names}
    for name in ("teacher_film", "small_baseline_1"):
        few[name] = slower(few[name], 1e30)
    with pytest.raises(CxrError, match=r"^cell small_baseline_1: the loss became NaN") as caught:
        train_cells(few, inputs, tmp_path, scheduler=running.address)
    assert "; cell teacher_film: the loss became NaN" in str(caught.value)
    assert str(caught.value).endswith("(no teacher for main_film_0)") and "\n" not in str(caught.value)
    assert len(content(tmp_path)) == 2


@pytest.mark.slow
def test_workers_that_loaded_other_code_or_files_are_refused(
    jobs: dict[str, Job],
    inputs: Inputs,
    running: SimpleNamespace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forged = changed(inputs, "film", "val", Input(inputs.images["film"]["val"].path, "0" * 64))
    with pytest.raises(CxrError, match="has changed, or is another file"):
        one = {"baseline": jobs["small_baseline_1"]}
        train_cells(one, forged, tmp_path, scheduler=running.address)
    own = environment()
    assert cluster.common_environment([{**own, "processor": "other"}], own)["processor"] == "other"
    with pytest.raises(CxrError, match="use workers of one kind"):
        cluster.common_environment([own, {**own, "processor": "other"}], own)
    with pytest.raises(CxrError, match="restart them from this checkout"):
        cluster.common_environment([{**own, "code": {}}], own)
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with pytest.raises(CxrError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        train_cells(jobs, inputs, tmp_path, scheduler="tcp://127.0.0.1:9")
    assert content(tmp_path) == {}


def changed(inputs: Inputs, sees: str, split: str, file: Input) -> Inputs:
    return replace(inputs, images={**inputs.images, sees: {**inputs.images[sees], split: file}})


def test_another_input_makes_the_cells_stale_that_are_made_from_it(jobs: dict[str, Job], inputs: Inputs) -> None:
    other, where = Input(Path("other"), "1" * 64), environment()

    def stale(made_from: Inputs) -> set[str]:
        before, after = keys_of(jobs, inputs, where), keys_of(jobs, made_from, where)
        return {name for name in jobs if before[name] != after[name]}

    few_labels = {"teacher_lungs_50", "labels_50_lungs_0"}
    of_whole = {"whole", "not_augmented_lungs_0", "blog_high_train_0"}
    at_site = {"site_release", "site_20_random_0", "site_20_release_0"}
    assert stale(changed(inputs, "film", "test", other)) == set(jobs) - {"teacher_lungs_50", "whole", *at_site}
    assert stale(changed(inputs, "film", "val", other)) >= at_site
    rows = {**inputs.site, 0: inputs.site[20]}
    assert stale(replace(inputs, site=rows)) == {"site_release", "site_20_release_0"}
    of_both = {"teacher_both", "main_both_1"}
    assert stale(changed(inputs, "lungs", "val", other)) == few_labels | of_both
    assert stale(changed(inputs, "lungs", "train", other)) == few_labels | of_both | of_whole
    assert stale(replace(inputs, soft_targets=other)) == {"small_lungs_0"}
    assert stale(replace(inputs, weights=other)) == of_whole
    assert stale(replace(inputs, labelled={0.5: ~LABELLED})) == few_labels | {"labels_50_baseline_0"}


@pytest.mark.slow
def test_other_code_versions_or_processors_make_a_cell_stale(
    jobs: dict[str, Job], inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for room in ("src/cxr_distill", "study"):
        ignored = shutil.ignore_patterns("__pycache__", "src", "out")
        shutil.copytree(ROOT / room, tmp_path / room, ignore=ignored)
    monkeypatch.setattr(keys, "ROOT", tmp_path)

    def hashes() -> dict[str, str]:
        return {kind: code_hash(module.__name__) for kind, module in keys.CODE.items()}

    before = hashes()
    assert before == environment()["code"] and set(before) == {"baseline", "site", "distilled", "teacher"}
    for file, stale in {
        "study/cells/cluster.py": set(),
        "study/plan/matrix.py": set(),
        "study/plan/jobs.py": set(),
        "study/plan/params.py": set(),
        "study/report/plots.py": set(),
        "src/cxr_distill/base/errors.py": set(),
        "src/cxr_distill/base/params.py": set(),
        "src/cxr_distill/evaluation/metrics.py": set(),
        "src/cxr_distill/distill/losses.py": {"distilled"},
        "src/cxr_distill/nets/teacher/soft_targets.py": {"teacher"},
        "study/cells/distilled.py": {"distilled"},
        "study/cells/teacher.py": {"teacher"},
        "study/cells/site.py": {"site"},
        "study/plan/site.py": {"site"},
        "src/cxr_distill/nets/student/weights.py": {"site"},
        "src/cxr_distill/evaluation/frames.py": {"baseline", "site", "distilled", "teacher"},
        "src/cxr_distill/training/loop.py": {"baseline", "site", "distilled", "teacher"},
    }.items():
        path = tmp_path / file
        kept = path.read_text()
        path.write_text(kept + "# changed\n")
        after = hashes()
        assert {kind for kind in before if before[kind] != after[kind]} == stale, file
        path.write_text(kept)
    where, job = environment(), jobs["small_baseline_1"]
    key = cell_key(job.setting, inputs.of(job), where)
    for name in ("versions", "processor"):
        assert cell_key(job.setting, inputs.of(job), {**where, name: "other"}) != key


def test_the_output_holds_the_cells_and_nothing_that_was_there_before(tmp_path: Path) -> None:
    write_folder(tmp_path / "cells", {"old": {"val": np.zeros(1)}}, {})
    write_folder(tmp_path / "cells", {"new": {"val": np.ones(1)}}, {"precision": "32-true"})
    assert [path.name for path in (tmp_path / "cells").iterdir()] == ["new.safetensors"]


def test_the_store_is_in_the_users_cache_or_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXR_CELL_STORE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert default_store() == Path("/cache/cxr-distill/cells")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_store() == Path.home() / ".cache/cxr-distill/cells"
    monkeypatch.setenv("CXR_CELL_STORE", "~/mine")
    assert default_store() == Path.home() / "mine"
    assert read_cell(default_store(), "none") is None
    with pytest.raises(CxrError, match=r"cannot keep finished cells in /proc/none.*set CXR_CELL_STORE"):
        open_store(Path("/proc/none"))


def test_every_network_has_a_name_that_says_what_it_is_and_the_pipelines_own_are_not_trained_again(
    tmp_path: Path,
) -> None:
    study = asked(tmp_path)
    cells = cells_of(study, MAIN)
    assert by_seed(cells, "size", "main", "baseline") == {0: "baseline", 1: "main_baseline_1"}
    assert by_seed(cells, "size", "main", "lungs") == {0: "distilled", 1: "main_lungs_1"}
    assert by_seed(cells, "size", "main", "both") == {0: "main_both_0", 1: "main_both_1"}
    assert by_seed(cells, "size", "small", "lungs") == {0: "small_lungs_0", 1: "small_lungs_1"}
    assert by_seed(cells, "size", "small", "film") == {}
    assert by_seed(cells, "labels", "small", "lungs", share=0.5) == {0: "labels_50_lungs_0", 1: "labels_50_lungs_1"}
    assert {name for name, cell in cells.items() if isinstance(cell, Teacher)} == {
        "teacher_film", "teacher_both", "teacher_lungs_50",
    }  # fmt: skip
    size = [cell for cell in cells.values() if isinstance(cell, Student) and cell.group == "size"]
    assert all(cell.distill in (None, OURS) for cell in size)
    assert set(jobs_of(cells, study, BASE)) == set(cells) - {"baseline", "distilled"}
    from_seven = cells_of(study, replace(MAIN, student=STUDENT.model_copy(update={"seed": 7})))
    assert by_seed(from_seven, "size", "main", "baseline") == {7: "baseline", 8: "main_baseline_8"}


def test_the_study_trains_the_teachers_that_the_pipeline_has_not_and_asks_the_others(tmp_path: Path) -> None:
    study = asked(tmp_path)
    by_films, by_both = (cells_of(study, replace(MAIN, sees=sees)) for sees in (["film"], ["film", "lungs"]))
    assert by_films["teacher_lungs"] == Teacher("lungs") and "teacher_film" not in by_films
    assert by_films["distilled"] == Student("size", "main", "film", 0, OURS, "soft_targets")
    assert by_films["main_both_0"] == Student("size", "main", "both", 0, OURS, "teacher_both")
    assert by_films["teacher_film_50"] == Teacher("film", 0.5)
    assert by_both["teacher_film"] == Teacher("film") and "teacher_both" not in by_both
    assert by_both["distilled"] == Student("size", "main", "both", 0, OURS, "soft_targets")
    few, plainly, blog = (by_both[f"{name}_0"] for name in ("labels_50_both", "not_augmented_both", "blog_high_eval"))
    assert (few.source, plainly.source, blog.source) == ("teacher_both_50", "whole", "whole")


def test_few_labels_take_as_many_steps_and_their_teacher_no_longer_than_the_full_one(tmp_path: Path) -> None:
    study = asked(tmp_path, labels={"student": "small", "shares": [0.05, 0.5]})
    every = jobs_of(cells_of(study, MAIN), study, BASE)
    alone, taught = every["labels_5_baseline_0"].setting, every["labels_5_lungs_0"].setting
    assert isinstance(alone, StudentSetting) and isinstance(taught, StudentSetting)
    assert (alone.student.label_smoothing, taught.student.label_smoothing) == (0.1, STUDENT.label_smoothing)
    assert alone.student.epochs == 20 * STUDENT.epochs and alone.fit.view_count is None
    assert taught.student.epochs == STUDENT.epochs and taught.fit.view_count == 2
    assert taught.distill == DistillParams(alpha=1.0, temperature=4.0, loss="hinton")
    epochs = {share: every[f"teacher_lungs_{share}"].setting.teacher.epochs for share in ("5", "50")}
    assert epochs == {"5": LONGEST, "50": 2}


def index_of_films(patients: int = 60) -> pd.DataFrame:
    subtypes = ["normal", "bacterial", "viral"]
    rows = [
        ("train" if number % 5 else "val", f"p{number}", subtypes[number % 3])
        for number in range(patients)
        for _ in range(1 + number % 2)
    ]
    return pd.DataFrame(rows, columns=["split", "patient", "subtype"])


def test_labelled_are_whole_patients_of_every_subtype_and_the_few_are_among_the_many() -> None:
    index = index_of_films()
    train = index[index["split"] == "train"].reset_index(drop=True)
    chosen = {share: labelled_films(index, share) for share in (0.05, 0.2, 0.5, 1.0)}
    for share, rows in chosen.items():
        assert rows.shape == (len(train),)
        by_patient = train.assign(rows=rows).groupby("patient")["rows"]
        assert (by_patient.nunique() == 1).all()
        patients = train[rows].drop_duplicates("patient")["subtype"].value_counts()
        assert (patients == np.ceil(share * 16)).all() and len(patients) == 3
    assert all((chosen[few] <= chosen[many]).all() for few, many in ((0.05, 0.2), (0.2, 0.5), (0.5, 1.0)))
    shuffled = train.assign(split="train").sample(frac=1, random_state=1)
    again = shuffled["patient"][labelled_films(shuffled, 0.2)]
    assert set(again) == set(train["patient"][chosen[0.2]])


def test_a_site_has_whole_patients_of_high_numbers_and_a_smaller_one_is_part_of_a_larger_one() -> None:
    rows = [
        (("train", "val", "test")[number % 7 % 3], label, name.format(number))
        for number in range(1, 200)
        for label, name in (("NORMAL", "IM-{:04}"), ("NORMAL", "NORMAL2-IM-{:04}"), ("PNEUMONIA", "person{}_virus"),
                            ("PNEUMONIA", "person{}_bacteria"))
    ]  # fmt: skip
    index = pd.DataFrame(rows, columns=["split", "label", "patient"])
    both = in_order(index)
    whose = both["patient"].str.replace(r"^NORMAL2-|_[a-z]+$", "", regex=True)
    number = whose.str.extract(r"(\d+)$", expand=False).astype(int)
    sites = {films: site_rows(index, films, most=80) for films in (0, 20, 40, 80)}
    for films, site in sites.items():
        parts = {name: set(whose[part]) for name, part in vars(site).items()}
        assert not (parts["learned"] & parts["judged"] or (parts["learned"] | parts["judged"]) & parts["held_out"])
        assert all(both["label"][part].nunique() == 2 for part in vars(site).values())
        assert np.array_equal(site.held_out, sites[0].held_out)
        if films:
            assert films <= (site.learned | site.judged).sum() <= films + 3
            assert (sites[0].learned & (site.learned | site.judged)).sum() == 0
    for few, many in ((20, 40), (40, 80)):
        assert (sites[few].learned | sites[few].judged <= sites[many].learned | sites[many].judged).all()
    for label in ("NORMAL", "PNEUMONIA"):
        mine = (both["label"] == label).to_numpy()
        assert number[mine & sites[0].learned].max() <= number[mine & (sites[80].learned | sites[0].held_out)].min()
    with pytest.raises(CxrError, match="leave more than 400"):
        site_rows(index, 80, most=400)


@pytest.mark.slow
def test_a_film_without_a_label_does_not_reach_a_student_baseline_and_its_label_reaches_nobody(
    jobs: dict[str, Job],
) -> None:
    alone, taught = (jobs[f"labels_50_{how}_0"].setting for how in ("baseline", "lungs"))
    teacher = jobs["teacher_lungs_50"].setting
    assert isinstance(alone, StudentSetting) and isinstance(taught, StudentSetting)
    assert isinstance(teacher, TeacherSetting)
    train = FILMS["train"]
    other_labels = replace(train, labels=np.where(LABELLED, train.labels, 2 - train.labels))
    other_films = replace(other_labels, pixels=np.where(LABELLED[:, None, None], train.pixels, 255 - train.pixels))
    lungs = {split: replace(each, boxes=None) for split, each in FILMS.items()}
    logits = train_teacher(teacher, {"lungs": lungs}, LABELLED)
    for hidden in (other_labels, other_films):
        films = {**FILMS, "train": hidden}
        assert equal(train_baseline(alone, FILMS, LABELLED), train_baseline(alone, films, LABELLED))
        again = train_teacher(teacher, {"lungs": {**lungs, "train": replace(hidden, boxes=None)}}, LABELLED)
        assert equal({**logits, "views": logits["val"], "eval": logits["val"]},
                     {**again, "views": again["val"], "eval": again["val"]})  # fmt: skip
    relabelled = {"lungs": {**lungs, "train": replace(other_labels, boxes=None)}}
    assert equal(logits, train_teacher(teacher, relabelled, LABELLED))
    films = {**FILMS, "train": other_labels}
    one, other = (train_distilled(taught, each, logits, LABELLED) for each in (FILMS, films))
    assert equal(one, other)


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def test_a_teacher_says_what_it_thinks_of_every_view_and_of_whole_films(jobs: dict[str, Job]) -> None:
    setting = jobs["teacher_film"].setting
    assert isinstance(setting, TeacherSetting) and setting.teacher.sees == ["film"]
    found = train_teacher(setting, {"film": FILMS}, None)
    assert found["views"].shape == (2, 48, 3) and found["eval"].shape == (48, 3)
    assert not np.array_equal(found["val"], found["val_reframed"])
    # Lungs are cut out of a film in whatever frame it is.
    lungs = {split: replace(each, boxes=None) for split, each in FILMS.items()}
    of_lungs = train_teacher(setting, {"lungs": lungs}, None)
    assert np.array_equal(of_lungs["test"], of_lungs["test_reframed"])
    assert np.array_equal(of_lungs["test_reframed_any"], np.stack([of_lungs["test"]] * DRAWS))
    assert not np.array_equal(of_lungs["views"], found["views"])  # whose frames were exchanged


def test_a_teacher_of_both_says_the_mean_of_what_it_says_of_films_and_of_lungs() -> None:
    net, films = build_teacher(TEACHER), FILMS["val"]
    seen = [films, Images(255 - films.pixels, films.labels)]
    each = [framed(net, images, "val", frame_seed=0) for images in seen]
    both = mean_scores([{**one, "parameters": np.array([7])} for one in each])
    assert both["parameters"] == 7 and both["val_reframed_any"].shape == (DRAWS, 24)
    for place in each[0]:
        assert expit(both[place]) == pytest.approx((expit(each[0][place]) + expit(each[1][place])) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seeds": 1}, r"study/params\.yaml: seeds"),
        ({"labels": {**QUESTIONS["labels"], "shares": [5]}}, r"study/params\.yaml: labels\.shares\.0"),
        ({"blog": {**QUESTIONS["blog"], "student": "huge"}}, r"blog\.student: no student has the name 'huge'"),
        ({"ablation": {}}, r"study/params\.yaml: ablation: Extra inputs"),
        ({"size": None}, r"study/params\.yaml: size: Input should be a valid list"),
        ({"size": []}, r"study/params\.yaml: size: List should have at least 1 item"),
        ({"size": ["small", "huge"]}, r"size\.1: no student has the name 'huge'"),
        ({"students": {"small": QUESTIONS["students"]["small"]}}, "students needs one of arch"),
        ({"students": {**QUESTIONS["students"], "twin": QUESTIONS["students"]["main"]}}, "students needs one of arch"),
        ({"size": ["main"]}, "size needs small, to compare others with"),
        ({"blog": {**QUESTIONS["blog"], "learning_rates": [1e-3, 1e-5]}}, "the lower one comes first"),
        ({"students": {**QUESTIONS["students"], "small": {"arch": "plain", "channels": [4, 8]}}}, "three channels"),
    ],
)
def test_a_wrong_question_is_one_line_before_any_training(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(CxrError, match=reason) as caught:
        study = asked(tmp_path, **changes)
        jobs_of(cells_of(study, MAIN), study, BASE)
    assert str(caught.value).startswith("study/params.yaml: ") and "\n" not in str(caught.value)


def test_every_committed_cell_is_a_network_that_can_be_built() -> None:
    main = yaml.safe_load((ROOT / "params.yaml").read_text())
    student, teacher = (
        parse(kind, main[name], name) for kind, name in ((StudentParams, "student"), (TeacherParams, "teacher"))
    )
    study = read_study(ROOT / "study/params.yaml")
    of_pipeline = Main(student, teacher.sees, parse(DistillParams, main["distill"], "distill"))
    cells = cells_of(study, of_pipeline)
    settings = SETTINGS.model_copy(update={"views": parse(ViewParams, main["views"], "views")})
    base = BASE.model_copy(update={"student": student, "teacher": teacher, "fit": settings})
    for job in jobs_of(cells, study, base).values():
        if isinstance(job.setting, StudentSetting):
            build_student(job.setting.student, classes=job.setting.classes)
            assert main["preprocess"]["image_size"] % job.setting.pool == 0
    assert len(by_seed(cells, "size", main_student(study, of_pipeline), "baseline")) >= 5


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_are_log_odds_of_pneumonia_of_films_as_they_are_and_in_frames_of_others(classes: int) -> None:
    net, films = build_student(STUDENT, classes=classes), FILMS["val"]
    found = framed(net, films, "val", frame_seed=0)
    logits = predict_logits(net, films.pixels).astype(np.float64)
    p = 1 - np.exp(logits[:, 0]) / np.exp(logits).sum(axis=1)
    assert found["val"] == pytest.approx(np.log(p / (1 - p)), abs=1e-5)
    assert {name: each.shape for name, each in found.items()} == {
        "val": (24,), "val_reframed": (24,), "val_reframed_any": (DRAWS, 24),
    }  # fmt: skip
    assert {each.dtype for each in found.values()} == {np.dtype(np.float32)}
    assert len({each.tobytes() for each in (found["val"], found["val_reframed"], *found["val_reframed_any"])}) == 6
    with torch.no_grad():
        net[-2].bias[0] = torch.inf
    with pytest.raises(CxrError, match="the training diverged"):
        framed(net, films, "val", frame_seed=0)


def test_two_classes_keep_the_probability_of_normal() -> None:
    logits = np.array([[0.3, -1.0, 2.0]], dtype=np.float32)
    two = collapse(logits, classes=2)
    before, after = (np.exp(each[0, 0]) / np.exp(each).sum() for each in (logits, two))
    assert two.shape == (1, 2) and before == pytest.approx(after, rel=1e-6)
    assert collapse(logits, classes=3) is logits


def test_a_cell_sees_means_of_blocks_two_labels_and_the_same_frames() -> None:
    small = seen(FILMS["train"], pool=2, classes=2)
    assert small.pixels.shape == (48, 12, 12) and set(small.labels) == {0, 1}
    assert small.pixels[0, 0, 0] == round(TRAIN.pixels[0, :2, :2].mean())
    assert small.boxes is FILMS["train"].boxes
    with pytest.raises(CxrError, match="pool 5"):
        pooled(TRAIN.pixels, 5)


def test_no_views_leave_an_image_as_it_is() -> None:
    pixels, boxes = torch.from_numpy(TRAIN.pixels), torch.from_numpy(FILMS["train"].boxes)
    same = network_input(pixels, draw_view(len(pixels), no_views(VIEWS), number=3, boxes=boxes))
    assert torch.allclose(same, network_input(pixels), atol=2e-4)


def test_whole_images_in_train_mode_go_by_the_batch_and_leave_the_teacher_alone() -> None:
    teacher = build_teacher(TEACHER).eval()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    logits = by_mode(teacher, TRAIN.pixels, batch_size=16)
    assert logits["eval"].shape == logits["train"].shape == (48, 3)
    assert not np.allclose(logits["eval"], logits["train"], atol=0.05)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert np.array_equal(logits["train"], by_mode(teacher, TRAIN.pixels, batch_size=16)["train"])
