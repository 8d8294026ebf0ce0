"""Metrics of P(pneumonia) with 95% intervals, with NumPy alone: the pipeline and `cxr-evaluate` share them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.base.probabilities import weighted_auroc
from cxr_distill.evaluation.bootstrap import DIGITS, Estimate, Floats

Ints = NDArray[np.int64]

THRESHOLD = 0.5
CALIBRATION_BINS = 10


@dataclass(frozen=True)
class Scored:
    """One model's P(pneumonia) on one split, one row per image.

    labels: (N,) 0 or 1 (pneumonia); probabilities: (N,) in [0, 1]; patients: (N,) keys, the unit of resampling.
    Raises CxrError if the lengths differ, a value is out of range, or one of the classes is missing.
    """

    labels: Ints
    probabilities: Floats
    patients: NDArray[Any]

    def __post_init__(self) -> None:
        """Refuse values that would give NaN in a metric."""
        if not len(self.labels) == len(self.probabilities) == len(self.patients):
            raise CxrError("labels, probabilities and patients differ in length; run `dvc repro`")
        if not np.isin(self.labels, (0, 1)).all():
            raise CxrError("labels must be 0 (normal) or 1 (pneumonia)")
        if not ((self.probabilities >= 0) & (self.probabilities <= 1)).all():
            raise CxrError("a probability is not a number in [0, 1]; did the training diverge?")
        if len(np.unique(self.labels)) < 2:
            raise CxrError(f"all {len(self.labels)} images are of one class: no AUROC; evaluate images of both classes")


Statistic = Callable[[Scored, Floats], Floats]
"""Values (B,) of a metric under weights (B, N)."""


def _share(hits: NDArray[np.bool_], among: NDArray[np.bool_], weights: Floats) -> Floats:
    share: Floats = (weights @ (hits & among)) / (weights @ among)
    return share


def _accuracy(scored: Scored, weights: Floats, threshold: float) -> Floats:
    right = decisions(scored, threshold) == scored.labels
    return _share(right, np.ones_like(right), weights)


def _sensitivity(scored: Scored, weights: Floats, threshold: float) -> Floats:
    return _share(decisions(scored, threshold), scored.labels == 1, weights)


def _specificity(scored: Scored, weights: Floats, threshold: float) -> Floats:
    return _share(~decisions(scored, threshold), scored.labels == 0, weights)


def _auroc(scored: Scored, weights: Floats, threshold: float) -> Floats:  # every metric takes a threshold
    return weighted_auroc(scored.labels, scored.probabilities, weights)


METRICS = {
    "accuracy": _accuracy,
    "auroc": _auroc,
    "sensitivity": _sensitivity,
    "specificity": _specificity,
}
"""Name -> function that gives the metric (B,) under weights (B, N): the metrics that have an interval."""


def estimate(scored: Scored, weights: Floats, statistic: Statistic) -> Estimate:
    """A statistic on the images as they are, and in each resample, a row of `weights` (B, N)."""
    ones = np.ones((1, len(scored.labels)))
    return Estimate(float(statistic(scored, ones)[0]), statistic(scored, weights))


def estimates(scored: Scored, weights: Floats, *, threshold: float = THRESHOLD) -> dict[str, Estimate]:
    """Every metric of METRICS on the images and in each resample `weights` (from `patient_resamples`)."""
    return {name: estimate(scored, weights, partial(metric, threshold=threshold)) for name, metric in METRICS.items()}


def mean_estimates(each: Sequence[Mapping[str, Estimate]]) -> dict[str, Estimate]:
    """Means over the draws of one set of films, each from the same resamples."""
    return {
        name: Estimate(
            sum(one[name].value for one in each) / len(each), np.mean([one[name].resamples for one in each], axis=0)
        )
        for name in each[0]
    }


def decisions(scored: Scored, threshold: float = THRESHOLD) -> NDArray[np.bool_]:
    """(N,) True where P(pneumonia) is at or above the threshold."""
    called: NDArray[np.bool_] = scored.probabilities >= threshold
    return called


def threshold_for_sensitivity(scored: Scored, target: float) -> float:
    """The highest threshold, in steps of 1e-6, with a sensitivity of at least `target`."""
    pneumonia = np.sort(scored.probabilities[scored.labels == 1])[::-1]
    # The allowance is for binary fractions: 0.55 * 100 is slightly above 55, and 55 are enough.
    needed = max(1, int(np.ceil(target * len(pneumonia) - 1e-9)))
    return float(np.floor(pneumonia[needed - 1] * 10**DIGITS) / 10**DIGITS)


def calibration_error(scored: Scored, weights: Floats) -> Floats:
    """Expected calibration error (B,) of P(pneumonia) under weights (B, N).

    In the bins of `reliability`, |sum of predicted - sum of observed|, divided by the sum of weights (Naeini et al.,
    AAAI 2015).
    """
    edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    in_bin = np.eye(CALIBRATION_BINS)[np.digitize(scored.probabilities, edges)]
    gaps = weights @ (in_bin * (scored.probabilities - scored.labels)[:, None])
    error: Floats = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return error


def brier(scored: Scored, weights: Floats) -> Floats:
    """Mean squared error of P(pneumonia) (B,) under weights (B, N): the Brier score."""
    mean: Floats = (weights @ (scored.probabilities - scored.labels) ** 2) / weights.sum(axis=1)
    return mean


def expected_calibration_error(scored: Scored) -> float:
    """`calibration_error` on the images as they are."""
    return float(calibration_error(scored, np.ones((1, len(scored.labels))))[0])
