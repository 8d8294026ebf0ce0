"""Calibration, operating points and shortcuts of the main student and its teacher."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.evaluation import metrics, scores
from cxr_distill.evaluation.bootstrap import exact_if_certain, mean_by_patient, rounded
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.evaluation.scores import Scored, calibration_error, estimate
from cxr_distill.release.temperature import fit_temperature
from study.results.networks import Figures, Network, Resampling, averaged, plain
from study.results.statistics import auroc_within, brier, called_share, scaled, strata_of

PNEUMONIAS = ("bacterial", "viral")
WITHOUT = ("geometry", "boxes", "thumbnail", "gradients")
"""Columns of study/checks/shortcuts.csv: P(pneumonia) without a network."""

MODELS = ("teacher", "baseline", "distilled")
Models = Mapping[str, Sequence[Network]]
"""Each of MODELS -> its networks, one for every seed."""


def calibration(models: Models, draws: Resampling) -> Figures:
    """ECE and Brier score on test, as they are and with the temperature that fits validation.

    ECE has no interval: it is higher in resamples than on the films, so a percentile interval need not hold it.
    """
    figures: Figures = {}
    for name, networks in models.items():
        fitted = [fit_temperature(network.validation.probabilities, network.validation.labels) for network in networks]
        states = {
            "before": [network.test for network in networks],
            "after": [scaled(n.test, t) for n, t in zip(networks, fitted, strict=True)],
        }
        figures[name] = {"temperature": rounded(float(np.mean(fitted)))}
        for state, scored in states.items():
            figures[name][state] = {
                "ece": _without_interval(averaged([estimate(n, draws.test, calibration_error) for n in scored], draws)),
                "brier": averaged([estimate(one, draws.test, brier) for one in scored], draws),
            }
        figures[name]["reliability"] = {
            state: {column: [rounded(v) for v in values] for column, values in _pooled(scored).items()}
            for state, scored in states.items()
        }
    return figures


def _without_interval(figures: Figures) -> Figures:
    return {key: value for key, value in figures.items() if key not in ("low", "high")}


def _pooled(scored: Sequence[Scored]) -> pd.DataFrame:
    together = [np.concatenate([getattr(s, f) for s in scored]) for f in ("labels", "probabilities", "patients")]
    return metrics.reliability(Scored(*together))


def operating_points(models: Models, draws: Resampling) -> Figures:
    """The threshold of each network that reaches the wanted sensitivity on validation, and what it gives on test."""
    figures: Figures = {}
    for name, networks in models.items():
        thresholds = [scores.threshold_for_sensitivity(n.validation, draws.params.sensitivity_target) for n in networks]
        each = [
            scores.estimates(network.test, draws.test, threshold=threshold)
            for network, threshold in zip(networks, thresholds, strict=True)
        ]
        figures[name] = {
            "threshold": rounded(float(np.mean(thresholds))),
            **{metric: averaged([one[metric] for one in each], draws) for metric in ("sensitivity", "specificity")},
        }
    return figures


def subtypes(models: Models, test_subtypes: NDArray[Any], draws: Resampling) -> Figures:
    """Sensitivity at 0.5 on test by kind of pneumonia."""
    shares = {kind: called_share(test_subtypes == kind, scores.THRESHOLD) for kind in PNEUMONIAS}
    return {
        name: {
            kind: averaged([estimate(n.test, draws.test, share) for n in networks], draws)
            for kind, share in shares.items()
        }
        for name, networks in models.items()
    }


def shortcuts(table: pd.DataFrame, models: Models, draws: Resampling, *, strata: int) -> Figures:
    """What needs no network, and every model within strata of similar image geometry."""
    test = table[table["split"] == "test"]
    (teacher,) = models["teacher"]
    without = {name: replace(teacher.test, probabilities=test[name].to_numpy(float)) for name in WITHOUT}
    stratum = strata_of(without["geometry"].probabilities, strata=strata)
    within = auroc_within(stratum)
    scored = {name: [one] for name, one in without.items()}
    scored |= {name: [network.test for network in networks] for name, networks in models.items()}
    return {
        "fitted_on": int(table["fitted"].sum()),
        "without_a_network": {name: plain(scores.estimates(one, draws.test)) for name, one in without.items()},
        "strata": len(np.unique(stratum)),
        "auroc_within_strata": {
            name: averaged([estimate(one, draws.test, within) for one in each], draws) for name, each in scored.items()
        },
    }


def originals(table: pd.DataFrame, params: EvaluateParams) -> Figures:
    """How far P(pneumonia) moves between an original and its copy, and between framings, by split and model."""
    models = [name for name in MODELS if name in table]
    wide = {name: table.pivot(index="file", columns="framing", values=name) for name in models}
    about = table.drop_duplicates("file").set_index("file")
    figures: Figures = {}
    for split in ["all", *sorted(about["split"].unique())]:
        chosen = about if split == "all" else about[about["split"] == split]
        figures[split] = {"n": len(chosen)}
        for name, p in wide.items():
            rows = p.loc[chosen.index]
            figures[split][name] = {}
            for pair, (one, other) in {
                "original_and_copy": ("squash", "copy"),
                "crop_and_squash": ("crop", "squash"),
                "letterbox_and_squash": ("letterbox", "squash"),
            }.items():
                values = {
                    "mean_absolute_change": (rows[one] - rows[other]).abs().to_numpy(),
                    "mean_change": (rows[one] - rows[other]).to_numpy(),
                    "decisions_changed": ((rows[one] >= 0.5) != (rows[other] >= 0.5)).to_numpy(float),
                }
                patients = chosen["patient"].to_numpy(str)
                found = {
                    what: mean_by_patient(
                        each, patients, resamples=params.bootstrap_resamples, seed=params.seed
                    ).summary()
                    for what, each in values.items()
                }
                changed = exact_if_certain(found["decisions_changed"], patients=len(np.unique(patients)))
                figures[split][name][pair] = found | {"decisions_changed": changed}
    return figures


def maps(table: pd.DataFrame, distilled: Network, params: EvaluateParams) -> Figures:
    """Overlap of where two networks look, on the test images that the distilled student gets right and wrong."""
    right = scores.decisions(distilled.test) == distilled.test.labels
    figures: Figures = {}
    for (one, other), rows in table.groupby(["one", "other"], sort=False):
        pair: Figures = {}
        for case, chosen in {"all": np.ones_like(right), "right": right, "wrong": ~right}.items():
            if not chosen.any():
                continue
            pair[case] = {"n": int(chosen.sum())} | {
                what: mean_by_patient(
                    rows[what].to_numpy(float)[chosen], distilled.test.patients[chosen],
                    resamples=params.bootstrap_resamples, seed=params.seed,
                ).summary()
                for what in ("iou", "iou_by_chance", "correlation")
            }  # fmt: skip
        figures[f"{one} and {other}"] = pair
    return figures
