"""The student: three convolutions, small enough for any machine."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

from cxr_distill.classes import CLASSES
from cxr_distill.errors import CxrError
from cxr_distill.models import OperatingPoint, Standardise, count_parameters
from cxr_distill.params.student import StudentParams

MAX_STUDENT_PARAMETERS = 277_000


def build_student(params: StudentParams) -> nn.Module:
    """Three convolutions and a linear layer: (B, 1, S, S) in [0, 1] to logits (B, 3).

    Raises CxrError above MAX_STUDENT_PARAMETERS.
    """
    torch.manual_seed(params.seed)
    layers: list[nn.Module] = [Standardise()]
    for depth, (narrow, wide) in enumerate(pairwise([1, *params.channels])):
        kernel = params.kernels[depth]
        stride = 2 if depth == 0 else 1
        layers += [
            nn.Conv2d(narrow, wide, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU(inplace=True),
        ]
        if depth < 2:
            layers.append(nn.MaxPool2d(2))
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(params.channels[-1], len(CLASSES)), OperatingPoint()]
    net = nn.Sequential(*layers)
    if (count := count_parameters(net)) > MAX_STUDENT_PARAMETERS:
        raise CxrError(
            f"student.channels: {count:,} parameters, more than {MAX_STUDENT_PARAMETERS:,}; make a layer narrower"
        )
    return net
