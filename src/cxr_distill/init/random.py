"""Random first weights."""

from __future__ import annotations

from torch import nn

from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.params import StudentParams


def named() -> dict[str, str]:
    """What a weights file says of its first weights: nothing."""
    return {}


def begin(params: StudentParams, *, classes: int) -> nn.Module:
    """The student with the random weights that its seed gives."""
    return build_student(params, classes=classes)
