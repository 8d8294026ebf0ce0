"""Where a training leaves what it needs to go on after it was killed."""

from __future__ import annotations

import shutil
from hashlib import md5
from pathlib import Path

RESUME, FINISHED = Path(".resume"), "finished"


def resume_folder(name: str) -> Path:
    """Where the training of `name` leaves the checkpoint from which it goes on if it is killed.

    If `note_finished` was called there and dvc.lock has that result, the run is over: the folder is emptied, so that
    `dvc repro --force` trains again.
    """
    folder, lock = RESUME / name, Path("dvc.lock")
    note = folder / FINISHED
    if note.exists() and lock.exists() and note.read_text() in lock.read_text():
        shutil.rmtree(folder)
    return folder


def note_finished(name: str, weights: Path) -> None:
    """Remember in the folder of `resume_folder` that the training of `name` ended in the file `weights`."""
    (RESUME / name / FINISHED).write_text(md5(weights.read_bytes()).hexdigest())
