"""The files of a teacher's answers and of soft targets: logits for views of the training images, and of what.

Logits belong to one view of one image by one teacher. A file's key covers the teacher's weights, the images and every
knob of the views, and a file with another key is rejected.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cxr_distill.base.classes import mean_answer, p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.probabilities import auroc
from cxr_distill.base.tensors import read_tensors, write_tensors
from cxr_distill.nets.common.params import ViewParams


class Answers(NamedTuple):
    """What a teacher says: logits float32 of views of the training films (V, N, K), and of validation films (M, K)."""

    views: NDArray[np.float32]
    val: NDArray[np.float32]


class SoftTargets(NamedTuple):
    """What the teachers say on average: logits float32 (V, N, K), and the AUROC of their mean on validation."""

    logits: NDArray[np.float32]
    validation_auroc: float


def target_key(*, films: str, views: ViewParams) -> dict[str, str]:
    """What all answers depend on: the SHA-256 of the file of training films, and that of the views' knobs.

    The file of films has the boxes too, by which a teacher's lungs were cut.
    """
    return {"films": films, "views": sha256(views.model_dump_json().encode()).hexdigest()}


def write_answers(path: Path, answers: Answers, key: Mapping[str, str], *, teacher: Path) -> None:
    """Write a teacher's answers with their key and the SHA-256 of the `teacher`'s weights file."""
    write_tensors(path, answers._asdict(), {**key, "teacher": file_sha256(teacher)})


def average_answers(path: Path, files: Mapping[str, Path], labels: NDArray[np.uint8]) -> None:
    """Write to `path` the soft targets of the teachers whose answers are in `files`, by what they see.

    labels: (M,) of the validation films. Raises CxrError if a file is missing, damaged or of other films or views.
    """
    read = {sees: read_tensors(file) for sees, file in files.items()}
    keys = [{name: found.get(name) for name in ("films", "views")} for _, found in read.values()]
    views, val = ([tensors[name] for tensors, _ in read.values()] for name in ("views", "val"))
    if any(key != keys[0] for key in keys) or len({each.shape for each in views}) > 1 or len(val[0]) != len(labels):
        raise CxrError("the teachers answered to other films or views; run `dvc repro ask_teacher`")
    asked = auroc(labels > 0, p_pneumonia(mean_answer(val)))
    teachers = json.dumps({sees: found.get("teacher") for sees, (_, found) in read.items()})
    made_of = {**keys[0], "teachers": teachers, "validation_auroc": repr(asked)}
    write_tensors(path, {"logits": mean_answer(views)}, {name: str(value) for name, value in made_of.items()})


def read_answers(path: Path, key: Mapping[str, str], *, count: int) -> Answers:
    """A teacher's answers to `count` views. Raises CxrError if the file is of anything but `key`, or too short."""
    tensors, _ = _checked(path, key, "views", count, stage="ask_teacher")
    return Answers(tensors["views"][:count], tensors["val"])


def read_soft_targets(path: Path, key: Mapping[str, str], *, count: int) -> SoftTargets:
    """The soft targets of `count` views. Raises CxrError if the file is of anything but `key`, or too short."""
    tensors, found = _checked(path, key, "logits", count, stage="soft_targets")
    return SoftTargets(tensors["logits"][:count], float(found["validation_auroc"]))


def _checked(
    path: Path, key: Mapping[str, str], name: str, count: int, *, stage: str
) -> tuple[dict[str, NDArray[np.float32]], dict[str, str]]:
    tensors, found = read_tensors(path)
    if wrong := [name for name, value in key.items() if found.get(name) != value]:
        raise CxrError(f"{path} was made from another {' and '.join(wrong)}; run `dvc repro {stage}`")
    logits = tensors[name]
    if len(logits) < count or not np.isfinite(logits).all():
        raise CxrError(f"{path} has {len(logits)} usable views, soft_targets.count is {count}; run `dvc repro {stage}`")
    return tensors, found
