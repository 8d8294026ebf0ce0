"""Normal against pneumonia: the loss, and the shift that puts P(pneumonia) = 0.5 where validation films ask for it."""

from __future__ import annotations

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from cxr_distill.nets.common.frames import in_frame
from cxr_distill.nets.common.layers import OperatingPoint
from cxr_distill.nets.common.params import OperatingPointParams
from cxr_distill.nets.common.views import stretch, to_input
from cxr_distill.training.sampling import shuffled_order


def balanced_weights(labels: Tensor) -> Tensor:
    """Weights (N,), mean one, under which normal and pneumonia count equally."""
    normal = labels == 0
    share = normal.float().mean()
    return torch.where(normal, 0.5 / share, 0.5 / (1 - share))


def screening_losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy (B,) in nats of normal against any pneumonia; logits (B, K), labels (B,)."""
    log_p = log_softmax(logits, dim=-1)
    return -torch.where(labels == 0, log_p[:, 0], log_p[:, 1:].logsumexp(dim=-1))


def set_operating_point(
    net: nn.Module, images: Tensor, labels: Tensor, params: OperatingPointParams, boxes: Tensor | None = None
) -> float:
    """Shift the logit of normal so that P(pneumonia) is right on average over shapes and frames; return the shift.

    The shift minimises `screening_losses`, both classes weighted equally, on validation `images` (N, S, S) stretched
    to each of `params.widths`, and `params.frames` times reframed by random films among them, if their `boxes` (N, 4)
    are given. Films of another hospital have other shapes, and squashing to a square keeps them as distortion; they are
    framed in other ways, too. No widths and no frames: no shift.
    """
    widths = params.widths
    point = next(module for module in net.modules() if isinstance(module, OperatingPoint))
    point.normal.zero_()
    rounds = params.frames if boxes is not None else 0
    if not (widths or rounds):
        return 0.0
    net.eval()
    batches = [stretch(part, width) for width in widths for part in images.split(64)]
    for number in range(rounds):
        assert boxes is not None
        partner = shuffled_order(len(images), seed=0, epoch=number)
        batches += [to_input(part) for part in in_frame(images, boxes, boxes[partner]).split(64)]
    with torch.inference_mode():
        logits = torch.cat([net(batch.contiguous(memory_format=torch.channels_last)) for batch in batches])
    logits = logits.double()  # fp32 leaves a flat minimum uncertain by 1e-4
    weights, repeated = balanced_weights(labels).repeat(len(widths) + rounds), labels.repeat(len(widths) + rounds)

    def loss(shift: float) -> float:
        shifted = torch.cat([logits[:, :1] + shift, logits[:, 1:]], dim=1)
        return float((screening_losses(shifted, repeated) * weights).mean())

    shift = float(minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-7}).x)
    point.normal.fill_(shift)
    return shift
