"""What one does with probabilities, with NumPy alone: training, evaluation and the commands of screening share it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
EPSILON = 1e-12


def log_odds(probabilities: ArrayLike, *, least: float = EPSILON) -> NDArray[np.float64]:
    """log(p / (1 - p)) float64, of the same shape, of p cut to [least, 1 - least].

    Single precision rounds some p to exactly 0 or 1, whose log-odds would be infinite.
    """
    p = np.clip(np.asarray(probabilities, dtype=np.float64), least, 1 - least)
    odds: NDArray[np.float64] = np.log(p / (1 - p))
    return odds


def weighted_auroc(labels: ArrayLike, scores: ArrayLike, weights: Floats) -> Floats:
    """AUROC (B,) of one ranking under each row of `weights` (B, N): P(positive above negative), a tie counts half."""
    labels, scores = np.asarray(labels), np.asarray(scores)
    order = np.argsort(scores, kind="stable")
    positive, negative = weights[:, order] * labels[order], weights[:, order] * (1 - labels[order])
    _, first_of_tie = np.unique(scores[order], return_index=True)
    positive = np.add.reduceat(positive, first_of_tie, axis=1)
    negative = np.add.reduceat(negative, first_of_tie, axis=1)
    below = np.cumsum(negative, axis=1) - negative / 2
    auroc: Floats = (positive * below).sum(axis=1) / (positive.sum(axis=1) * negative.sum(axis=1))
    return auroc


def auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """AUROC of `scores` (N,) for `labels` (N,), 0 or 1; NaN if one of them is missing."""
    labels = np.asarray(labels, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        return float(weighted_auroc(labels, scores, np.ones((1, len(labels))))[0])


def logistic_regression(
    features: Floats, targets: Floats, *, weights: Floats | None = None, penalty: float = 0.0
) -> Floats:
    """Coefficients (F + 1,), the intercept last, that minimise the cross-entropy of `targets` (N,) in [0, 1].

    features: (N, F). weights: (N,) of the rows, equal if not given. penalty: times half the squares of the
    coefficients, the intercept apart, is added to the sum over rows.
    """
    x = np.column_stack([features, np.ones(len(features))])
    weights = np.ones(len(x)) if weights is None else weights
    ridge = np.append(np.full(x.shape[1] - 1, penalty), 0.0)
    found = np.zeros(x.shape[1])
    for _ in range(100):
        p = logistic_probabilities(features, found)
        gradient = x.T @ (weights * (p - targets)) + ridge * found
        curvature = x.T @ (x * (weights * p * (1 - p))[:, None]) + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        found -= step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))  # far from the minimum, a full step overshoots
        if np.abs(step).max() < 1e-9:
            break
    return found


def logistic_probabilities(features: Floats, coefficients: Floats) -> Floats:
    """P (N,) of `features` (N, F) under the coefficients of `logistic_regression`."""
    with np.errstate(over="ignore"):
        p: Floats = 1 / (1 + np.exp(-(features @ coefficients[:-1] + coefficients[-1])))
    return p
