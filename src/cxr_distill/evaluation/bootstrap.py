"""Intervals: a figure on the images as they are and in resamples of whole patients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr_distill.base.errors import CxrError

Floats = NDArray[np.float64]

DIGITS = 6


@dataclass(frozen=True)
class Estimate:
    """A metric on the images as they are, and in every resample."""

    value: float
    resamples: Floats

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference: both sides must come from the same resamples."""
        return Estimate(self.value - other.value, self.resamples - other.resamples)

    def interval(self) -> dict[str, float]:
        """95% percentile interval, {low, high}."""
        low, high = np.percentile(self.resamples, [2.5, 97.5])
        return {"low": rounded(low), "high": rounded(high)}

    def summary(self) -> dict[str, float]:
        """{value, low, high}."""
        return {"value": rounded(self.value), **self.interval()}


def rounded(value: float) -> float:
    """Six digits, and no negative zero: what is written is what is compared."""
    return round(float(value), DIGITS) + 0.0


def patient_counts(patients: ArrayLike, *, resamples: int, seed: int) -> Floats:
    """How often each image is drawn when whole patients are drawn with replacement: (resamples, N) of whole numbers."""
    keys, patient = np.unique(np.asarray(patients), return_inverse=True)
    draws = np.random.default_rng(seed).multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=resamples)
    counts: Floats = draws[:, patient].astype(np.float64)
    return counts


def patient_resamples(labels: ArrayLike, patients: ArrayLike, *, resamples: int, seed: int) -> Floats:
    """How often each image is drawn when whole patients are resampled: (resamples, N) of whole numbers.

    Resamples without both classes are left out, since AUROC, sensitivity or specificity do not exist in them;
    CxrError if that leaves less than half.
    """
    labels = np.asarray(labels)
    weights = patient_counts(patients, resamples=resamples, seed=seed)
    positives = weights @ labels
    usable = weights[(positives > 0) & (positives < weights.sum(axis=1))]
    if 2 * len(usable) < resamples:
        count = len(np.unique(np.asarray(patients)))
        raise CxrError(f"{count} patients are too few for an interval; evaluate more patients of each class")
    return usable


def mean_by_patient(values: Floats, patients: NDArray[Any], *, resamples: int, seed: int) -> Estimate:
    """The mean of `values` (N,), and in resamples of whole patients."""
    weights = patient_counts(patients, resamples=resamples, seed=seed)
    return Estimate(float(values.mean()), (weights @ values) / weights.sum(axis=1))
