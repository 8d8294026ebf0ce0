"""What templates and pictures take from study/results.json: cells of tables, and the situations that are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import exp
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import UndefinedError

from cxr_distill.base.templates import environment, interval, signed

TEMPLATES = Path(__file__).parent / "templates"
Figures = Mapping[str, Any]


def short(student: str) -> str:
    """`69k` for `residual_69k`, `plain 202k` for `plain_202k`."""
    return student.removeprefix("residual_").replace("_", " ")


def seeds(figures: Figures) -> int:
    """How many seeds the figures of a student are over."""
    return int(figures["test"]["auroc"]["seeds"])


class Differences(NamedTuple):
    """A picture of paired differences: its title, and row -> a difference by place and metric."""

    title: str
    rows: dict[str, Figures]


def differences(figures: Figures) -> dict[str, Differences]:
    """The pictures of pictures.yaml; a row that these results lack is left out, and a picture without rows."""
    expressions = environment()

    def found(expression: str) -> Figures | None:
        try:
            return expressions.compile_expression(expression, undefined_to_none=False)(**figures)
        except UndefinedError:
            return None

    asked = yaml.safe_load((TEMPLATES / "pictures.yaml").read_text())
    rows = {name: {row: found(what) for row, what in each["rows"].items()} for name, each in asked.items()}
    return {
        name: Differences(asked[name]["title"], known)
        for name, each in rows.items()
        if (known := {row: difference for row, difference in each.items() if difference})
    }


def softened(film: Figures, temperature: float) -> str:
    """`0.90 / 0.07 / 0.03`: softmax of a film's logits at a temperature."""
    parts = [exp(logit / temperature) for logit in film["logits"]]
    return " / ".join(f"{part / sum(parts):.2f}" for part in parts)


def cells(each: Figures, columns: Iterable[tuple[str, str, str]], *, sign: bool = False) -> list[str]:
    """An estimate or, with its `sign`, a difference by place and metric."""
    return [(signed if sign else interval)(each[place][metric]) for place, metric, _ in columns]


def values_of(figures: Figures, evaluation: Figures) -> dict[str, Any]:
    """All names that templates and pictures use; evaluation: reports/evaluation.json."""
    words = yaml.safe_load((TEMPLATES / "words.yaml").read_text())
    changes = figures["reads"]["distilled"]["test"]
    changed = {key: name for key, name in words["changed"].items() if key in changes}
    return {
        **figures,
        "words": {**words, "changed": changed},
        "synthetic": evaluation.get("synthetic", False),
        "models": evaluation["models"],
        "differences": differences(figures),
        "short": short,
        "seeds": seeds,
        "softened": softened,
        "cells": cells,
        "four": lambda each, sign=False: [(signed if sign else interval)(each[metric]) for metric in words["metrics"]],
        "variants": lambda each: [interval(each[key]) if key in each else "" for key in changed],
    }
