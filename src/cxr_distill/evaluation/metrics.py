"""From predictions to metrics: all of them, those with an interval, and the few that are compared at a glance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, f1_score, log_loss

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.evaluation.bootstrap import patient_resamples, rounded
from cxr_distill.evaluation.predictions import AS_IT_IS, Predicted, scored_split
from cxr_distill.evaluation.scores import (
    CALIBRATION_BINS,
    METRICS,
    THRESHOLD,
    Scored,
    brier,
    decisions,
    estimates,
    expected_calibration_error,
    mean_estimates,
    threshold_for_sensitivity,
)

IN_FRAMES = ("accuracy", "auroc")
SHOWN = {"test": ("accuracy", "auroc", "sensitivity", "specificity"), "validation": ("auroc", "log_loss")}
"""The few metrics of a model that `dvc metrics show` prints, by split."""
SHOWN_REFRAMED = {"test": IN_FRAMES, "validation": ("auroc",)}
"""Those of reframed films; on validation only the one that decides: two experiments fit on one screen."""


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
        "brier": rounded(brier(scored, ones)[0]),
        "ece": rounded(expected_calibration_error(scored)),
        "log_loss": rounded(log_loss(labels, p)),
        "ci95": {name: each.interval() for name, each in intervals.items()},
        "at_validation_threshold": {
            "threshold": rounded(validation_threshold),
            **{name: rounded(METRICS[name](scored, ones, validation_threshold)[0]) for name in chosen},
        },
    }


def shown(evaluated: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """The metrics of SHOWN and SHOWN_REFRAMED in `evaluated` (split -> what `evaluate` gives).

    The short key `val` fits one screen.
    """
    figures = {}
    for split, chosen in SHOWN.items():
        moved = evaluated[split]["frames"]["reframed"]
        figures[split.replace("validation", "val")] = {metric: evaluated[split][metric] for metric in chosen} | {
            f"{metric}_reframed": moved[metric]["value"] for metric in SHOWN_REFRAMED[split]
        }
    return figures


def frame_figures(
    as_it_is: Scored, by_variant: Mapping[str, Sequence[Scored]], *, resamples: int, seed: int
) -> dict[str, dict[str, dict[str, float]]]:
    """By variant of the films: IN_FRAMES with 95% intervals, and their changes from the films as they are, paired.

    `by_variant`: what one model says of each variant of the same films (`frames.variants`), for each draw.
    """
    weights = patient_resamples(as_it_is.labels, as_it_is.patients, resamples=resamples, seed=seed)
    before = estimates(as_it_is, weights)
    figures = {}
    for name, draws in by_variant.items():
        after = mean_estimates([estimates(scored, weights) for scored in draws])
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


def confusion_rows(scored: Scored) -> pd.DataFrame:
    """Columns actual, predicted (normal or pneumonia), one row per image, which DVC's confusion template counts."""
    names = np.array(["normal", "pneumonia"])
    return pd.DataFrame({"actual": names[scored.labels], "predicted": names[decisions(scored).astype(int)]})


def score(
    predictions: pd.DataFrame,
    predicted: Mapping[str, Predicted],
    *,
    resamples: int,
    seed: int,
    sensitivity_target: float,
) -> dict[str, dict[str, Any]]:
    """Every figure of one model, by `validation` and `test`.

    predictions: the table of both splits; predicted: what the model says of `val` and `test`. The second threshold
    gives `sensitivity_target` on validation.
    """
    by_split = {split: scored_split(predictions, split) for split in ("val", "test")}
    threshold = threshold_for_sensitivity(by_split["val"], sensitivity_target)
    figures = {}
    for split, name in (("val", "validation"), ("test", "test")):
        scored, said = by_split[split], predicted[split]
        variants = {
            variant: [replace(scored, probabilities=p_pneumonia(each)) for each in draws]
            for variant, draws in said.logits.items()
            if variant != AS_IT_IS
        }
        figures[name] = {
            **evaluate(scored, validation_threshold=threshold, resamples=resamples, seed=seed),
            "frames": frame_figures(scored, variants, resamples=resamples, seed=seed),
        }
        if said.activation_in_lungs is not None:
            figures[name]["activation_in_lungs"] = rounded(said.activation_in_lungs)
    return figures
