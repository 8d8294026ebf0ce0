"""What every network has: standardised input, an operating point, weights on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import write_bytes
from cxr_distill.base.tensors import METADATA, read_tensors


class Standardise(nn.Module):
    """Every image to zero mean and about unit spread, because exposure is no sign of disease.

    It is part of the network, so that no caller can forget it.
    """

    def forward(self, pixels: Tensor) -> Tensor:
        """(B, 1, S, S) to the same shape."""
        mean = pixels.mean(dim=(2, 3), keepdim=True)
        spread = pixels.std(dim=(2, 3), keepdim=True, correction=0)
        return (pixels - mean) / (spread + 0.05)  # keeps the noise of an almost flat image small


class OperatingPoint(nn.Module):
    """Adds to the logit of normal the shift that `set_operating_point` found after training; 0 until then."""

    def __init__(self) -> None:
        super().__init__()
        self.normal = nn.Buffer(torch.zeros(()))

    def forward(self, logits: Tensor) -> Tensor:
        """(B, 3) to the same shape."""
        return torch.cat([logits[:, :1] + self.normal, logits[:, 1:]], dim=1)


def count_parameters(net: nn.Module) -> int:
    """Trainable numbers in a network."""
    return sum(parameter.numel() for parameter in net.parameters())


def write_weights(net: nn.Module, path: Path, *, trained: Mapping[str, str] | None = None) -> None:
    """The network's parameters and buffers as safetensors; `trained`: what `precision.trained_with` says."""
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in net.state_dict().items()}
    write_bytes(path, save(state, {METADATA: json.dumps(dict(trained or {}), sort_keys=True)}))


def read_trained(path: Path) -> dict[str, str]:
    """What `write_weights` was told of the training: `precision` and `processor`. Raises CxrError as `read_tensors`."""
    return read_tensors(path)[1]


def load_weights(net: nn.Module, path: Path) -> None:
    """Fill a network from safetensors. Raises CxrError if the file is missing, damaged or of another network."""
    try:
        net.load_state_dict(load(path.read_bytes()))
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise CxrError(f"cannot load {path}: {reason}; run `dvc repro` or `dvc checkout`") from error
