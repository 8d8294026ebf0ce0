"""95% intervals of a metric, from a bootstrap over patients: all images of a patient are drawn together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cxr_distill.base.errors import CxrError

Floats = NDArray[np.float64]

DIGITS = 6


@dataclass(frozen=True)
class Estimate:
    """A metric on the images as they are (`value`), and in every resample (`resamples`, (B,))."""

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
    """Six digits, and no negative zero, so that equal results are written as equal text."""
    return round(float(value), DIGITS) + 0.0


def exact_if_certain(share: dict[str, float], *, patients: int) -> dict[str, float]:
    """The share {value, low, high}, with an exact interval if it is 0 or 1.

    Resamples of such a share are all alike, and new films may not be. Clopper and Pearson, Biometrika 1934, for so many
    patients.
    """
    if 0 < share["value"] < 1:
        return share
    margin = rounded(1 - 0.025 ** (1 / patients))
    return share | ({"low": rounded(1 - margin)} if share["value"] else {"high": margin})


def patient_counts(patients: ArrayLike, *, resamples: int, seed: int) -> Floats:
    """(resamples, N): how often each image is drawn when as many patients are drawn, with replacement, as there are."""
    return next(count_blocks(patients, resamples=resamples, seed=seed, block=resamples))


def count_blocks(patients: ArrayLike, *, resamples: int, seed: int, block: int) -> Iterator[Floats]:
    """The rows of `patient_counts`, `block` at a time: less memory for many images."""
    keys, patient = np.unique(np.asarray(patients), return_inverse=True)
    random = np.random.default_rng(seed)
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        draws = random.multinomial(len(keys), np.full(len(keys), 1 / len(keys)), size=size)
        counts: Floats = draws[:, patient].astype(np.float64)
        yield counts


def patient_resamples(labels: ArrayLike, patients: ArrayLike, *, resamples: int, seed: int) -> Floats:
    """`patient_counts` of the resamples with both classes; the other resamples have no AUROC or no specificity.

    labels: (N,) 0 or 1; patients: (N,) keys. Raises CxrError if fewer than half of the resamples are left.
    """
    labels = np.asarray(labels)
    weights = patient_counts(patients, resamples=resamples, seed=seed)
    positives = weights @ labels
    usable = weights[(positives > 0) & (positives < weights.sum(axis=1))]
    if 2 * len(usable) < resamples:
        count = len(np.unique(np.asarray(patients)))
        raise CxrError(f"{count} patients are too few for a 95% interval; evaluate more patients of each class")
    return usable


def mean_by_patient(values: Floats, patients: NDArray[Any], *, resamples: int, seed: int) -> Estimate:
    """The mean of `values` (N,) over the images, and in each resample of patients."""
    weights = patient_counts(patients, resamples=resamples, seed=seed)
    return Estimate(float(values.mean()), (weights @ values) / weights.sum(axis=1))
