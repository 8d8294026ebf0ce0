"""Logits of a network over a set of images, without gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_distill.nets.common.precision import CPU, FP32, autocast
from cxr_distill.nets.common.views import View, network_input


def predict_logits(
    net: nn.Module,
    images: NDArray[np.uint8],
    *,
    view: View | None = None,
    precision: str = FP32,
    device: torch.device = CPU,
    batch_size: int = 64,
) -> NDArray[Any]:
    """Logits float32 (N, 3) of grey uint8 `images` (N, S, S) in eval mode, as they are or under `view`.

    `precision`: as `precision.resolved` names it. The network stays on `device`.
    """
    net = net.eval().to(device).to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(images)
    logits = []
    with torch.inference_mode():
        for rows in torch.arange(len(pixels)).split(batch_size):
            drawn = None if view is None else view.rows(rows).to(device)
            batch = network_input(pixels[rows].to(device), drawn)
            with autocast(precision, device):
                logits.append(net(batch).float().cpu())
    return torch.cat(logits).numpy()
