"""What each student and the teacher came to: metrics, calibration, operating points, kinds of pneumonia."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.distill.params import DistillParams
from cxr_distill.evaluation import metrics
from cxr_distill.evaluation.bootstrap import Estimate, Floats, patient_resamples, rounded
from cxr_distill.evaluation.metrics import Scored, calibration_error, estimate
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.release.calibration import fit_temperature
from cxr_distill.study.answers.statistics import brier, called_share, over_seeds, scaled, seed_picks
from cxr_distill.study.params import AloneCell, Families, TaughtCell

PNEUMONIAS = ("bacterial", "viral")

Figures = dict[str, Any]


@dataclass(frozen=True)
class Network:
    """One trained network's predictions, and the cell of the study that it is (None: of the main pipeline)."""

    val: Scored
    test: Scored
    parameters: int
    cell: AloneCell | TaughtCell | None = None

    @property
    def distill(self) -> DistillParams | None:
        """How it was taught, if it was."""
        return self.cell.distill if isinstance(self.cell, TaughtCell) else None


def network_of(predictions: pd.DataFrame, cell: Mapping[str, NDArray[Any]], setting: AloneCell | TaughtCell) -> Network:
    """A network of the study from its file of logits; `predictions`: a main model's, for labels and patients.

    Raises CxrError if the logits are of other images.
    """
    scored = {}
    for split in ("val", "test"):
        rows = predictions[predictions["split"] == split]
        if len(rows) != len(cell[split]):
            raise CxrError(
                f"study/cells and predictions/ are of other images ({split}); run `dvc repro` in both folders"
            )
        scored[split] = Scored(
            rows["label"].to_numpy(np.int64), p_pneumonia(cell[split]), rows["patient"].to_numpy(str)
        )
    return Network(scored["val"], scored["test"], int(cell["parameters"][0]), setting)


@dataclass(frozen=True)
class Resampling:
    """The resamples of patients that every figure shares, per split, and how often."""

    val: Floats
    test: Floats
    params: EvaluateParams

    def picks(self, seeds: int, *, split: str) -> Floats:
        """The resamples of `seeds` seeds that go with those of a split's patients."""
        return seed_picks(seeds, resamples=len(getattr(self, split)), seed=self.params.seed)


def resampling(network: Network, params: EvaluateParams) -> Resampling:
    """The resamples for the images that `network` was scored on."""
    val, test = (
        patient_resamples(s.labels, s.patients, resamples=params.bootstrap_resamples, seed=params.seed)
        for s in (network.val, network.test)
    )
    return Resampling(val, test, params)


Students = Mapping[str, Mapping[int, Network]]
"""Student (arch-kind) -> seed -> network, all at full schedule."""


def students_of(families: Families, cells: Mapping[str, Network], main: Mapping[str, Network]) -> Students:
    """The networks of `families`; `main`: baseline and distilled of the main pipeline."""
    return {
        student: {seed: cells[name] if name else main[student.rpartition("-")[2]] for seed, name in by_seed.items()}
        for student, by_seed in families.items()
    }


def students(found: Students, teacher: Network, draws: Resampling) -> tuple[Figures, Figures]:
    """Sections `students` and `differences`: every metric on test at 0.5, and paired differences."""
    figures: Figures = {}
    over: dict[str, Figures] = {}
    for name, seeds in found.items():
        networks = list(seeds.values())
        over[name] = _metrics_over_seeds([n.test for n in networks], draws, split="test")
        validation = _metrics_over_seeds([n.val for n in networks], draws, split="val")
        figures[name] = {metric: each.summary() for metric, each in over[name].items()}
        figures[name]["by_seed"] = {metric: [rounded(v) for v in each.seeds] for metric, each in over[name].items()}
        figures[name]["parameters"] = max(network.parameters for network in networks)
        figures[name]["validation"] = {metric: each.summary() for metric, each in validation.items()}
    against = metrics.estimates(teacher.test, draws.test)
    differences = {}
    for arch in sorted({name.split("-")[0] for name in found}):
        alone, taught = over[f"{arch}-baseline"], over[f"{arch}-distilled"]
        differences[arch] = {
            "distilled_minus_baseline": {m: (taught[m].draw - alone[m].draw).summary() for m in metrics.METRICS},
            "distilled_minus_teacher": {m: (taught[m].draw - against[m]).summary() for m in metrics.METRICS},
            "baseline_minus_teacher": {m: (alone[m].draw - against[m]).summary() for m in metrics.METRICS},
        }
    return figures, differences


def _metrics_over_seeds(scored: list[Scored], draws: Resampling, *, split: str) -> Figures:
    each = [metrics.estimates(one, getattr(draws, split)) for one in scored]
    picks = draws.picks(len(scored), split=split)
    return {metric: over_seeds([one[metric] for one in each], picks) for metric in metrics.METRICS}


def teacher_figures(teacher: Network, draws: Resampling) -> Figures:
    """Section `teacher`: one network, so that its intervals are over patients alone."""
    return {"parameters": teacher.parameters, **plain(metrics.estimates(teacher.test, draws.test))}


def plain(drawn: Mapping[str, Estimate]) -> Figures:
    return {metric: draw.summary() for metric, draw in drawn.items()}


def calibration(found: Students, teacher: Network, draws: Resampling) -> Figures:
    """ECE and Brier score on test, as they are and with the temperature that fits validation."""
    figures: Figures = {}
    for name, networks in everyone(found, teacher).items():
        fitted = [fit_temperature(network.val.probabilities, network.val.labels) for network in networks]
        states = {
            "before": [network.test for network in networks],
            "after": [scaled(n.test, t) for n, t in zip(networks, fitted, strict=True)],
        }
        figures[name] = {"temperature": rounded(float(np.mean(fitted)))}
        for state, scored in states.items():
            figures[name][state] = {
                "ece": averaged([estimate(one, draws.test, calibration_error) for one in scored], draws),
                "brier": averaged([estimate(one, draws.test, brier) for one in scored], draws),
            }
        figures[name]["reliability"] = {
            state: {column: [rounded(v) for v in values] for column, values in _pooled(scored).items()}
            for state, scored in states.items()
        }
    return figures


def everyone(found: Students, teacher: Network) -> dict[str, list[Network]]:
    return {"teacher": [teacher]} | {name: list(seeds.values()) for name, seeds in found.items()}


def _pooled(scored: list[Scored]) -> pd.DataFrame:
    together = [np.concatenate([getattr(s, f) for s in scored]) for f in ("labels", "probabilities", "patients")]
    return metrics.reliability(Scored(*together))


def averaged(each: list[Estimate], draws: Resampling, *, split: str = "test") -> dict[str, float]:
    if len(each) == 1:
        return each[0].summary()
    return over_seeds(each, draws.picks(len(each), split=split)).summary()


def operating_points(found: Students, teacher: Network, draws: Resampling) -> Figures:
    """The threshold of each network that reaches the wanted sensitivity on validation, and what it gives on test."""
    figures: Figures = {}
    for name, networks in everyone(found, teacher).items():
        thresholds = [metrics.threshold_for_sensitivity(n.val, draws.params.sensitivity_target) for n in networks]
        each = [
            metrics.estimates(network.test, draws.test, threshold=threshold)
            for network, threshold in zip(networks, thresholds, strict=True)
        ]
        figures[name] = {
            "threshold": rounded(float(np.mean(thresholds))),
            **{metric: averaged([one[metric] for one in each], draws) for metric in ("sensitivity", "specificity")},
        }
    return figures


def subtypes(found: Students, teacher: Network, test_subtypes: NDArray[Any], draws: Resampling) -> Figures:
    """Sensitivity at 0.5 on test by kind of pneumonia."""
    shares = {kind: called_share(test_subtypes == kind, metrics.THRESHOLD) for kind in PNEUMONIAS}
    return {
        name: {
            kind: averaged([estimate(n.test, draws.test, share) for n in networks], draws)
            for kind, share in shares.items()
        }
        for name, networks in everyone(found, teacher).items()
    }
