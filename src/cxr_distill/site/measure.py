"""How good a model is on labelled films: metrics with 95% intervals over patients, for all films and for groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_distill.evaluation.bootstrap import Estimate, Floats, count_blocks, exact_if_certain, rounded
from cxr_distill.evaluation.scores import METRICS, Scored, Statistic, brier, calibration_error, decisions

RESAMPLES, SEED, BLOCK = 2000, 0, 100
"""A block of resamples is in memory at a time: 8 MB for 10,000 films."""
FEW = 10
"""Patients that a figure needs: a sensitivity with pneumonia, a specificity without, any other figure of both."""

Figure = dict[str, float]
"""value, low, high."""


def statistics(*, threshold: float, prevalence: float | None) -> dict[str, Statistic]:
    """Name -> metric (B,) under weights (B, N); predictive values at `prevalence`, or at that of the films."""
    named: dict[str, Statistic] = {name: partial(metric, threshold=threshold) for name, metric in METRICS.items()}
    return named | {
        "ppv": partial(_predictive_value, threshold=threshold, prevalence=prevalence, positive=True),
        "npv": partial(_predictive_value, threshold=threshold, prevalence=prevalence, positive=False),
        "ece": calibration_error,
        "brier": brier,
    }


def _predictive_value(
    scored: Scored, weights: Floats, *, threshold: float, prevalence: float | None, positive: bool
) -> Floats:
    """Share of films that have what they are called, by Bayes' theorem; NaN where none is called so."""
    called, ill = decisions(scored, threshold), scored.labels == 1
    ills, wells = weights @ ill, weights @ ~ill
    share: Floats | float = ills / (ills + wells) if prevalence is None else prevalence
    if not positive:
        called, ill, ills, wells, share = ~called, ~ill, wells, ills, 1 - share
    right = share * (weights @ (called & ill)) / ills
    wrong = (1 - share) * (weights @ (called & ~ill)) / wells
    value: Floats = right / (right + wrong)
    return value


def count_patients(scored: Scored) -> dict[str, int]:
    """Films, patients, and patients with a film of each class."""
    of_class = [len(np.unique(scored.patients[scored.labels == label])) for label in (0, 1)]
    return {
        "films": len(scored.labels),
        "patients": len(np.unique(scored.patients)),
        "patients_normal": of_class[0],
        "patients_pneumonia": of_class[1],
    }


def measure(
    scored: Scored, named: Mapping[str, Statistic], *, prevalence: float | None = None
) -> dict[str, Figure | None]:
    """Each statistic with its 95% interval from a bootstrap over patients; None where it cannot be calculated, or where
    it has fewer patients than FEW.

    prevalence: that of the predictive values in `named`. Figures of exactly 0 or 1, of which all resamples are alike,
    have intervals from exact binomial ones: those of an AUROC count as many pairs as the rarer class has patients,
    those of a predictive value follow by Bayes' theorem.
    """
    counts = count_patients(scored)
    patients = {"sensitivity": counts["patients_pneumonia"], "specificity": counts["patients_normal"]}
    fewest = min(patients.values())
    enough = {name: each for name, each in named.items() if patients.get(name, fewest) >= FEW}
    resampled: dict[str, list[Floats]] = {name: [] for name in enough}
    ones = np.ones((1, len(scored.labels)))
    with np.errstate(invalid="ignore", divide="ignore"):
        values = {name: float(statistic(scored, ones)[0]) for name, statistic in enough.items()}
        for weights in count_blocks(scored.patients, resamples=RESAMPLES, seed=SEED, block=BLOCK):
            ill = weights @ scored.labels
            usable = weights[(ill > 0) & (ill < weights.sum(axis=1))]
            for name, statistic in enough.items():
                resampled[name].append(statistic(scored, usable))
    figures = {name: _figure(values[name], np.concatenate(parts)) for name, parts in resampled.items()}
    for name, of in (("accuracy", counts["patients"]), ("auroc", fewest), *patients.items()):
        if share := figures.get(name):
            figures[name] = exact_if_certain(share, patients=of)
    share_ill = float(scored.labels.mean()) if prevalence is None else prevalence
    for name, one, other, share_right in (
        ("ppv", "sensitivity", "specificity", share_ill),
        ("npv", "specificity", "sensitivity", 1 - share_ill),
    ):
        if (value := figures.get(name)) and (right := figures.get(one)) and (wrong := figures.get(other)):
            figures[name] = _predicted_if_certain(value, right, wrong, share_right)
    return {name: figures.get(name) for name in named}


def _predicted_if_certain(value: Figure, right: Figure, wrong: Figure, share: float) -> Figure:
    """A predictive value; if it is 0 or 1, with an interval from those of the two shares that it is made of."""

    def by_bayes(called: float, called_well: float) -> float:
        return rounded(share * called / (share * called + (1 - share) * (1 - called_well)))

    if value["value"] == 1:
        return value | {"low": by_bayes(right["low"], wrong["low"])}
    if value["value"] == 0:
        return value | {"high": by_bayes(right["high"], wrong["high"])}
    return value


def _figure(value: float, resamples: Floats) -> Figure | None:
    finite = resamples[np.isfinite(resamples)]
    if not np.isfinite(value) or 2 * len(finite) < RESAMPLES:
        return None
    return Estimate(value, finite).summary()


def measure_share(chosen: NDArray[np.bool_], patients: NDArray[Any]) -> dict[str, Any]:
    """The number of `films` that are `chosen` (N,), and their share with its 95% interval over `patients` (N,)."""
    return {"films": int(chosen.sum()), **_share(chosen, patients)}


def _share(chosen: NDArray[np.bool_], patients: NDArray[Any]) -> Figure:
    blocks = count_blocks(patients, resamples=RESAMPLES, seed=SEED, block=BLOCK)
    resampled = [(weights @ chosen) / weights.sum(axis=1) for weights in blocks]
    share = Estimate(float(chosen.mean()), np.concatenate(resampled)).summary()
    return exact_if_certain(share, patients=len(np.unique(patients)))


def measure_groups(
    scored: Scored,
    named: Mapping[str, Statistic],
    columns: Mapping[str, Sequence[str]],
    *,
    threshold: float,
    prevalence: float | None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Column -> its value in words -> counts, and `figures`, which are None where a group is too small to say.

    A group of one class can have a sensitivity or a specificity, and no other figure.
    """
    decided = decisions(scored, threshold)
    groups: dict[str, dict[str, dict[str, Any]]] = {}
    for column, cells in columns.items():
        values = np.array(cells)
        groups[column] = {
            str(value) or "(empty)": _group(scored, values == value, decided, named, prevalence)
            for value in sorted(set(cells))
        }
    return groups


def _group(
    scored: Scored,
    rows: NDArray[np.bool_],
    decided: NDArray[np.bool_],
    named: Mapping[str, Statistic],
    prevalence: float | None,
) -> dict[str, Any]:
    labels, probabilities, patients = scored.labels[rows], scored.probabilities[rows], scored.patients[rows]
    ill, well = (len(np.unique(patients[labels == label])) for label in (1, 0))
    counts = {"films": int(rows.sum()), "patients_pneumonia": ill, "patients_normal": well}
    if min(ill, well) == 0 and max(ill, well) >= FEW:
        share = _share(decided[rows] == labels, patients)
        known = "sensitivity" if ill else "specificity"
        return {**counts, "figures": {name: share if name == known else None for name in named}}
    figures = {}
    if min(ill, well):
        figures = measure(Scored(labels, probabilities, patients), named, prevalence=prevalence)
    return {**counts, "figures": figures if any(figures.values()) else None}
