"""The networks: a torchvision teacher on grey images, and the three-convolution student."""

from __future__ import annotations

from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from urllib.error import URLError

import torch
import torchvision.models
from safetensors.torch import load, save
from torch import Tensor, nn
from torchvision.models import get_model, list_models

from cxr_distill.artifacts import write_bytes
from cxr_distill.classes import CLASSES
from cxr_distill.errors import CxrError
from cxr_distill.params.training import StudentParams, TeacherParams

MAX_STUDENT_PARAMETERS = 277_000


class Standardise(nn.Module):
    """Every image to zero mean and about unit spread: exposure says nothing about a lung.

    Part of the network, so that it is never forgotten.
    """

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 1, S, S) to the same shape."""
        mean = pixels.mean(dim=(2, 3), keepdim=True)
        spread = pixels.std(dim=(2, 3), keepdim=True, correction=0)
        return (pixels - mean) / (spread + 0.05)  # keeps the noise of an almost flat image small


class OperatingPoint(nn.Module):
    """Adds to the logit of normal what `operating_point.set_operating_point` found; nothing while training."""

    def __init__(self) -> None:
        super().__init__()
        self.normal = nn.Buffer(torch.zeros(()))

    def forward(self, logits: Tensor) -> Tensor:
        """(B, 3) to the same shape."""
        return torch.cat([logits[:, :1] + self.normal, logits[:, 1:]], dim=1)


def build_teacher(params: TeacherParams) -> nn.Module:
    """A torchvision classifier with grey input (B, 1, S, S) in [0, 1] and one logit per class of CLASSES.

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
        _replace_last_linear(net)
    else:
        net = get_model(params.arch, weights=None, num_classes=len(CLASSES))
    _make_grey(net)
    return nn.Sequential(Standardise(), net, OperatingPoint())


def _make_grey(net: nn.Module) -> None:
    name, rgb = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3)
    grey = deepcopy(rgb)
    grey.in_channels = 1
    # A grey image is R = G = B, for which summing the three filters is exact.
    grey.weight = nn.Parameter(rgb.weight.detach().sum(dim=1, keepdim=True))
    net.set_submodule(name, grey)


def _replace_last_linear(net: nn.Module) -> None:
    name, head = [(n, m) for n, m in net.named_modules() if isinstance(m, nn.Linear)][-1]
    net.set_submodule(name, nn.Linear(head.in_features, len(CLASSES)))


def load_teacher(params: TeacherParams, path: Path) -> nn.Module:
    """A trained teacher from its weights file; ImageNet weights are never asked for."""
    net = build_teacher(params.model_copy(update={"pretrained": False}))
    load_weights(net, path)
    return net


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


def count_parameters(net: nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(parameter.numel() for parameter in net.parameters())


def write_weights(net: nn.Module, path: Path) -> None:
    """The network's parameters and buffers as safetensors."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    write_bytes(path, save(state))


def load_weights(net: nn.Module, path: Path) -> None:
    """Fill a network from safetensors. Raises CxrError if the file is missing, damaged or of another network."""
    try:
        net.load_state_dict(load(path.read_bytes()))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CxrError(f"cannot load {path}: {reason}; run `dvc repro` or `dvc checkout`") from error
