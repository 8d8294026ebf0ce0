"""Where a training leaves what it needs to go on after it was killed."""

from __future__ import annotations

import os
import shutil
from hashlib import md5
from pathlib import Path

RESUME, FINISHED = Path(".resume"), "finished"
RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")
"""Variables of distributed training: all are 0 or missing in the first process."""


def start(name: str) -> Path:
    """The folder of the training of `name`, for its checkpoint.

    If `finish` was called for it and dvc.lock has that result, the run is over: the folder is emptied, so that
    `dvc repro --force` trains again. Of several processes, the first does that.
    """
    folder, lock = RESUME / name, Path("dvc.lock")
    note = folder / FINISHED
    first = not any(int(os.environ.get(rank) or 0) for rank in RANKS)
    if first and note.exists() and lock.exists() and note.read_text() in lock.read_text():
        shutil.rmtree(folder)
    return folder


def finish(name: str, weights: Path) -> None:
    """Remember in the folder of `start` that the training of `name` ended in the file `weights`."""
    note = RESUME / name / FINISHED
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(md5(weights.read_bytes()).hexdigest())
