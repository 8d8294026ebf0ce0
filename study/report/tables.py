"""What templates and pictures take from study/results.json: cells of tables, and the situations that are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import exp
from pathlib import Path
from typing import Any

import yaml

from cxr_distill.base.templates import interval, signed

TEMPLATES = Path(__file__).parent / "templates"
Figures = Mapping[str, Any]


def short(student: str) -> str:
    """`69k` for `residual_69k`, `plain 202k` for `plain_202k`."""
    return student.removeprefix("residual_").replace("_", " ")


def seeds(figures: Figures) -> int:
    """How many seeds the figures of a student are over."""
    return int(figures["test"]["auroc"]["seeds"])


def gains(figures: Figures, words: Figures) -> list[dict[str, Any]]:
    """Distilled minus baseline in every situation: `words`, `seeds`, and the `difference` by place and metric.

    `on_top`: whether it is in the picture on top, which has one student of each situation.
    """
    augmentation, size, labels = figures["augmentation"], figures["size"], figures["labels"]
    both = [(augmentation["student"], words["augmentation"][key], augmentation[key]) for key in words["augmentation"]]
    few = {percent: each for percent, each in labels["shares"].items() if each["share"] < 1}
    both += [(labels["student"], f"{percent}% of the labels", each) for percent, each in few.items()]
    found = [(student, what, each["distilled"], each["distilled_minus_baseline"], True) for student, what, each in both]
    for student, pairs in size["differences"].items():
        own = size["students"][student]["by_teacher"]
        hows = [how for how in own if how != "baseline"]
        found += [
            (student, words["teachers"][how], own[how], pairs[f"{how}_minus_baseline"], student == figures["student"])
            for how in hows
        ]
    return [
        {"words": f"{short(name)} student, {what}", "seeds": seeds(scores), "difference": difference, "on_top": on_top}
        for name, what, scores, difference, on_top in found
    ]


def softened(film: Figures, temperature: float) -> str:
    """`0.90 / 0.07 / 0.03`: softmax of a film's logits at a temperature."""
    parts = [exp(logit / temperature) for logit in film["logits"]]
    return " / ".join(f"{part / sum(parts):.2f}" for part in parts)


def cells(each: Figures, columns: Iterable[tuple[str, str, str]], *, sign: bool = False) -> list[str]:
    """An estimate or, with its `sign`, a difference by place and metric."""
    return [(signed if sign else interval)(each[place][metric]) for place, metric, _ in columns]


def values_of(figures: Figures, evaluation: Figures) -> dict[str, Any]:
    """All names that templates and pictures use; evaluation: reports/evaluation.json.

    Earlier results lack frames of any class: then these have no column.
    """
    words = yaml.safe_load((TEMPLATES / "words.yaml").read_text())
    places, changes = figures["teachers"][figures["teacher_sees"]], figures["reads"]["distilled"]["test"]
    columns = [each for each in words["columns"] if each[0] in places]
    changed = {key: name for key, name in words["changed"].items() if key in changes}
    frames = {place: name for place, name in words["frames"].items() if place in places}
    causes = {key: name for key, name in words["causes"].items() if key in figures["blog"]["causes"]}
    return {
        **figures,
        "words": {**words, "changed": changed, "columns": columns, "frames": frames, "causes": causes},
        "synthetic": evaluation.get("synthetic", False),
        "models": evaluation["models"],
        "gains": gains(figures, words),
        "short": short,
        "seeds": seeds,
        "softened": softened,
        "cells": cells,
        "four": lambda each, sign=False: [(signed if sign else interval)(each[metric]) for metric in words["metrics"]],
        "variants": lambda each: [interval(each[key]) if key in each else "" for key in changed],
    }
