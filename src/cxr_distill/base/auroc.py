"""AUROC, with NumPy alone: training, evaluation and `cxr-evaluate` share it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


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
