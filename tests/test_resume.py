"""A training that was killed must go on, and one that has ended must be repeated if someone asks for it."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path

import pytest

from stages.resuming import note_finished, resume_folder


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
    assert resume_folder("teacher") == checkpoint.parent and checkpoint.exists()


def test_the_checkpoint_goes_once_the_lock_has_the_result() -> None:
    checkpoint, weights = left("teacher"), Path("weights")
    weights.write_bytes(b"trained")
    note_finished("teacher", weights)
    resume_folder("teacher")
    assert checkpoint.exists()  # DVC was killed before it wrote the lock: nothing is trained twice
    Path("dvc.lock").write_text(f"outs: [{{md5: {md5(b'trained').hexdigest()}}}]\n")
    resume_folder("teacher")
    assert not checkpoint.exists()


def test_a_lock_with_another_result_leaves_it() -> None:
    checkpoint, weights = left("teacher"), Path("weights")
    weights.write_bytes(b"trained")
    note_finished("teacher", weights)
    Path("dvc.lock").write_text(f"outs: [{{md5: {md5(b'of a colleague').hexdigest()}}}]\n")
    resume_folder("teacher")
    assert checkpoint.exists()
