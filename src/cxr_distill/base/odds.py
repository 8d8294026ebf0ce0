"""Log-odds of a probability, with NumPy alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

EPSILON = 1e-12


def log_odds(probabilities: ArrayLike, *, least: float = EPSILON) -> NDArray[np.float64]:
    """log(p / (1 - p)) float64, of the same shape, of p cut to [least, 1 - least].

    Single precision rounds some p to exactly 0 or 1, whose log-odds would be infinite.
    """
    p = np.clip(np.asarray(probabilities, dtype=np.float64), least, 1 - least)
    odds: NDArray[np.float64] = np.log(p / (1 - p))
    return odds
