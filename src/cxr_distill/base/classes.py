"""The three classes, and the one place where logits become P(pneumonia)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, logsumexp, softmax

CLASSES = ("normal", "bacterial", "viral")
"""Order of every logit and probability vector."""


def p_pneumonia(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """1 - P(normal), float64 (N,), from `logits` (N, 3) in the order of CLASSES."""
    return 1.0 - softmax(np.asarray(logits, dtype=np.float64), axis=-1)[..., 0]


def mean_answer(logits: Sequence[NDArray[np.floating]]) -> NDArray[np.float32]:
    """Logits float32 (..., K) of the mean of several answers' probabilities; those of one answer as they are.

    logits: (..., K) of each answer.
    """
    if len(logits) == 1:
        return np.asarray(logits[0], dtype=np.float32)
    log_p = [log_softmax(np.asarray(each, dtype=np.float64), axis=-1) for each in logits]
    mean: NDArray[np.float32] = (logsumexp(log_p, axis=0) - np.log(len(log_p))).astype(np.float32)
    return mean


def log_odds_of(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    """Log-odds of P(pneumonia) float32 (N,), from `logits` (N, K): finite where P is rounded to 0 or 1."""
    wide = np.asarray(logits, dtype=np.float64)
    odds: NDArray[np.float32] = (logsumexp(wide[..., 1:], axis=-1) - wide[..., 0]).astype(np.float32)
    return odds
