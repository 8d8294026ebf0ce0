"""How large the files of a student are once it is released."""

from __future__ import annotations

import numpy as np
from torch import nn

from cxr_distill.release.graph import Screener, to_onnx
from cxr_distill.release.int8 import quantise
from cxr_distill.release.typicality import Typicality

CALIBRATION = 16
"""Drawn images that set the ranges of int8."""


def released_megabytes(student: nn.Module, *, size: int) -> dict[str, float]:
    """Megabytes of the ONNX file in single precision (`fp32`) and in `int8`, for images `size` x `size`.

    The values of the weights have no influence on it, so that the student may be untrained.
    """
    graph = to_onnx(Screener(student, Typicality(size), 1.0), size=size)
    drawn = np.random.default_rng(0).integers(0, 256, (CALIBRATION, size, size), np.uint8)
    files = {"fp32": graph, "int8": quantise(graph, drawn)}
    return {name: round(len(file.SerializeToString()) / 1e6, 4) for name, file in files.items()}
