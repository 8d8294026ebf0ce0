"""The teacher: any torchvision classifier of images of any size, or a small residual network, on grey images."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.error import URLError

import torch
from torch import Tensor, nn

from cxr_distill.base.classes import CLASSES
from cxr_distill.base.errors import CxrError
from cxr_distill.nets.common.layers import OperatingPoint, Standardise, load_weights
from cxr_distill.nets.common.residual import ResidualBlock
from cxr_distill.nets.teacher.params import TeacherParams

SMALL = "small_resnet"
WIDTHS = (16, 32, 64, 128)
"""Of the stages of SMALL, which is otherwise a ResNet-18 of a quarter of the width: 700 thousand parameters."""


def build_teacher(params: TeacherParams, *, classes: int = len(CLASSES), side: int | None = None) -> nn.Module:
    """A classifier of grey input (B, 1, S, S) in [0, 1], with logits (B, `classes`).

    Raises CxrError for an unknown architecture, for one that cannot be trained on images S x S of `side` pixels, or if
    ImageNet weights cannot be had.
    """
    torch.manual_seed(params.seed)
    if params.arch == SMALL:
        if params.pretrained:
            raise CxrError(f"teacher.pretrained: there are no ImageNet weights of {SMALL}; set it to false")
        net = nn.Sequential(Standardise(), *_small(classes), OperatingPoint())
    else:
        net = nn.Sequential(Standardise(), _of_torchvision(params, classes), OperatingPoint())
    if side is not None:
        _try(net, params.arch, classes=classes, side=side)
    return net


def _small(classes: int) -> list[nn.Module]:
    # Without torchvision, whose import takes longer than a demo's teacher trains.
    body: list[nn.Module] = [
        nn.Conv2d(1, WIDTHS[0], 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(WIDTHS[0]),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, stride=2, padding=1),
    ]
    for narrow, wide in pairwise((WIDTHS[0], *WIDTHS)):
        body += [ResidualBlock(narrow, wide, stride=1 if wide == WIDTHS[0] else 2), ResidualBlock(wide, wide, stride=1)]
    return [*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(WIDTHS[-1], classes)]


def _of_torchvision(params: TeacherParams, classes: int) -> nn.Module:
    import torchvision.models
    from torchvision.models import get_model, list_models

    if params.arch not in list_models(module=torchvision.models):
        raise CxrError(f"teacher.arch: no classifier {params.arch!r}; try resnet18 or {SMALL}")
    if not params.pretrained:
        net: nn.Module = get_model(params.arch, weights=None, num_classes=classes)
    else:
        try:
            net = get_model(params.arch, weights="DEFAULT")
        except (URLError, OSError) as error:
            raise CxrError(
                f"teacher.pretrained: cannot fetch ImageNet weights ({error}); go online or set it to false"
            ) from error
        _replace_last_linear(net, params.arch, classes)
    _make_grey(net)
    return net


def _make_grey(net: nn.Module) -> None:
    name, rgb = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3)
    grey = deepcopy(rgb)
    grey.in_channels = 1
    # A grey image is R = G = B, for which summing the three filters is exact.
    grey.weight = nn.Parameter(rgb.weight.detach().sum(dim=1, keepdim=True))
    net.set_submodule(name, grey)


def _replace_last_linear(net: nn.Module, arch: str, classes: int) -> None:
    heads = [(name, module) for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    if not heads:
        raise CxrError(f"teacher.pretrained: {arch} ends in no linear layer; set it to false, or take resnet18")
    name, head = heads[-1]
    net.set_submodule(name, nn.Linear(head.in_features, classes))


def _try(net: nn.Module, arch: str, *, classes: int, side: int) -> None:
    """Raises CxrError unless a copy of the network answers two such images as a classifier in training does."""
    assert isinstance(net, nn.Sequential)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            logits: Any = deepcopy(net[:-1]).train()(torch.zeros(2, 1, side, side))
    except Exception as error:  # each architecture has its own way to say that an image is too small
        reason = " ".join(str(error).split())[:120]
        raise CxrError(f"teacher.arch: {arch} takes no images of {side} pixels ({reason}); try resnet18") from None
    if not isinstance(logits, Tensor) or logits.shape != (2, classes):
        raise CxrError(f"teacher.arch: {arch} gives several answers while it trains; try resnet18")


def load_teacher(params: TeacherParams, path: Path, *, classes: int = len(CLASSES)) -> nn.Module:
    """A trained teacher from its weights file; ImageNet weights are never asked for."""
    net = build_teacher(params.model_copy(update={"pretrained": False}), classes=classes)
    load_weights(net, path)
    return net
