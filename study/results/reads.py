"""Figures of the main networks that the article shows: what they read in a film, and what temperature does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from scipy.special import softmax

from cxr_distill.base.classes import CLASSES
from cxr_distill.evaluation.predictions import logits_of
from study.results.networks import Figures

QUANTILES = {"typical": 0.5, "hard": 0.05}
"""Where a film lies among those of its class, by the probability that the teacher gives to this class."""


def reads(models: Mapping[str, Mapping[str, Any]]) -> Figures:
    """Section `reads`: network -> validation and test -> change of the films (`evaluation.frames`) -> AUROC.

    models: evaluation/NAME.json by name.
    """
    return {
        name: {
            place: {
                "as_it_is": {"value": evaluated[place]["auroc"], **evaluated[place]["ci95"]["auroc"]},
                **{change: each["auroc"] for change, each in evaluated[place]["frames"].items()},
            }
            for place in ("validation", "test")
        }
        for name, evaluated in models.items()
    }


def soft_targets(teacher: pd.DataFrame) -> list[dict[str, Any]]:
    """Section `soft_targets`: the teacher's logits of a typical and a hard validation film of each class.

    teacher: its predictions. Each film: `class`, `which` of QUANTILES, `logits` in the order of CLASSES.
    """
    films, columns = teacher[teacher["split"] == "val"], logits_of(teacher)
    chosen = []
    for number, name in enumerate(CLASSES):
        own = films[films["subtype"] == name]
        sure = pd.Series(softmax(own[columns].to_numpy(float), axis=1)[:, number], own.index).sort_values(kind="stable")
        for which, quantile in QUANTILES.items():
            row = own.loc[sure.index[round(quantile * (len(sure) - 1))]]
            chosen.append({"class": name, "which": which, "logits": [float(row[column]) for column in columns]})
    return chosen
