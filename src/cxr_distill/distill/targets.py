"""The file of soft targets: a teacher's logits for views of the training images, with what they were made from.

Logits belong to one view of one image by one teacher. The file's key covers the teacher's weights, the images and
every knob of the views, and a file with another key is rejected.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.tensors import read_tensors, write_tensors
from cxr_distill.nets.common.params import ViewParams


def target_key(*, films: str, views: ViewParams, teacher: Path | None = None) -> dict[str, str]:
    """What soft targets depend on: SHA-256 of the file of training films, of the views' knobs, and of the weights file.

    `films`: the first of them. That file has the boxes too, by which a teacher's lungs were cut. Without `teacher`, the
    key fits the soft targets of any teacher.
    """
    key = {"films": films, "views": sha256(views.model_dump_json().encode()).hexdigest()}
    return key if teacher is None else {"teacher": file_sha256(teacher), **key}


def write_soft_targets(path: Path, logits: NDArray[np.float32], key: dict[str, str]) -> None:
    """Write logits float32 (V, N, K) with their key."""
    write_tensors(path, {"logits": logits}, key)


class SoftTargets(NamedTuple):
    """A teacher's logits float32 (count, N, K), and its AUROC on validation where the stage `soft_targets` asked."""

    logits: NDArray[np.float32]
    validation_auroc: float | None


def read_soft_targets(path: Path, key: dict[str, str], *, count: int) -> SoftTargets:
    """The soft targets of `count` views. Raises CxrError if the file was made from anything but `key`, or is short."""
    tensors, found = read_tensors(path)
    wrong = [name for name, value in key.items() if found.get(name) != value]
    if wrong:
        raise CxrError(f"{path} was made from another {' and '.join(wrong)}; run `dvc repro soft_targets`")
    logits = tensors["logits"]
    if len(logits) < count or not np.isfinite(logits).all():
        raise CxrError(
            f"{path} has {len(logits)} usable views, soft_targets.count is {count}; run `dvc repro soft_targets`"
        )
    asked = found.get("validation_auroc")
    return SoftTargets(logits[:count], None if asked is None else float(asked))
