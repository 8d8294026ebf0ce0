"""Temperature scaling: one number, fitted on validation films, after which P(pneumonia) can be read as a frequency."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_expit

from cxr_distill.base.probabilities import log_odds

LARGEST = 20.0
"""The temperature is looked for between 1 / LARGEST and LARGEST."""


def fit_temperature(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """T such that sigmoid(logit(P) / T) has the least cross-entropy, rounded to four digits.

    probabilities: (N,) in [0, 1]; labels: (N,), 1 for pneumonia. Both classes have the same total weight, as in the
    operating point: the result assumes 50% prevalence, and P = 0.5 stays 0.5. Guo et al., arXiv 1706.04599, section 4.
    """
    odds = log_odds(probabilities)
    signed = np.where(labels == 1, odds, -odds)
    weights = np.where(labels == 1, 0.5 / (labels == 1).sum(), 0.5 / (labels == 0).sum())

    def loss(log_temperature: float) -> float:
        return float(weights @ -log_expit(signed / np.exp(log_temperature)))

    bounds = (-np.log(LARGEST), np.log(LARGEST))
    found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-7})
    return round(float(np.exp(found.x)), 4)
