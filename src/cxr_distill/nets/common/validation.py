"""How well a network tells normal from pneumonia on validation films, in one number."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.nets.common.logits import predict_logits


def auroc(net: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> float:
    """AUROC of P(pneumonia) on `images` (N, S, S) as they are; `labels` (N,), 0 for normal."""
    return float(roc_auc_score(labels > 0, p_pneumonia(predict_logits(net, images))))
