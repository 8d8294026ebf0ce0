"""How well a network tells normal from pneumonia on validation films, in one number."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.probabilities import auroc
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.precision import CPU


def auroc_of(
    net: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.uint8], *, device: torch.device = CPU
) -> float:
    """AUROC of P(pneumonia) on `images` (N, S, S) as they are; `labels` (N,), 0 for normal."""
    return auroc(labels > 0, p_pneumonia(predict_logits(net, images, device=device)))
