"""Temperature scaling: one number, fitted on validation films, that makes P(pneumonia) mean what it says."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

LARGEST = 20.0


def fit_temperature(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """T such that sigmoid(logit(P) / T) has the least cross-entropy; `probabilities` (N,) and `labels` (N,), 1 for
    pneumonia.

    Normal and pneumonia weigh alike, as they do in the operating point: a half stays a half, and the result is right
    where both are equally common. Guo et al., arXiv 1706.04599, section 4.
    """
    # A P of exactly 0 or 1 is one that single precision could not tell from it.
    certainty = logit(np.clip(probabilities, 1e-12, 1 - 1e-12))
    towards = np.where(labels == 1, certainty, -certainty)
    weights = np.where(labels == 1, 0.5 / (labels == 1).sum(), 0.5 / (labels == 0).sum())

    def loss(log_temperature: float) -> float:
        return float(weights @ -np.log(np.maximum(expit(towards / np.exp(log_temperature)), 1e-300)))

    ends = (-np.log(LARGEST), np.log(LARGEST))
    return round(float(np.exp(minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-7}).x)), 4)
