"""A training that was killed must go on, and one that has ended must be repeated if someone asks for it."""

from __future__ import annotations

import shutil
import subprocess
import time
from hashlib import md5
from pathlib import Path

import pytest
import torch
from conftest import ROOT, program, with_path
from lightning.pytorch.utilities import rank_zero_only
from small_training import DATA, SETTINGS, STUDENT, long_run

from cxr_distill.distill.task import DistillationTask
from cxr_distill.nets.student.network import build_student
from cxr_distill.training import resume
from cxr_distill.training.resume import EveryEpoch, resume_key
from cxr_distill.training.task import CrossEntropyTask
from stages.resuming import finish, start


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def left(name: str) -> Path:
    checkpoint = Path(".resume") / name / "key.ckpt"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.write_bytes(b"an epoch")
    return checkpoint


def test_a_newer_lock_leaves_the_checkpoint_of_an_unfinished_run() -> None:
    checkpoint = left("teacher")
    Path("dvc.lock").write_text("stages: {}  # written by another stage, or pulled\n")
    assert start("teacher") == checkpoint.parent and checkpoint.exists()


def test_the_checkpoint_goes_once_the_lock_has_the_result() -> None:
    checkpoint, weights = left("teacher"), Path("weights")
    weights.write_bytes(b"trained")
    finish("teacher", weights)
    start("teacher")
    assert checkpoint.exists()  # DVC was killed before it wrote the lock: nothing is trained twice
    Path("dvc.lock").write_text(f"outs: [{{md5: {md5(b'trained').hexdigest()}}}]\n")
    start("teacher")
    assert not checkpoint.exists()


def test_of_several_processes_only_the_first_removes_what_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint, weights = left("teacher"), Path("weights")
    weights.write_bytes(b"trained")
    finish("teacher", weights)
    Path("dvc.lock").write_text(f"outs: [{{md5: {md5(b'trained').hexdigest()}}}]\n")
    monkeypatch.setenv("LOCAL_RANK", "1")
    start("teacher")
    assert checkpoint.exists()  # the first process may be writing it
    monkeypatch.setenv("LOCAL_RANK", "0")
    start("teacher")
    assert not checkpoint.exists()


def test_a_lock_with_another_result_leaves_it() -> None:
    checkpoint, weights = left("teacher"), Path("weights")
    weights.write_bytes(b"trained")
    finish("teacher", weights)
    Path("dvc.lock").write_text(f"outs: [{{md5: {md5(b'of a colleague').hexdigest()}}}]\n")
    start("teacher")
    assert checkpoint.exists()


def checkpoint_of_a_run(folder: Path) -> tuple[EveryEpoch, Path]:
    folder.mkdir()
    file = folder / "key.ckpt"
    torch.save({"state": torch.ones(3)}, file)
    return EveryEpoch(folder, "key"), file


def test_too_little_memory_or_a_disk_that_fails_costs_no_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, file = checkpoint_of_a_run(tmp_path / "run")
    assert every.left() == file
    for error in (
        MemoryError(),
        OSError(5, "Input/output error"),
        RuntimeError("unable to mmap: Cannot allocate memory"),
    ):

        def fail(*_: object, **__: object) -> None:
            raise error  # noqa: B023

        with monkeypatch.context() as patch, pytest.raises(type(error)):
            patch.setattr(torch, "load", fail)
            every.left()
        assert every.left() == file


def test_a_damaged_checkpoint_is_no_start_and_asking_for_it_removes_nothing(tmp_path: Path) -> None:
    every, file = checkpoint_of_a_run(tmp_path / "run")
    other = file.with_name("other.ckpt")
    other.write_bytes(b"of another run")
    file.write_bytes(file.read_bytes()[:40])
    assert every.left() is None and file.exists() and other.exists()
    every.remove_others()
    assert file.exists() and not other.exists()


def test_of_several_processes_only_the_first_removes_other_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every, file = checkpoint_of_a_run(tmp_path / "run")
    other = file.with_name("other.ckpt")
    other.write_bytes(b"of another run")
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    every.remove_others()
    assert other.exists()


def test_a_checkpoint_is_of_the_code_that_the_run_imports_and_of_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(ROOT / "src/cxr_distill", tmp_path / "cxr_distill", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(resume, "SOURCE", tmp_path)

    def key() -> str:
        return resume_key(CrossEntropyTask(build_student(STUDENT), STUDENT), SETTINGS, DATA, {})

    before = key()
    for file, changes in {
        "training/loop.py": True,
        "training/sampling.py": True,
        "nets/common/layers.py": True,
        "distill/losses.py": False,
        "release/graph.py": False,
    }.items():
        path = tmp_path / "cxr_distill" / file
        text = path.read_text()
        path.write_text(text + "# changed\n")
        assert (key() != before) == changes, file
        path.write_text(text)
    assert key() == before


def test_an_interrupted_run_goes_on_from_its_last_epoch_and_ends_in_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, begun, starts = long_run(tmp_path / "whole"), [], DistillationTask.on_train_epoch_start

    def interrupted(task: DistillationTask) -> None:
        begun.append(task.current_epoch)
        if begun == [0, 1, 2, 3]:
            raise KeyboardInterrupt
        starts(task)

    monkeypatch.setattr(DistillationTask, "on_train_epoch_start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        long_run(tmp_path / "stopped")
    assert long_run(tmp_path / "stopped") == whole
    assert begun == [0, 1, 2, 3, 3, 4, 5, 6, 7]


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was_and_ends_in_the_same_bytes(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = long_run(tmp_path / "whole")
    killed = tmp_path / "killed"
    result = tmp_path / "result"
    command, env = program("long_run", killed, result), with_path("src", "tests")
    for epochs in (1, 3):
        process = subprocess.Popen(command, env=env)
        written, last = 0, None
        while written < epochs and process.poll() is None:
            times = [file.stat().st_mtime_ns for file in killed.glob("*.ckpt")]
            written += times not in ([], last)
            last = times or last
            time.sleep(0.005)
        process.kill()
        assert process.wait() != 0
    capfd.readouterr()
    subprocess.run(command, env=env, check=True)
    assert result.read_bytes() == whole
    output = "".join(capfd.readouterr())
    assert "Epoch 7" in output and "Epoch 0" not in output

    (left,) = killed.iterdir()
    assert long_run(killed, learning_rate=0.003) != whole  # another run, which starts afresh
    assert "Epoch 0" in "".join(capfd.readouterr())
    assert not left.exists() and len(list(killed.iterdir())) == 1
