"""The files that a student is once it is released, to see how large and how fast they are; for three classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from torch import nn

from cxr_distill.base.classes import CLASSES
from cxr_distill.base.errors import CxrError
from cxr_distill.base.labels import class_names
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.release.graph import Screener, to_onnx
from cxr_distill.release.int8 import quantise
from cxr_distill.release.typicality import Typicality

CALIBRATION = 16
"""Random images that set the ranges of int8."""


def released_files(student: nn.Module, *, size: int) -> dict[str, bytes]:
    """The ONNX files `fp32` and `int8`, for images `size` x `size`.

    The values of the weights hardly change size and speed, so that the student may be untrained.
    """
    graph = to_onnx(Screener(student, Typicality(size), 1.0), size=size)
    random = np.random.default_rng(0).integers(0, 256, (CALIBRATION, size, size), np.uint8)
    files = {"fp32": graph, "int8": quantise(graph, random)}
    return {name: file.SerializeToString() for name, file in files.items()}


def size_table(students: Mapping[str, StudentParams], *, size: int) -> pd.DataFrame:
    """Columns student, fp32, int8: megabytes of the released files of untrained students."""
    rows = []
    for name, params in students.items():
        files = released_files(build_student(params), size=size)
        rows.append({"student": name, **{kind: len(content) / 1e6 for kind, content in files.items()}})
    return pd.DataFrame(rows)


def require_three_classes(subtypes: Iterable[str], *, what: str) -> None:
    """Raises CxrError, naming `what` needs them, if the films tell two classes apart."""
    if class_names(subtypes) != CLASSES:
        raise CxrError(f"{what} needs films whose pneumonias are known to be bacterial or viral; these are not")
