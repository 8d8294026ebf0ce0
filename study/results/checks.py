"""Calibration of the main student and its teacher, shortcuts, and what small copies of films change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from cxr_distill.base.probabilities import EPSILON, log_odds, weighted_auroc
from cxr_distill.evaluation import metrics, scores
from cxr_distill.evaluation.bootstrap import Floats, exact_if_certain, mean_by_patient, rounded
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.evaluation.scores import Scored, Statistic, brier, calibration_error, estimate
from cxr_distill.release.temperature import fit_temperature
from study.results.networks import Figures, Network, Resampling, averaged, plain

WITHOUT = ("geometry", "boxes")
"""Columns of study/gathered/shortcuts.csv: P(pneumonia) without a network."""
STRATA = 10
"""Of test films, by what width and height say of them."""


def calibration(models: Mapping[str, Sequence[Network]], draws: Resampling) -> Figures:
    """ECE and Brier score on test, as they are and with the temperature that fits validation.

    models: their networks by name, one for every seed. ECE has no interval: it is higher in resamples than on the
    films, so a percentile interval need not hold it.
    """
    figures: Figures = {}
    for name, networks in models.items():
        fitted = [fit_temperature(n.on("validation").probabilities, n.on("validation").labels) for n in networks]
        states = {
            "before": [n.on("test") for n in networks],
            "after": [scaled(n.on("test"), t) for n, t in zip(networks, fitted, strict=True)],
        }
        figures[name] = {"temperature": rounded(float(np.mean(fitted)))}
        for state, scored in states.items():
            ece = averaged([estimate(n, draws["test"], calibration_error) for n in scored])
            figures[name][state] = {
                "ece": {key: value for key, value in ece.items() if key not in ("low", "high")},
                "brier": averaged([estimate(one, draws["test"], brier) for one in scored]),
            }
        figures[name]["reliability"] = {
            state: {column: [rounded(v) for v in values] for column, values in _pooled(scored).items()}
            for state, scored in states.items()
        }
    return figures


def scaled(scored: Scored, temperature: float) -> Scored:
    """The same images with the log-odds of pneumonia divided by `temperature`."""
    return replace(scored, probabilities=expit(log_odds(scored.probabilities) / temperature))


def _pooled(scored: Sequence[Scored]) -> pd.DataFrame:
    together = [np.concatenate([getattr(s, f) for s in scored]) for f in ("labels", "probabilities", "patients")]
    return metrics.reliability(Scored(*together))


def shortcuts(table: pd.DataFrame, models: Mapping[str, Sequence[Network]], draws: Resampling) -> Figures:
    """AUROC on test without a pixel, and of `models` among films of similar width and height."""
    test, (any_network, *_) = table[table["split"] == "test"], models["teacher"]
    without = {name: replace(any_network.on("test"), probabilities=test[name].to_numpy(float)) for name in WITHOUT}
    within = auroc_within(strata_of(without["geometry"].probabilities, strata=STRATA))
    scored = {name: [one] for name, one in without.items()}
    scored |= {name: [network.on("test") for network in networks] for name, networks in models.items()}
    return {
        "fitted_on": int(table["fitted"].sum()),
        "without_a_network": {name: plain(scores.estimates(one, draws["test"])) for name, one in without.items()},
        "auroc_within_strata": {
            name: averaged([estimate(one, draws["test"], within) for one in each]) for name, each in scored.items()
        },
    }


def strata_of(score: Floats, *, strata: int) -> NDArray[np.int64]:
    """The stratum (N,) of each film, 0 to `strata` - 1: quantiles of `score`, equal scores together."""
    return np.digitize(score, np.quantile(score, np.arange(1, strata) / strata)).astype(np.int64)


def auroc_within(strata: NDArray[np.int64]) -> Statistic:
    """AUROC over the pairs of a pneumonia and a normal film of one stratum: the ranking that the strata do not give."""

    def within(scored: Scored, weights: Floats) -> Floats:
        won, pairs = np.zeros((2, len(weights)))
        for stratum in np.unique(strata):
            rows = strata == stratum
            labels, part = scored.labels[rows], weights[:, rows]
            count = (part @ labels) * (part @ (1 - labels))
            with np.errstate(invalid="ignore"):  # a stratum of one class has no pairs
                won += count * np.nan_to_num(weighted_auroc(labels, scored.probabilities[rows], part))
            pairs += count
        result: Floats = won / np.maximum(pairs, EPSILON)
        return result

    return within


def originals(table: pd.DataFrame, params: EvaluateParams) -> Figures:
    """How far P(pneumonia) moves between an original and its small copy, by split and network."""
    return {
        split: {
            "n": len(chosen),
            **{name: {"original_and_copy": _moved(chosen, name, params)} for name in ("baseline", "distilled")},
        }
        for split, chosen in [("all", table), *table.groupby("split")]
    }


def _moved(table: pd.DataFrame, name: str, params: EvaluateParams) -> Figures:
    original, copy = table[f"{name}_original"], table[f"{name}_copy"]
    values = {
        "mean_absolute_change": (original - copy).abs(),
        "mean_change": original - copy,
        "decisions_changed": (original >= 0.5) != (copy >= 0.5),
    }
    patients, draws = table["patient"].to_numpy(str), {"resamples": params.bootstrap_resamples, "seed": params.seed}
    found = {what: mean_by_patient(each.to_numpy(float), patients, **draws).summary() for what, each in values.items()}
    certain = exact_if_certain(found["decisions_changed"], patients=len(np.unique(patients)))
    return found | {"decisions_changed": certain}
