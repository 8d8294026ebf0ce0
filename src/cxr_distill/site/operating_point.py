"""An operating point for a place: the threshold for a wanted sensitivity, and probabilities calibrated on its films."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.base.probabilities import log_odds, logistic_regression
from cxr_distill.evaluation.scores import Scored, threshold_for_sensitivity
from cxr_distill.screen.site_file import LEAST, Calibration
from cxr_distill.site.measure import SEED

ENOUGH = 20
"""Patients with pneumonia, and without, from which an operating point is made."""
FOLDS = 10


def choose_threshold(scored: Scored, sensitivity: float) -> float:
    """The highest threshold with at least this sensitivity. Raises CxrError if there are too few patients."""
    for label, words in ((1, "with pneumonia"), (0, "without pneumonia")):
        if (count := len(np.unique(scored.patients[scored.labels == label]))) < ENOUGH:
            raise CxrError(f"{count} patients {words}; an operating point needs {ENOUGH}")
    return threshold_for_sensitivity(scored, sensitivity)


def cross_validated(scored: Scored, sensitivity: float) -> dict[str, float]:
    """Sensitivity and specificity on patients who did not choose the threshold: FOLDS folds over patients."""
    keys, patient = np.unique(scored.patients, return_inverse=True)
    fold = np.random.default_rng(SEED).permutation(len(keys))[patient] % FOLDS
    called = np.zeros(len(fold), bool)
    for number in range(FOLDS):
        others, rows = fold != number, fold == number
        threshold = threshold_for_sensitivity(_part(scored, others), sensitivity)
        called[rows] = scored.probabilities[rows] >= threshold
    ill = scored.labels == 1
    return {"sensitivity": float(called[ill].mean()), "specificity": float((~called[~ill]).mean())}


def _part(scored: Scored, rows: NDArray[np.bool_]) -> Scored:
    return Scored(scored.labels[rows], scored.probabilities[rows], scored.patients[rows])


def fit_calibration(scored: Scored) -> Calibration:
    """Slope and intercept of the log-odds of P(pneumonia), at the prevalence of these films.

    Logistic regression on Platt's targets, which keep the slope finite where P
    separates the classes (Platt, 1999; Lin, Lin, Weng, Machine Learning 68, 2007).
    """
    ill = scored.labels == 1
    targets = np.where(ill, (ill.sum() + 1) / (ill.sum() + 2), 1 / ((~ill).sum() + 2))
    odds = log_odds(scored.probabilities, least=LEAST)
    slope, intercept = (round(float(number), 6) for number in logistic_regression(odds[:, None], targets))
    if slope <= 0:
        raise CxrError("on these films a higher P does not mean more pneumonia; are the labels exchanged?")
    return Calibration(slope=slope, intercept=intercept)
