"""The teacher: any torchvision classifier, on grey images."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision.models
from torch import nn
from torchvision.models import get_model, list_models

from cxr_distill.base.classes import CLASSES
from cxr_distill.base.errors import CxrError
from cxr_distill.nets.common.layers import OperatingPoint, Standardise, load_weights
from cxr_distill.nets.teacher.params import TeacherParams


def build_teacher(params: TeacherParams, *, classes: int = len(CLASSES)) -> nn.Module:
    """A torchvision classifier of grey input (B, 1, S, S) in [0, 1], with logits (B, `classes`).

    Raises CxrError for an unknown architecture, or if ImageNet weights cannot be fetched.
    """
    if params.arch not in list_models(module=torchvision.models):
        raise CxrError(f"teacher.arch: torchvision has no classifier {params.arch!r} (try resnet18)")
    torch.manual_seed(params.seed)
    if params.pretrained:
        try:
            net = get_model(params.arch, weights="DEFAULT")
        except (URLError, OSError) as error:
            raise CxrError(
                f"teacher.pretrained: cannot fetch ImageNet weights ({error}); go online or set it to false"
            ) from error
        _replace_last_linear(net, classes)
    else:
        net = get_model(params.arch, weights=None, num_classes=classes)
    _make_grey(net)
    return nn.Sequential(Standardise(), net, OperatingPoint())


def _make_grey(net: nn.Module) -> None:
    name, rgb = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3)
    grey = deepcopy(rgb)
    grey.in_channels = 1
    # A grey image is R = G = B, for which summing the three filters is exact.
    grey.weight = nn.Parameter(rgb.weight.detach().sum(dim=1, keepdim=True))
    net.set_submodule(name, grey)


def _replace_last_linear(net: nn.Module, classes: int) -> None:
    name, head = [(n, m) for n, m in net.named_modules() if isinstance(m, nn.Linear)][-1]
    net.set_submodule(name, nn.Linear(head.in_features, classes))


def load_teacher(params: TeacherParams, path: Path) -> nn.Module:
    """A trained teacher from its weights file; ImageNet weights are never asked for."""
    net = build_teacher(params.model_copy(update={"pretrained": False}))
    load_weights(net, path)
    return net
