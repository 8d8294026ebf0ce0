"""What networks were scored on, and their figures over seeds: the building blocks of every answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation import scores
from cxr_distill.evaluation.bootstrap import Estimate, Floats, patient_resamples, rounded
from cxr_distill.evaluation.metrics import IN_FRAMES
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.evaluation.predictions import REFRAMED, scored_split
from cxr_distill.evaluation.scores import Scored
from study.results.statistics import OverSeeds, over_seeds, seed_picks

Figures = dict[str, Any]
PLACES = {
    "validation": tuple(scores.METRICS),
    "validation_reframed": IN_FRAMES,
    "test": tuple(scores.METRICS),
    "test_reframed": IN_FRAMES,
}
"""Where a network is measured -> by which metrics; reframed: see `evaluation.frames.variants`."""


@dataclass(frozen=True)
class Network:
    """One trained network's predictions in each of PLACES."""

    validation: Scored
    validation_reframed: Scored
    test: Scored
    test_reframed: Scored
    parameters: int


Networks = Mapping[str, Network]
"""Those of the study by the name of their cell, and those of the main pipeline: teacher, baseline, distilled."""


def main_network(predictions: pd.DataFrame, parameters: int) -> Network:
    """A network of the main pipeline from its table of predictions."""
    return Network(
        validation=scored_split(predictions, "val"),
        validation_reframed=scored_split(predictions, "val", REFRAMED),
        test=scored_split(predictions, "test"),
        test_reframed=scored_split(predictions, "test", REFRAMED),
        parameters=parameters,
    )


def network_of(main: Network, cell: Mapping[str, NDArray[Any]]) -> Network:
    """A network of the study from its logits; labels and patients are those of the network `main`.

    Raises CxrError if the logits are of other images.
    """
    scored = {}
    for place in PLACES:
        known, logits = getattr(main, place), cell[place.replace("validation", "val")]
        if len(known.labels) != len(logits):
            raise CxrError("study/cells and predictions/ are of other images; run `dvc repro` in the root, then here")
        scored[place] = Scored(known.labels, p_pneumonia(logits), known.patients)
    return Network(**scored, parameters=int(cell["parameters"][0]))


@dataclass(frozen=True)
class Resampling:
    """The resamples of patients that every figure shares, per split, and how they were made."""

    validation: Floats
    test: Floats
    params: EvaluateParams

    def of(self, place: str) -> Floats:
        """The resamples (B, N) that belong to one of PLACES."""
        return self.test if place.startswith("test") else self.validation

    def picks(self, seeds: int, *, place: str) -> Floats:
        """The resamples of `seeds` seeds that go with those of the patients."""
        return seed_picks(seeds, resamples=len(self.of(place)), seed=self.params.seed)


def resampling(network: Network, params: EvaluateParams) -> Resampling:
    """The resamples for the images that `network` was scored on."""
    validation, test = (
        patient_resamples(s.labels, s.patients, resamples=params.bootstrap_resamples, seed=params.seed)
        for s in (network.validation, network.test)
    )
    return Resampling(validation, test, params)


Measured = dict[str, dict[str, OverSeeds]]
"""Place -> metric -> its figure over the seeds of a student."""


def measured(networks: Sequence[Network], draws: Resampling) -> Measured:
    """PLACES over networks that differ in nothing but the seed."""
    found: Measured = {}
    for place, wanted in PLACES.items():
        each = [scores.estimates(getattr(network, place), draws.of(place)) for network in networks]
        picks = draws.picks(len(networks), place=place)
        found[place] = {metric: over_seeds([one[metric] for one in each], picks) for metric in wanted}
    return found


def summaries(found: Measured) -> Figures:
    """Mean over seeds with interval, by place and metric; and every seed's value on test."""
    figures: Figures = {
        place: {metric: each.summary() for metric, each in by_metric.items()} for place, by_metric in found.items()
    }
    by_seed = {metric: [rounded(value) for value in each.seeds] for metric, each in found["test"].items()}
    return {**figures, "by_seed": by_seed}


def difference(one: Measured, other: Measured) -> Figures:
    """One student minus another, by place and metric: paired by patient and, in the order of the seeds, by seed."""
    return {
        place: {metric: (one[place][metric].draw - other[place][metric].draw).summary() for metric in by_metric}
        for place, by_metric in one.items()
    }


def plain(drawn: Mapping[str, Estimate]) -> Figures:
    """The summaries of a single network's figures."""
    return {name: each.summary() for name, each in drawn.items()}


def one_network(network: Network, draws: Resampling) -> Figures:
    """PLACES of a single network, so that intervals are over patients alone."""
    found = {place: scores.estimates(getattr(network, place), draws.of(place)) for place in PLACES}
    return {"parameters": network.parameters} | {
        place: plain({metric: found[place][metric] for metric in wanted}) for place, wanted in PLACES.items()
    }


def averaged(each: Sequence[Estimate], draws: Resampling, *, place: str = "test") -> dict[str, float]:
    """The mean of one figure over networks that differ in the seed, or the figure of a single one."""
    if len(each) == 1:
        return each[0].summary()
    return over_seeds(each, draws.picks(len(each), place=place)).summary()


def same_images(networks: Networks) -> None:
    """Raises CxrError unless all were scored on the same images."""
    (first, one), *others = networks.items()
    for name, network in others:
        for place in PLACES:
            own, its = getattr(one, place), getattr(network, place)
            if not (np.array_equal(own.labels, its.labels) and np.array_equal(own.patients, its.patients)):
                raise CxrError(
                    f"{name} was scored on other images than {first}; run `dvc repro` in the root, then in study/"
                )
