"""The answer for a hospital with films of its own: what a student gains from starting with the release."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.evaluation.bootstrap import Estimate, patient_resamples
from cxr_distill.evaluation.params import EvaluateParams
from cxr_distill.evaluation.scores import Scored, estimates
from study.params import SiteParams
from study.plan.matrix import SITE_RELEASE, site_cell
from study.plan.site import in_order, site_rows
from study.results.networks import Figures
from study.results.statistics import OverSeeds, over_seeds, seed_picks

PLACES = ("held_out", "held_out_reframed")
METRICS = ("auroc", "accuracy")
STARTS = ("nothing", "release")

Cell = Mapping[str, NDArray[Any]]
Estimates = Mapping[str, Mapping[str, Estimate]]
OfSeeds = Mapping[str, Mapping[str, OverSeeds]]


def site(
    asked: SiteParams, index: pd.DataFrame, cells: Mapping[str, Cell], evaluate: EvaluateParams, *, seeds: Sequence[int]
) -> Figures:
    """Section `site`: by number of films, students from random weights and from the release; and the release as it is.

    cells: by name. seeds: of the students.
    """
    both, most = in_order(index), max(asked.films)
    held_out = both[site_rows(index, most, most=most).held_out]
    sick, patients = (held_out["label"] == "PNEUMONIA").to_numpy(np.int64), held_out["patient"].to_numpy(str)
    draws = patient_resamples(sick, patients, resamples=evaluate.bootstrap_resamples, seed=evaluate.seed)
    picks = seed_picks(len(seeds), resamples=len(draws), seed=evaluate.seed)

    def measured(name: str) -> Estimates:
        return {place: estimates(Scored(sick, p_pneumonia(cells[name][place]), patients), draws) for place in PLACES}

    def over(names: Sequence[str]) -> OfSeeds:
        each = [measured(name) for name in names]
        return {
            place: {metric: over_seeds([one[place][metric] for one in each], picks) for metric in METRICS}
            for place in PLACES
        }

    release = measured(SITE_RELEASE)
    own = site_rows(index, 0, most=most)
    figures: Figures = {
        "release_learned_from": int(own.learned.sum()),
        "held_out": {"films": len(held_out), "patients": len(np.unique(patients))},
        "learning_rate": asked.learning_rate,
        "release": {place: {metric: release[place][metric].summary() for metric in METRICS} for place in PLACES},
        "sizes": {},
    }
    for films in sorted(asked.films):
        found = {start: over([site_cell(films, start, seed) for seed in seeds]) for start in STARTS}
        rows = site_rows(index, films, most=most)
        used = both[rows.learned | rows.judged]
        figures["sizes"][str(films)] = {
            "films": len(used),
            "patients": int(used["patient"].nunique()),
            **{start: _summaries(found[start]) for start in STARTS},
            "release_minus_random": _minus(found["release"], _draws(found["nothing"])),
            "trained_minus_release": _minus(found["release"], release),
        }
    return figures


def _summaries(found: OfSeeds) -> Figures:
    return {place: {metric: found[place][metric].summary() for metric in METRICS} for place in PLACES}


def _draws(found: OfSeeds) -> Estimates:
    return {place: {metric: found[place][metric].draw for metric in METRICS} for place in PLACES}


def _minus(one: OfSeeds, other: Estimates) -> Figures:
    return {
        place: {metric: (one[place][metric].draw - other[place][metric]).summary() for metric in METRICS}
        for place in PLACES
    }
