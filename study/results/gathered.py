"""study/results.json: from every network's predictions to the study's answers, each with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.evaluation.params import EvaluateParams
from study.plan.matrix import BASELINE, main_student
from study.results import checks, questions
from study.results.networks import Figures
from study.results.questions import Asked
from study.results.reads import reads, soft_targets
from study.results.statistics import seed_coverage

TABLES = ("shortcuts", "originals", "maps", "lungs")
"""What the stage `checks` wrote to study/checks/NAME.csv."""


def study(
    asked: Asked,
    *,
    labelled: Mapping[float, Mapping[str, int]],
    test_subtypes: NDArray[Any],
    tables: Mapping[str, pd.DataFrame],
    megabytes: Mapping[str, Mapping[str, float]],
    latency: Mapping[str, Any],
    models: Mapping[str, Mapping[str, Any]],
    teacher: pd.DataFrame,
    at_site: Figures,
    evaluate: EvaluateParams,
) -> Figures:
    """All of study/results.json.

    labelled, megabytes, latency: see `questions`; test_subtypes (N,) of the test images; tables: TABLES by name;
    models: evaluation/NAME.json of the main networks; teacher: its predictions; at_site: of `site.site`.
    """
    draws, first, student = asked.draws, asked.networks["teacher"], main_student(asked.study, asked.main)
    networks = {
        "teacher": [first],
        "baseline": asked.seeds("size", student, BASELINE),
        "distilled": asked.seeds("size", student, asked.main.kind),
    }
    figures = {
        "n": len(first.test.labels),
        "patients": len(np.unique(first.test.patients)),
        "sensitivity_target": evaluate.sensitivity_target,
        "student": student,
        "taught_by": asked.main.kind,
        "teachers": questions.teachers(asked),
        "size": questions.size(asked, megabytes, latency),
        "labels": questions.labels(asked, labelled),
        "regime": questions.regime(asked),
        "grid": questions.grid(asked),
        "tuning": questions.tuning(asked),
        "site": at_site,
        "blog": questions.blog(asked),
        "reads": reads(models),
        "soft_targets": soft_targets(teacher),
        "calibration": checks.calibration(networks, draws),
        "operating_points": checks.operating_points(networks, draws),
        "subtypes": checks.subtypes(networks, test_subtypes, draws),
        "shortcuts": checks.shortcuts(tables["shortcuts"], networks, draws, strata=asked.study.strata),
        "originals": checks.originals(tables["originals"], evaluate),
        "maps": checks.maps(tables["maps"], asked.networks["distilled"], evaluate),
        "share_in_lungs": dict(zip(tables["lungs"]["map"], tables["lungs"]["share_in_lungs"], strict=True)),
    }
    wanted = {wanted.seeds for wanted in asked.study.size.values()} | {
        asked.study.labels.seeds,
        asked.study.regime.seeds,
    }
    coverage = {str(seeds): seed_coverage(seeds) for seeds in sorted(wanted) if seeds > 1}
    return {**figures, "seed_coverage": coverage, "is_a_teacher_worth_it": worth_it(figures)}


def worth_it(figures: Figures) -> dict[str, dict[str, list[str]]]:
    """Section `is_a_teacher_worth_it`: by place, in which cases the interval of the gain in AUROC lies above 0, below
    0, or includes it. A case is a student and a teacher, against the tuned baseline too, a share of labels, or no
    views."""
    students, labels, regime = figures["size"]["students"], figures["labels"], figures["regime"]
    cases = {
        f"{student}, teacher of {teacher} ({_seeds(found)})": figures["size"]["differences"][student][
            f"{teacher}_minus_{BASELINE}"
        ]
        for student, each in students.items()
        for teacher, found in each["by_teacher"].items()
        if teacher != BASELINE
    }
    kind = figures["taught_by"]
    cases |= {
        f"{student}, teacher of {kind}, against the tuned baseline ({_seeds(each['tuned'])})": each[
            f"{kind}_minus_tuned"
        ]
        for student, each in figures["tuning"]["students"].items()
    }
    cases |= {
        f"{labels['student']} with {percent}% of the labels ({_seeds(each['alone'])})": each["distilled_minus_baseline"]
        for percent, each in labels["shares"].items()
        if each["share"] < 1
    }
    without = regime["no_views"]
    cases[f"{regime['student']} without views ({_seeds(without['alone'])})"] = without["distilled_minus_baseline"]
    found: dict[str, dict[str, list[str]]] = {}
    for place in ("test", "test_reframed", "validation_reframed"):
        found[place] = {"higher": [], "includes_zero": [], "lower": []}
        for case, each in cases.items():
            found[place][verdict(each[place]["auroc"])].append(case)
    return found


def _seeds(student: Figures) -> str:
    return f"{student['test']['auroc']['seeds']} seeds"


def verdict(gain: Mapping[str, float]) -> str:
    """higher, lower or includes_zero, by where the interval of a difference lies."""
    return "higher" if gain["low"] > 0 else "lower" if gain["high"] < 0 else "includes_zero"


def shown(figures: Figures) -> Figures:
    """study/metrics.json: the few figures that are compared between runs, of the main student and its teacher."""
    student, kind = figures["student"], figures["taught_by"]
    taught = figures["size"]["students"][student]["by_teacher"][kind]
    gain = figures["size"]["differences"][student][f"{kind}_minus_baseline"]["test"]
    teacher = figures["teachers"][kind]["test"]
    both = ("accuracy", "auroc")
    return {
        "student": {
            "parameters": figures["size"]["students"][student]["parameters"],
            "seeds": taught["test"]["auroc"]["seeds"],
            **{metric: taught["test"][metric]["mean"] for metric in both},
            **{f"{metric}_reframed": taught["test_reframed"][metric]["mean"] for metric in both},
        },
        "gain_over_baseline": {metric: gain[metric] for metric in both},
        "teacher": {metric: teacher[metric]["value"] for metric in both},
    }
