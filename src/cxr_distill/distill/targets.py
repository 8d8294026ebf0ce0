"""The file of soft targets: the teacher's logits for views of the training films, and of what they were made.

Logits belong to one view of one film by one teacher. The file's key covers the teacher's weights, the films and every
knob of the views, and a file with another key is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.tensors import read_tensors, write_tensors
from cxr_distill.nets.common.params import ViewParams


class SoftTargets(NamedTuple):
    """What the teacher says: logits float32 (V, N, K) of views of the training films, and its AUROC on validation."""

    logits: NDArray[np.float32]
    validation_auroc: float


def target_key(*, films: Path, views: ViewParams, teacher: Path | None = None) -> dict[str, str]:
    """What soft targets depend on: SHA-256 of the file of training films, of the views' knobs, and of the weights file.

    The file of films has the boxes too, by which lungs were cut. Without `teacher`, the key fits any teacher.
    """
    key = {"films": file_sha256(films), "views": sha256(views.model_dump_json().encode()).hexdigest()}
    return key if teacher is None else {"teacher": file_sha256(teacher), **key}


def write_soft_targets(path: Path, targets: SoftTargets, key: Mapping[str, str]) -> None:
    """Write them with their key."""
    write_tensors(path, {"logits": targets.logits}, {**key, "validation_auroc": repr(targets.validation_auroc)})


def read_soft_targets(path: Path, key: Mapping[str, str], *, count: int) -> SoftTargets:
    """The soft targets of `count` views. Raises CxrError if the file is of anything but `key`, or too short."""
    tensors, found = read_tensors(path)
    if wrong := [name for name, value in key.items() if found.get(name) != value]:
        raise CxrError(f"{path} was made from another {' and '.join(wrong)}; run `dvc repro soft_targets`")
    logits = tensors["logits"]
    if len(logits) < count or not np.isfinite(logits).all():
        raise CxrError(
            f"{path} has {len(logits)} usable views, soft_targets.count is {count}; run `dvc repro soft_targets`"
        )
    return SoftTargets(logits[:count], float(found["validation_auroc"]))
