"""The files that a student is once it is released, to see how large and how fast they are."""

from __future__ import annotations

import numpy as np
from torch import nn

from cxr_distill.release.graph import Screener, to_onnx
from cxr_distill.release.int8 import quantise
from cxr_distill.release.typicality import Typicality

CALIBRATION = 16
"""Random images that set the ranges of int8."""


def released_files(student: nn.Module, *, size: int) -> dict[str, bytes]:
    """The ONNX files in single precision (`fp32`) and in `int8`, for images `size` x `size`.

    The values of the weights hardly change size and speed, so that the student may be untrained.
    """
    graph = to_onnx(Screener(student, Typicality(size), 1.0), size=size)
    random = np.random.default_rng(0).integers(0, 256, (CALIBRATION, size, size), np.uint8)
    files = {"fp32": graph, "int8": quantise(graph, random)}
    return {name: file.SerializeToString() for name, file in files.items()}
