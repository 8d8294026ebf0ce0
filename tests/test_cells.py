"""The students of the study: nothing is lost when a worker dies, and nothing stale is ever taken for a result."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from conftest import ROOT
from test_training import BALANCE, STUDENT, TEACHER, TRAIN, VAL, VIEWS, images

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import parse
from cxr_distill.base.tensors import write_tensors
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.layers import write_weights
from cxr_distill.nets.common.views import draw_view, network_input
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.nets.teacher.network import build_teacher
from cxr_distill.study.cells import cluster, keys
from cxr_distill.study.cells.cluster import Inputs, input_of, train_cells
from cxr_distill.study.cells.keys import cell_key, code_hash, environment
from cxr_distill.study.cells.network import cell_images
from cxr_distill.study.cells.store import default_store, open_store, read_cell, write_folder
from cxr_distill.study.cells.taught import collapse, teacher_modes
from cxr_distill.study.params import (
    AloneCell,
    Base,
    TaughtCell,
    cells_of,
    check_questions,
    families_of,
    no_views,
    setting_of,
)

OURS = DistillParams(alpha=0.9, temperature=4.0, loss="hinton")
BASE = Base(student=STUDENT, views=VIEWS, balance=BALANCE, precision="32-true", view_count=2)


def cell(kind: str = "baseline", seed: int = 0, **changes: Any) -> AloneCell | TaughtCell:
    values = {"group": "seeds", "arch": "plain", "channels": [4, 8, 8], "seed": seed, **changes}
    return AloneCell(**values) if kind == "baseline" else TaughtCell(**{"distill": OURS, **values})


SETTINGS = {
    name: setting_of(name, each, BASE)
    for name, each in {
        "alone": cell(seed=1),
        "pooled": cell(seed=2, pool=2, classes=2),
        "taught": cell("distilled", 1),
        "whole": cell("distilled", 2, views=False, teacher_mode="train"),
        "longer": cell("distilled", 3, epochs=30),
        "longest": cell("distilled", 4, epochs=60),
    }.items()
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    folder = tmp_path_factory.mktemp("inputs")
    for name, split in (("train", TRAIN), ("val", VAL), ("test", images(24, 2))):
        write_tensors(folder / name, {"images": split.pixels, "labels": split.labels})
    logits = np.random.default_rng(0).normal(size=(2, len(TRAIN.labels), 3)).astype(np.float32)
    write_tensors(folder / "soft_targets", {"logits": logits})
    write_weights(build_teacher(TEACHER), folder / "teacher")
    splits = {split: input_of(folder / split) for split in cluster.SPLITS}
    return Inputs(splits, input_of(folder / "soft_targets"), input_of(folder / "teacher"), TEACHER)


def dask(*command: str) -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.Popen([sys.executable, "-m", "dask", *command], env=env, stderr=subprocess.DEVNULL)


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
        while not known.exists():
            time.sleep(0.1)
        yield SimpleNamespace(address=yaml.safe_load(known.read_text())["address"], workers=workers)
    finally:
        for process in (*workers, *started):
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def one_worker(inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store after all settings were trained by a cluster of this machine with one worker."""
    store = tmp_path_factory.mktemp("one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "CPU_COUNT", 1)
        done, trained = train_cells(SETTINGS, inputs, store)
    assert set(done) == set(SETTINGS) and trained["processor"].endswith("1 thread")
    return store


def content(store: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in store.iterdir()}


def test_a_worker_killed_in_the_middle_costs_nothing_and_changes_no_byte(
    inputs: Inputs, one_worker: Path, running: SimpleNamespace, tmp_path: Path
) -> None:
    left: list[int] = []

    def kill() -> None:
        while not list(tmp_path.glob("*.safetensors")):
            time.sleep(0.02)
        left.append(len(SETTINGS) - len(list(tmp_path.glob("*.safetensors"))))
        running.workers[0].send_signal(signal.SIGKILL)

    killer = Thread(target=kill)
    killer.start()
    train_cells(SETTINGS, inputs, tmp_path, scheduler=running.address)
    killer.join()
    assert left[0] > 1 and running.workers[0].wait() == -signal.SIGKILL and running.workers[1].poll() is None
    assert content(tmp_path) == content(one_worker) and len(content(tmp_path)) == len(SETTINGS)


def test_one_changed_cell_trains_one_and_a_damaged_file_is_trained_again(
    inputs: Inputs, one_worker: Path, running: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(one_worker, tmp_path, dirs_exist_ok=True)
    changed = {**SETTINGS, "alone": setting_of("alone", cell(seed=7), BASE)}
    train_cells(changed, inputs, tmp_path, scheduler=running.address)
    assert "cells: 5 of 6 are in" in capsys.readouterr().out
    damaged, cut = (tmp_path / name for name in sorted(content(one_worker))[:2])
    damaged.write_bytes(damaged.read_bytes()[:-1] + bytes([damaged.read_bytes()[-1] ^ 1]))
    cut.write_bytes(cut.read_bytes()[:100])
    train_cells(SETTINGS, inputs, tmp_path, scheduler=running.address)
    assert "cells: 4 of 6 are in" in capsys.readouterr().out
    assert content(one_worker).items() <= content(tmp_path).items()


def test_a_cell_that_fails_is_named_and_the_others_are_kept(
    inputs: Inputs, running: SimpleNamespace, tmp_path: Path
) -> None:
    bad = setting_of("diverges", cell(learning_rate=1e30, epochs=1), BASE)
    few = {"diverges": bad, "pooled": SETTINGS["pooled"]}
    with pytest.raises(CxrError, match=r"^cell diverges: the loss became NaN") as caught:
        train_cells(few, inputs, tmp_path, scheduler=running.address)
    assert "\n" not in str(caught.value) and len(content(tmp_path)) == 1


def test_workers_that_loaded_other_code_or_files_are_refused(
    inputs: Inputs, running: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forged = {**inputs.splits, "val": cluster.Input(inputs.splits["val"].path, "0" * 64)}
    with pytest.raises(CxrError, match="has changed, or is another file"):
        one = {"pooled": SETTINGS["pooled"]}
        train_cells(
            one, Inputs(forged, inputs.soft_targets, inputs.teacher, TEACHER), tmp_path, scheduler=running.address
        )
    own = environment()
    assert cluster.common_environment([{**own, "processor": "other"}], own)["processor"] == "other"
    with pytest.raises(CxrError, match="use workers of one kind"):
        cluster.common_environment([own, {**own, "processor": "other"}], own)
    with pytest.raises(CxrError, match="restart them from this checkout"):
        cluster.common_environment([{**own, "code": {}}], own)
    monkeypatch.setattr(cluster, "PATIENCE", 1)
    with pytest.raises(CxrError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        train_cells(SETTINGS, inputs, tmp_path, scheduler="tcp://127.0.0.1:9")
    assert content(tmp_path) == {}


def stale(inputs: Inputs, changed: Inputs) -> set[str]:
    where = environment()
    return {
        name
        for name, setting in SETTINGS.items()
        if cell_key(setting, inputs.of(setting), where) != cell_key(setting, changed.of(setting), where)
    }


def test_another_input_makes_the_cells_stale_that_are_made_from_it(inputs: Inputs) -> None:
    other = cluster.Input(Path("other"), "1" * 64)
    taught = {name for name, setting in SETTINGS.items() if setting.teacher}
    test = {**inputs.splits, "test": other}
    assert stale(inputs, Inputs(test, inputs.soft_targets, inputs.teacher, TEACHER)) == set(SETTINGS)
    assert stale(inputs, Inputs(inputs.splits, other, inputs.teacher, TEACHER)) == taught - {"whole"}
    assert stale(inputs, Inputs(inputs.splits, inputs.soft_targets, other, TEACHER)) == {"whole"}


def test_other_code_versions_or_processors_make_a_cell_stale(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    for module in ("keys", "network", "taught"):
        assert (tmp_path / f"src/cxr_distill/study/cells/{module}.py").exists()
    monkeypatch.setattr(keys, "SOURCE", tmp_path / "src")

    def hashes() -> list[str]:
        return [code_hash(f"cxr_distill.study.cells.{module}") for module in ("network", "taught")]

    before = hashes()
    assert before == [environment()["code"][kind] for kind in ("alone", "taught")]
    for file, changes in {
        "study/cells/cluster.py": [False, False],
        "study/answers/report.py": [False, False],
        "distill/losses.py": [False, True],
        "training/loop.py": [True, True],
    }.items():
        path = tmp_path / "src/cxr_distill" / file
        kept = path.read_text()
        path.write_text(kept + "# changed\n")
        assert [one != other for one, other in zip(before, hashes(), strict=True)] == changes, file
        path.write_text(kept)
    where, setting = environment(), SETTINGS["alone"]
    key = cell_key(setting, inputs.of(setting), where)
    for name in ("versions", "processor"):
        assert cell_key(setting, inputs.of(setting), {**where, name: "other"}) != key


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


def test_the_main_run_is_a_seed_of_the_study_and_other_distillation_is_none() -> None:
    cells = {"a": cell(seed=1), "b": cell("distilled", 1)}
    expected = {"plain-baseline": {0: None, 1: "a"}, "plain-distilled": {0: None, 1: "b"}}
    assert families_of(cells, STUDENT, OURS) == expected
    with pytest.raises(CxrError, match=r"taught\.b\.distill is not `distill`"):
        families_of(cells, STUDENT, OURS.model_copy(update={"alpha": 0.5}))
    with pytest.raises(CxrError, match="needs two seeds"):
        families_of({"a": cell(seed=0), "b": cell("distilled", 0)}, STUDENT, OURS)
    with pytest.raises(CxrError, match=r"b\.channels is not \[4, 8, 8\]"):
        families_of({"a": cell(seed=1), "b": cell("distilled", 1, channels=[4, 8, 9])}, STUDENT, OURS)


def test_a_question_without_its_cells_is_refused_before_any_training() -> None:
    seeds = {"a": cell(seed=1), "b": cell("distilled", 1)}
    grid = {"g": cell(group="grid"), "h": cell("distilled", group="grid")}
    blog = {rate: cell(group="blog", learning_rate=float(rate)) for rate in ("1e-5", "1e-3")}
    check_questions({**seeds, **grid, **blog}, STUDENT, OURS)
    for cells, reason in (
        ({**seeds, "h": grid["h"], **blog}, "group grid needs one student in alone"),
        ({**seeds, **grid, "again": grid["h"], **blog}, "two students of one loss"),
        ({**seeds, **grid, "1e-5": blog["1e-5"]}, "need learning_rate"),
    ):
        with pytest.raises(CxrError, match=reason):
            check_questions(cells, STUDENT, OURS)


def test_a_wrong_setting_is_named() -> None:
    good = {"group": "grid", "arch": "plain", "channels": [4, 8, 8], "seed": 0}
    for sections, reason in (
        ({"alone": {"x": {**good, "epochs": 0}}}, r"study/params\.yaml: alone\.x\.epochs"),
        ({"alone": {"x": good}, "taught": {"x": good}}, "x in both alone and taught"),
        (
            {"taught": {"x": {**good, "distill": OURS.model_dump(), "teacher_mode": "train"}}},
            r"taught\.x: .*teacher_mode: train needs views: false",
        ),
    ):
        with pytest.raises(CxrError, match=reason):
            cells_of(sections)
    with pytest.raises(CxrError, match=r"study/params\.yaml: x.*three channels"):
        setting_of("x", cell(channels=[4, 8]), BASE)


def test_every_committed_cell_is_a_student_that_can_be_built() -> None:
    main = yaml.safe_load((ROOT / "params.yaml").read_text())
    student = parse(StudentParams, main["student"], "student")
    cells = cells_of(yaml.safe_load((ROOT / "study/params.yaml").read_text()))
    check_questions(cells, student, parse(DistillParams, main["distill"], "distill"))
    base = BASE.model_copy(update={"student": student})
    for name, each in cells.items():
        setting = setting_of(name, each, base)
        build_student(setting.student, classes=setting.classes)
        assert main["preprocess"]["image_size"] % setting.pool == 0
    assert len(families_of(cells, student, OURS)[f"{student.arch}-baseline"]) >= 5


def test_two_classes_keep_the_probability_of_normal() -> None:
    logits = np.array([[0.3, -1.0, 2.0]], dtype=np.float32)
    two = collapse(logits, classes=2)
    before, after = (np.exp(each[0, 0]) / np.exp(each).sum() for each in (logits, two))
    assert two.shape == (1, 2) and before == pytest.approx(after, rel=1e-6)
    assert collapse(logits, classes=3) is logits


def test_a_cell_sees_means_of_blocks_and_two_labels() -> None:
    small = cell_images(TRAIN, pool=2, classes=2)
    assert small.pixels.shape == (48, 12, 12) and set(small.labels) == {0, 1}
    assert small.pixels[0, 0, 0] == round(TRAIN.pixels[0, :2, :2].mean())
    with pytest.raises(CxrError, match="pool 5"):
        cell_images(TRAIN, pool=5, classes=3)


def test_no_views_leave_an_image_as_it_is() -> None:
    pixels = torch.from_numpy(TRAIN.pixels)
    same = network_input(pixels, draw_view(len(pixels), no_views(VIEWS), number=3))
    assert torch.allclose(same, network_input(pixels), atol=2e-4)


def test_whole_targets_in_train_mode_go_by_the_batch_and_leave_the_teacher_alone() -> None:
    teacher = build_teacher(TEACHER).eval()
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    logits = teacher_modes(teacher, TRAIN.pixels, batch_size=16)
    assert logits["eval"].shape == logits["train"].shape == (48, 3)
    assert not np.allclose(logits["eval"], logits["train"], atol=0.05)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert np.array_equal(logits["train"], teacher_modes(teacher, TRAIN.pixels, batch_size=16)["train"])
