"""From predictions to metrics: all of them, those with an interval, and the few that are compared at a glance."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
)

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.bootstrap import DIGITS, Estimate, Floats, patient_resamples, rounded

Ints = NDArray[np.int64]

THRESHOLD = 0.5
CALIBRATION_BINS = 10
IN_FRAMES = ("accuracy", "auroc")
SHOWN = {"test": ("accuracy", "auroc", "sensitivity", "specificity"), "validation": ("auroc", "log_loss")}
"""The few metrics of a model that `dvc metrics show` prints, by split."""
SHOWN_IN_OTHER_FRAME = {"test": IN_FRAMES, "validation": ("auroc",)}
"""Those of the films in the other frame; on validation only the one that decides: two experiments fit on one screen."""


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


def evaluate(scored: Scored, *, resamples: int, seed: int, validation_threshold: float) -> dict[str, Any]:
    """Every metric of one model on one split, finite and rounded to six digits.

    `validation_threshold` is a second threshold, chosen on validation patients (`threshold_for_sensitivity`).
    """
    labels, p = scored.labels, scored.probabilities
    intervals = estimates(scored, patient_resamples(labels, scored.patients, resamples=resamples, seed=seed))
    value = {name: each.value for name, each in intervals.items()}
    ones = np.ones((1, len(labels)))
    chosen = ("accuracy", "sensitivity", "specificity")
    return {
        "n": len(labels),
        "threshold": THRESHOLD,
        "accuracy": rounded(value["accuracy"]),
        "balanced_accuracy": rounded((value["sensitivity"] + value["specificity"]) / 2),
        "auroc": rounded(value["auroc"]),
        "auprc": rounded(average_precision_score(labels, p)),
        "sensitivity": rounded(value["sensitivity"]),
        "specificity": rounded(value["specificity"]),
        "f1": rounded(f1_score(labels, decisions(scored))),
        "brier": rounded(brier_score_loss(labels, p)),
        "ece": rounded(expected_calibration_error(scored)),
        "log_loss": rounded(log_loss(labels, p)),
        "ci95": {name: each.interval() for name, each in intervals.items()},
        "at_validation_threshold": {
            "threshold": rounded(validation_threshold),
            **{name: rounded(METRICS[name](scored, ones, validation_threshold)[0]) for name in chosen},
        },
    }


def shown(evaluated: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The metrics of SHOWN and SHOWN_IN_OTHER_FRAME in `evaluated` (split -> what `evaluate` gives).

    The short key `val` fits one screen.
    """
    figures = {}
    for split, chosen in SHOWN.items():
        moved = evaluated[split]["frames"]["other_frame"]
        figures[split.replace("validation", "val")] = {metric: evaluated[split][metric] for metric in chosen} | {
            f"{metric}_other_frame": moved[metric]["value"] for metric in SHOWN_IN_OTHER_FRAME[split]
        }
    return figures


def frame_figures(
    as_it_is: Scored, by_variant: Mapping[str, Scored], *, resamples: int, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """By variant of the films: IN_FRAMES with 95% intervals, and their changes from the films as they are, paired.

    `by_variant`: what one model says of each variant of the same films (`frames.variants`).
    """
    weights = patient_resamples(as_it_is.labels, as_it_is.patients, resamples=resamples, seed=seed)
    before = estimates(as_it_is, weights)
    figures = {}
    for name, scored in by_variant.items():
        after = estimates(scored, weights)
        figures[name] = {metric: after[metric].summary() for metric in IN_FRAMES} | {
            f"{metric}_change": (after[metric] - before[metric]).summary() for metric in IN_FRAMES
        }
    return figures


def reliability(scored: Scored) -> pd.DataFrame:
    """Columns predicted, observed, n: mean P and share of pneumonia in each tenth of [0, 1]; empty bins left out."""
    edges = np.arange(1, CALIBRATION_BINS) / CALIBRATION_BINS
    table = pd.DataFrame({"predicted": scored.probabilities, "observed": scored.labels.astype(float)})
    bins = table.groupby(np.digitize(scored.probabilities, edges))
    return bins.mean().assign(n=bins.size()).reset_index(drop=True)


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


def expected_calibration_error(scored: Scored) -> float:
    """`calibration_error` on the images as they are."""
    return float(calibration_error(scored, np.ones((1, len(scored.labels))))[0])


def confusion_rows(scored: Scored) -> pd.DataFrame:
    """Columns actual, predicted (normal or pneumonia), one row per image, which DVC's confusion template counts."""
    names = np.array(["normal", "pneumonia"])
    return pd.DataFrame({"actual": names[scored.labels], "predicted": names[decisions(scored).astype(int)]})
