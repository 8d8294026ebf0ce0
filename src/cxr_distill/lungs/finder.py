"""The lung finder: a small residual network from a film to the box of both lungs, and its training."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import l1_loss

from cxr_distill.base.errors import CxrError
from cxr_distill.lungs.params import LungParams
from cxr_distill.nets.common.layers import Standardise, load_weights
from cxr_distill.nets.common.params import BalanceParams, FitSettings, TrainerParams, ViewParams
from cxr_distill.nets.common.precision import CPU
from cxr_distill.nets.common.residual import ResidualBlock
from cxr_distill.nets.common.views import network_input
from cxr_distill.training.data import Images, TrainingData
from cxr_distill.training.loop import fit
from cxr_distill.training.task import Batch, Task

SHIPPED = Path(__file__).parent / "finder.safetensors"
"""models/lung_finder.safetensors of the committed run: a test compares them."""
ENOUGH = 32
REDUCED = 8
"""Channels of the last map: its cells keep their places, from which a linear layer reads the box."""


def build_finder(params: LungParams, *, side: int) -> nn.Module:
    """(B, 1, S, S) in [0, 1], S = `side`, to boxes (B, 4)."""
    torch.manual_seed(params.seed)
    first = params.channels[0]
    body: list[nn.Module] = [
        nn.Conv2d(1, first, 7, stride=2, padding=3, bias=False),
        nn.BatchNorm2d(first),
        nn.ReLU(inplace=True),
    ]
    side = -(-side // 2)
    for narrow, wide in pairwise([first, *params.channels]):
        body.append(ResidualBlock(narrow, wide, stride=2))
        side = -(-side // 2)
    head = [nn.Conv2d(params.channels[-1], REDUCED, 1), nn.ReLU(inplace=True), nn.Flatten()]
    return nn.Sequential(Standardise(), *body, *head, nn.Linear(REDUCED * side * side, 4))


class BoxTask(Task):
    """The mean distance between the sides of the box of both lungs and those that the network finds."""

    def losses(self, batch: Batch, answers: Tensor) -> dict[str, Tensor]:
        return {"loss": l1_loss(answers, boxes_in_view(batch["labels"], batch["affine"]))}


def train_finder(
    params: LungParams,
    images: NDArray[np.uint8],
    boxes: NDArray[np.float32],
    views: ViewParams,
    trainer: TrainerParams,
    *,
    resume: Path | None = None,
) -> nn.Module:
    """A finder trained on grey uint8 `images` (N, S, S) with `boxes` (N, 4; NaN: none), under views without rotation.

    Raises CxrError if fewer than ENOUGH films have a box, and as `training.loop.fit` does.
    """
    known = ~np.isnan(boxes).any(axis=1)
    if known.sum() < ENOUGH:
        raise CxrError(f"{known.sum()} training films have a box of the lungs, and {ENOUGH} are needed to find others")
    net = build_finder(params, side=images.shape[-1])
    *_, head = net.children()
    assert isinstance(head, nn.Linear)
    with torch.no_grad():  # starts at the mean box
        head.weight.mul_(0.1)
        head.bias.copy_(torch.from_numpy(boxes[known]).mean(dim=0))
    films = Images(images[known], boxes[known])
    settings = FitSettings(
        views=views.model_copy(update={"rotation_degrees": 0.0}),  # a rotated box is no box
        balance=BalanceParams(classes=False, batchnorm="views", film_quality=0.0),
        operating_point=None,
        trainer=trainer,
        validate_after="never",
        resume=resume,
    )
    fit(BoxTask(net, params), TrainingData(films, films), settings)
    if not all(parameter.isfinite().all() for parameter in net.parameters()):
        raise CxrError("the training of the lung finder diverged; lower lungs.learning_rate")
    return net.eval()


def shipped_finder(params: LungParams, *, side: int) -> nn.Module:
    """The finder that was trained on Kaggle's data set, for archives without boxes.

    Raises CxrError if `params.channels` or `side` are not those that it was trained with.
    """
    net = build_finder(params, side=side)
    try:
        load_weights(net, SHIPPED)
    except CxrError:
        raise CxrError(
            "the archive has no boxes of the lungs, and the lung finder that this project ships is for other params; "
            "set lungs.channels and preprocess.image_size as they were committed"
        ) from None
    return net.eval()


def boxes_in_view(boxes: Tensor, affine: Tensor) -> Tensor:
    """Boxes (N, 4) as they lie in views with maps `affine` (N, 2, 3) without rotation, cut at the border."""
    scale, shift = torch.stack([affine[:, 0, 0], affine[:, 1, 1]], dim=1), affine[:, :, 2]
    one, other = (((2 * corner - 1) - shift) / scale for corner in (boxes[:, :2], boxes[:, 2:]))
    corners = torch.cat([torch.minimum(one, other), torch.maximum(one, other)], dim=1)
    return ((corners + 1) / 2).clamp(0, 1)


def find_boxes(net: nn.Module, images: NDArray[np.uint8], *, device: torch.device = CPU) -> NDArray[np.float32]:
    """Boxes float32 (N, 4) within [0, 1] of grey uint8 `images` (N, S, S)."""
    net = net.eval().to(device)
    with torch.inference_mode():
        parts = [net(network_input(part.to(device))).cpu() for part in torch.from_numpy(images).split(64)]
    found: NDArray[np.float32] = torch.cat(parts).clamp(0, 1).numpy()
    return found
