"""Where P(pneumonia) is 0.5: found on validation films of several shapes, and kept in the network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from cxr_distill.nets.common.layers import OperatingPoint
from cxr_distill.nets.common.views import stretch
from cxr_distill.training.sampling import balanced_weights, screening_losses


def set_operating_point(net: nn.Module, images: Tensor, labels: Tensor, *, widths: Sequence[float]) -> float:
    """Shift the logit of normal so that P(pneumonia) is right on average over shapes of film; return the shift.

    The shift is the one with the least loss of normal against pneumonia, both weighted alike, on validation `images`
    (N, S, S) stretched to each of `widths`. Films of another place have other shapes, squashing keeps them as
    distortion, and a wide film looks more like pneumonia to a network that has learned from squashed ones.
    No `widths`: no shift.
    """
    point = next(module for module in net.modules() if isinstance(module, OperatingPoint))
    point.normal.zero_()
    if not widths:
        return 0.0
    net.eval()
    with torch.inference_mode():
        batches = [stretch(part, width) for width in widths for part in images.split(64)]
        logits = torch.cat([net(batch.contiguous(memory_format=torch.channels_last)) for batch in batches])
    logits = logits.double()  # single precision leaves a flat minimum uncertain by 1e-4
    weights, repeated = balanced_weights(labels).repeat(len(widths)), labels.repeat(len(widths))

    def loss(shift: float) -> float:
        shifted = torch.cat([logits[:, :1] + shift, logits[:, 1:]], dim=1)
        return float((screening_losses(shifted, repeated) * weights).mean())

    shift = float(minimize_scalar(loss, bounds=(-10, 10), method="bounded", options={"xatol": 1e-7}).x)
    point.normal.fill_(shift)
    return shift
