"""ROC and precision-recall curves of several models on one grid, cut to the box in which they differ."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve, roc_curve

from cxr_distill.evaluation.scores import Scored

GRID = np.linspace(0, 1, 1001)
TOLERANCE = 0.01
"""Curves closer to each other than this, in units of the y axis, do not differ."""
STEP = 0.05
"""The box ends at multiples of this."""


def roc_curves(models: Mapping[str, Scored]) -> pd.DataFrame:
    """Columns false_positive_rate and one per model, its true positive rate, in the box of `cut_to_box`."""
    table = {"false_positive_rate": GRID}
    for name, scored in models.items():
        false_positive, true_positive, _ = roc_curve(scored.labels, scored.probabilities)
        table[name] = np.interp(GRID, false_positive, true_positive)
    return cut_to_box(pd.DataFrame(table))


def precision_recall_curves(models: Mapping[str, Scored]) -> pd.DataFrame:
    """Columns recall and one per model, its precision at the highest threshold that reaches this recall, in the box
    of `cut_to_box`."""
    table = {"recall": GRID}
    for name, scored in models.items():
        precision, recall, _ = precision_recall_curve(scored.labels, scored.probabilities)
        # By rising recall; the allowance undoes binary fractions, so that a recall of 0.3 reaches 0.3.
        table[name] = precision[::-1][np.searchsorted(recall[::-1], GRID - 1e-9)]
    return cut_to_box(pd.DataFrame(table))


def cut_to_box(table: pd.DataFrame) -> pd.DataFrame:
    """The rows in the smallest box that holds every point at which the curves differ by more than TOLERANCE.

    The first column is x, each other one a curve; the box is widened to multiples of STEP. Rows in which a curve is
    outside the box are left out. Where the curves differ nowhere, all rows are kept.
    """
    x, curves = table.iloc[:, 0].to_numpy(), table.iloc[:, 1:].to_numpy()
    differ = np.ptp(curves, axis=1) > TOLERANCE
    if not differ.any():
        return table
    (left, right), (low, high) = _widened(x[differ]), _widened(curves[differ])
    inside = (x >= left) & (x <= right) & ((curves >= low) & (curves <= high)).all(axis=1)
    return table[inside].reset_index(drop=True)


def _widened(values: NDArray[np.float64]) -> tuple[float, float]:
    ends = np.floor(values.min() / STEP + 1e-9) * STEP, np.ceil(values.max() / STEP - 1e-9) * STEP
    return float(ends[0]) - 1e-9, float(ends[1]) + 1e-9
