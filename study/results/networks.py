"""What networks were scored on, and their figures over seeds: the building blocks of every answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation import scores
from cxr_distill.evaluation.bootstrap import Estimate, Floats, patient_resamples, rounded
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.evaluation.scores import Scored
from study.plan.matrix import Cells, Main, by_seed
from study.plan.params import Study
from study.results.statistics import OverSeeds, over_seeds

Figures = dict[str, Any]
SPLITS = {"validation": "val", "test": "test", "held_out": "held_out"}
"""The films that a network is measured on -> their name in the file of scores; `held_out`: see `plan.site`."""
FRAMES = ("", "_reframed", "_reframed_any")
"""A place is one of SPLITS and one of these: films as they are, or as `evaluation.frames.variants` changes them."""
FEW = ("accuracy", "auroc")  # of all places but validation and test films as they are


@dataclass(frozen=True)
class Network:
    """One trained network's scores by place, once for every draw of partners; and its number of parameters."""

    scored: Mapping[str, Sequence[Scored]]
    parameters: int

    def on(self, split: str) -> Scored:
        """On films of one of SPLITS as they are."""
        return self.scored[split][0]


def networks_of(
    tensors: Mapping[str, NDArray[Any]], films: Mapping[str, pd.DataFrame], parameters: Mapping[str, int]
) -> dict[str, Network]:
    """All networks by the name of their cell, and those of the main pipeline: teacher, baseline, distilled.

    tensors: NETWORK/PLACE of the scores in study/gathered/; films: those of SPLITS; `parameters` of a network whose
    number is not among its scores. Raises CxrError if scores are of other films.
    """
    networks = {}
    for name in dict.fromkeys(key.rpartition("/")[0] for key in tensors):
        scored = {
            f"{split}{frame}": _draws(tensors[key], films[split])
            for split, short in SPLITS.items()
            for frame in FRAMES
            if (key := f"{name}/{short}{frame}") in tensors
        }
        counted = tensors.get(f"{name}/parameters")
        networks[name] = Network(scored, parameters.get(name, 0) if counted is None else int(counted[0]))
    return networks


def _draws(odds: NDArray[Any], films: pd.DataFrame) -> list[Scored]:
    """One for each draw of log-odds (N,) or (DRAWS, N)."""
    if odds.shape[-1] != len(films):
        raise CxrError("study/gathered/ has scores of other films than its own; run `dvc repro gather` in study/")
    sick, patients = (films["label"] == "PNEUMONIA").to_numpy(np.int64), films["patient"].to_numpy(str)
    return [Scored(sick, expit(draw.astype(np.float64)), patients) for draw in np.atleast_2d(odds)]


Resampling = Mapping[str, Floats]
"""By SPLITS, the resamples of patients (B, N) that all figures share."""


def resampling(networks: Iterable[Network], params: EvaluateParams) -> Resampling:
    """The resamples for the films that these were scored on."""
    films = {split: each.on(split) for each in networks for split in SPLITS if split in each.scored}
    made = {"resamples": params.bootstrap_resamples, "seed": params.seed}
    return {split: patient_resamples(each.labels, each.patients, **made) for split, each in films.items()}


Measured = dict[str, dict[str, OverSeeds]]
"""Place -> metric -> its figure over the seeds of a student."""


def measured(networks: Sequence[Network], draws: Resampling) -> Measured:
    """Everywhere, over networks that differ in nothing but the seed; the mean over draws of partners."""
    found: Measured = {}
    for place in networks[0].scored:
        weights = draws[place.partition("_reframed")[0]]
        each = [
            scores.mean_estimates([scores.estimates(draw, weights) for draw in network.scored[place]])
            for network in networks
        ]
        wanted = scores.METRICS if place in ("validation", "test") else FEW
        found[place] = {metric: over_seeds([one[metric] for one in each]) for metric in wanted}
    return found


def summaries(found: Measured) -> Figures:
    """Mean over seeds with interval, by place and metric; and every seed's value on test."""
    figures: Figures = {place: {metric: each.summary() for metric, each in of.items()} for place, of in found.items()}
    by_seed = {metric: [rounded(value) for value in each.seeds] for metric, each in found.get("test", {}).items()}
    return figures | ({"by_seed": by_seed} if by_seed else {})


def difference(one: Measured, other: Measured) -> Figures:
    """One student minus another, by place and metric: paired by patient and, in the order of the seeds, by seed."""
    return {
        place: {metric: (each - other[place][metric]).difference() for metric, each in of.items()}
        for place, of in one.items()
    }


@dataclass(frozen=True)
class Asked:
    """The questions, the networks that answer them, and the resamples that all figures share."""

    study: Study
    main: Main
    cells: Cells
    networks: Mapping[str, Network]
    draws: Resampling

    def seeds(self, group: str, student: str, how: str, *, share: float = 1.0) -> list[Network]:
        """The networks of a group that differ in nothing but the seed, by rising seed."""
        names = by_seed(self.cells, group, student, how, share=share)
        return [self.networks[names[seed]] for seed in sorted(names)]

    def measured(self, networks: Sequence[Network]) -> Measured:
        """Their figures over seeds."""
        return measured(networks, self.draws)


def plain(drawn: Mapping[str, Estimate]) -> Figures:
    """The summaries of a single network's figures."""
    return {name: each.summary() for name, each in drawn.items()}


def one_network(network: Network, draws: Resampling) -> Figures:
    """A single network everywhere, so that intervals are over patients alone."""
    found = measured([network], draws)
    return {place: plain({metric: each.patients for metric, each in of.items()}) for place, of in found.items()}


def averaged(each: Sequence[Estimate]) -> dict[str, float]:
    """The mean of one figure on test over networks that differ in the seed, or the figure of a single one."""
    return each[0].summary() if len(each) == 1 else over_seeds(each).summary()
