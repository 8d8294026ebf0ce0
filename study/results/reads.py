"""Figures of the main networks: what they read in a film, and what a teacher tells a student."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import softmax

from cxr_distill.base.classes import CLASSES
from cxr_distill.evaluation.bootstrap import rounded
from study.results.networks import Figures

QUANTILES = {"typical": 0.5, "hard": 0.05}
"""Where a film lies among those of its class, by the probability that the teacher gives to this class."""


def reads(evaluation: Mapping[str, Any]) -> Figures:
    """Section `reads`: network -> validation and test -> change of the films (`evaluation.frames`) -> AUROC.

    evaluation: reports/evaluation.json.
    """
    return {
        name: {
            place: {
                "as_it_is": {"value": evaluated[place]["auroc"], **evaluated[place]["ci95"]["auroc"]},
                **{change: each["auroc"] for change, each in evaluated[place]["frames"].items()},
            }
            for place in ("validation", "test")
        }
        for name, evaluated in evaluation["models"].items()
        if name in ("teacher", "baseline", "distilled")
    }


def share_in_lungs(evaluation: Mapping[str, Any]) -> Figures:
    """Section `share_in_lungs`: of the class activation maps on test, in the boxes of the lungs; `area`: of the films.

    A map that is spread evenly has the share `area`.
    """
    shares = {name: evaluation["models"][name]["test"]["activation_in_lungs"] for name in ("baseline", "distilled")}
    return {**shares, "area": evaluation["comparison"]["box_share"]["test"]}


def soft_targets(logits: NDArray[np.float32], films: pd.DataFrame) -> list[dict[str, Any]]:
    """Section `soft_targets`: the teacher's logits of a typical and a hard validation film of each class.

    logits: (N, 3) of validation films. Each film: `class`, `which` of QUANTILES, `logits` in the order of CLASSES.
    """
    subtypes = films.loc[films["split"] == "val", "subtype"].to_numpy(str)
    chosen = []
    for number, name in enumerate(CLASSES):
        own = logits[subtypes == name].astype(np.float64)
        ranked = own[np.argsort(softmax(own, axis=1)[:, number], kind="stable")]
        for which, quantile in QUANTILES.items():
            row = ranked[round(quantile * (len(ranked) - 1))]
            chosen.append({"class": name, "which": which, "logits": [rounded(each) for each in row]})
    return chosen
