"""The answers to the study's own questions: size and teacher, labels, augmentation, the blog post."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from study.plan.matrix import BASELINE, TEACHERS, Student, Teacher, main_student
from study.results.networks import Asked, Figures, Measured, difference, one_network, summaries

CAUSES = {
    "all_of_it": ("low_baseline", "high_train"),
    "learning_rate": ("low_baseline", "high_baseline"),
    "then_distillation": ("high_baseline", "high_eval"),
    "then_teacher_in_train_mode": ("high_eval", "high_train"),
}
"""What changes -> from and to: learning rate, teacher (none, or the mode of its BatchNorm)."""


def teachers(asked: Asked) -> Figures:
    """Section `teachers`: those of TEACHERS, and by what they see and percent of the labels those of few labels."""
    teachers = [name for name, cell in asked.cells.items() if isinstance(cell, Teacher)]
    found = {name.partition("_")[2]: asked.networks[name] for name in teachers}
    found[asked.main.teacher] = asked.networks["teacher"]
    return {sees: {"parameters": net.parameters, **one_network(net, asked.draws)} for sees, net in found.items()}


def size(asked: Asked, megabytes: Mapping[str, Mapping[str, float]], latency: Mapping[str, Any]) -> Figures:
    """Section `size`: every student, baseline and distilled, and paired differences.

    megabytes: by student, of its released files (`checks.sizes`); latency: of study/latency.json.
    """
    figures: Figures = {"students": {}, "differences": {}}
    own, main = main_student(asked.study, asked.main), asked.main.teacher
    for student in (own, *(each for each in asked.study.size if each != own)):
        teachers = list(TEACHERS) if student == own else [main]
        networks = {how: asked.seeds("size", student, how) for how in (BASELINE, *teachers)}
        found = {how: asked.measured(each) for how, each in networks.items()}
        figures["students"][student] = {
            "arch": asked.study.students[student].arch,
            "parameters": networks[BASELINE][0].parameters,
            "megabytes": dict(megabytes[student]),
            **({"milliseconds": times} if (times := latency["students"].get(student)) else {}),
            "by_teacher": {how: summaries(each) for how, each in found.items()},
        }
        pairs = [(how, BASELINE) for how in teachers] + [(main, how) for how in teachers if how != main]
        figures["differences"][student] = {
            f"{one}_minus_{other}": difference(found[one], found[other]) for one, other in pairs
        }
    return figures


def labels(asked: Asked, labelled: Mapping[float, Mapping[str, int]]) -> Figures:
    """Section `labels`: by share of the patients with a label, in percent, that student as baseline and distilled.

    labelled: share -> how many `patients` and `films` that is.
    """
    student = asked.study.labels.student
    figures: Figures = {"student": student, "shares": {}}
    for share in sorted({*asked.study.labels.shares, 1.0}):
        group = "size" if share == 1 else "labels"
        both = [asked.seeds(group, student, how, share=share) for how in (BASELINE, asked.main.teacher)]
        baseline, distilled = map(asked.measured, both)
        figures["shares"][f"{100 * share:g}"] = {
            "share": share,
            **labelled[share],
            **_baseline_and_distilled(baseline, distilled),
        }
    return figures


def _baseline_and_distilled(baseline: Measured, distilled: Measured) -> Figures:
    return {
        "baseline": summaries(baseline),
        "distilled": summaries(distilled),
        "distilled_minus_baseline": difference(distilled, baseline),
    }


def augmentation(asked: Asked) -> Figures:
    """Section `augmentation`: the student with it and without, and what it changes."""
    student, hows = asked.study.augmentation.student, (BASELINE, asked.main.teacher)
    augmented, plainly = (
        [asked.measured(asked.seeds(group, student, how)) for how in hows] for group in ("size", "augmentation")
    )
    return {
        "student": student,
        "with": _baseline_and_distilled(*augmented),
        "without": _baseline_and_distilled(*plainly),
        "with_minus_without": {
            how: difference(one, other)
            for how, one, other in zip((BASELINE, "distilled"), augmented, plainly, strict=True)
        },
    }


def blog(asked: Asked) -> Figures:
    """Section `blog`: its recipe change by change, on test at 0.5, and paired differences."""
    cells = [cell for cell in asked.cells.values() if isinstance(cell, Student) and cell.group == "blog"]
    rates = {cell.how: cell.learning_rate for cell in cells}
    found = {how: asked.measured(asked.seeds("blog", asked.study.blog.student, how)) for how in rates}
    return {
        "student": asked.study.blog.student,
        "cells": {
            how: {"learning_rate": rate, "at_half": summaries(found[how])["test"]} for how, rate in rates.items()
        },
        "causes": {cause: difference(found[after], found[before])["test"] for cause, (before, after) in CAUSES.items()},
    }


def shown(figures: Figures) -> Figures:
    """study/metrics.json: the few figures that are compared between runs, of the main student and its teacher."""
    student, sees = figures["student"], figures["teacher_sees"]
    distilled = figures["size"]["students"][student]["by_teacher"][sees]
    gain = figures["size"]["differences"][student][f"{sees}_minus_{BASELINE}"]["test"]
    teacher = figures["teachers"][sees]["test"]
    both = ("accuracy", "auroc")
    return {
        "student": {
            "parameters": figures["size"]["students"][student]["parameters"],
            "seeds": distilled["test"]["auroc"]["seeds"],
            **{metric: distilled["test"][metric]["mean"] for metric in both},
            **{f"{metric}_reframed": distilled["test_reframed"][metric]["mean"] for metric in both},
        },
        "gain_over_baseline": {metric: gain[metric] for metric in both},
        "teacher": {metric: teacher[metric]["value"] for metric in both},
    }
