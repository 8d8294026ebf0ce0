"""The student, small enough for any machine: three convolutions as in the blog post, or a residual network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

from cxr_distill.base.classes import CLASSES
from cxr_distill.base.errors import CxrError
from cxr_distill.nets.common.layers import OperatingPoint, Standardise, count_parameters, load_weights
from cxr_distill.nets.common.residual import ResidualBlock
from cxr_distill.nets.student.params import StudentParams

MAX_STUDENT_PARAMETERS = 277_000
KERNELS = (7, 5, 3)  # sides, in pixels, of the plain student's convolutions


def build_student(params: StudentParams, *, classes: int = len(CLASSES)) -> nn.Module:
    """(B, 1, S, S) in [0, 1] to logits (B, `classes`); ends in global average pooling and a linear layer.

    Raises CxrError above MAX_STUDENT_PARAMETERS.
    """
    torch.manual_seed(params.seed)
    body = {"plain": _plain, "residual": _residual}[params.arch](params.channels)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(params.channels[-1], classes)]
    net = nn.Sequential(Standardise(), *body, *head, OperatingPoint())
    if (count := count_parameters(net)) > MAX_STUDENT_PARAMETERS:
        raise CxrError(
            f"student.channels: {count:,} parameters, more than {MAX_STUDENT_PARAMETERS:,}; make a layer narrower"
        )
    return net


def load_student(params: StudentParams, path: Path, *, classes: int = len(CLASSES)) -> nn.Module:
    """A trained student from its weights file."""
    net = build_student(params, classes=classes)
    load_weights(net, path)
    return net


def _convolution(narrow: int, wide: int, kernel: int, *, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(narrow, wide, kernel, stride=stride, padding=kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(wide), nn.ReLU(inplace=True)]


def _plain(channels: Sequence[int]) -> list[nn.Module]:
    first, second, third = (
        _convolution(narrow, wide, kernel, stride=2 if narrow == 1 else 1)
        for (narrow, wide), kernel in zip(pairwise([1, *channels]), KERNELS, strict=True)
    )
    return [*first, nn.MaxPool2d(2), *second, nn.MaxPool2d(2), *third]


def _residual(channels: Sequence[int]) -> list[nn.Module]:
    # He et al., arXiv 1512.03385, one block a stage. Every stage but the last halves the image, the first included,
    # because the time grows with the resolution.
    body = _convolution(1, channels[0], 7, stride=2)
    for number, (narrow, wide) in enumerate(pairwise([channels[0], *channels])):
        body.append(ResidualBlock(narrow, wide, stride=2 if number < len(channels) - 1 else 1))
    return body
