"""The answers to the study's own questions: size and teacher, labels, augmentation, the blog post."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cxr_distill.evaluation import scores
from study.plan.matrix import BASELINE, DISTILLED, Student, Teacher
from study.results.networks import Asked, Figures, Measured, difference, one_network, plain, summaries

CAUSES = {
    "all_of_it": (("low", "baseline"), ("high", "train")),
    "learning_rate": (("low", "baseline"), ("high", "baseline")),
    "then_distillation": (("high", "baseline"), ("high", "eval")),
    "then_teacher_in_train_mode": (("high", "eval"), ("high", "train")),
    "distillation_only": (("low", "baseline"), ("low", "eval")),
    "teacher_in_train_mode_at_low_rate": (("low", "eval"), ("low", "train")),
}
"""What changes -> from and to: learning rate, teacher (none, or the mode of its BatchNorm)."""


def teachers(asked: Asked) -> Figures:
    """Section `teachers`: that of the main pipeline by what it sees, and those of the study."""
    others = [name for name, cell in asked.cells.items() if isinstance(cell, Teacher)]
    found = {asked.main.sees: "teacher", **{name.removeprefix("teacher_"): name for name in others}}
    each = {sees: asked.networks[name] for sees, name in found.items()}
    return {sees: {"parameters": net.parameters, **one_network(net, asked.draws)} for sees, net in each.items()}


def size(asked: Asked, megabytes: Mapping[str, Mapping[str, float]], latency: Mapping[str, Any]) -> Figures:
    """Section `size`: every student, baseline and distilled, and paired differences.

    megabytes: by student, of its released files (`checks.sizes`); latency: of study/latency.json.
    """
    figures: Figures = {"students": {}, "differences": {}}
    for student, wanted in asked.study.size.items():
        teachers = sorted(wanted.teachers)
        networks = {how: asked.seeds("size", student, how) for how in (BASELINE, *teachers)}
        found = {how: asked.measured(each) for how, each in networks.items()}
        figures["students"][student] = {
            "arch": asked.study.students[student].arch,
            "parameters": networks[BASELINE][0].parameters,
            "megabytes": dict(megabytes[student]),
            **({"milliseconds": times} if (times := latency["students"].get(student)) else {}),
            "by_teacher": {how: summaries(each) for how, each in found.items()},
        }
        pairs = [(how, BASELINE) for how in teachers]
        if len(teachers) == 2:
            pairs.append(("lungs", "film"))
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
        if share == 1:
            both = [asked.seeds("size", student, how) for how in (BASELINE, asked.main.sees)]
        else:
            both = [asked.seeds("labels", student, how, share=share) for how in (BASELINE, DISTILLED)]
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
    """Section `augmentation`: the student with it and without, on the same seeds, and what it changes."""
    student, count = asked.study.augmentation.student, asked.study.augmentation.seeds
    augmented = [asked.measured(asked.seeds("size", student, how)[:count]) for how in (BASELINE, asked.main.sees)]
    plainly = [asked.measured(asked.seeds("augmentation", student, how)) for how in (BASELINE, DISTILLED)]
    return {
        "student": student,
        "with": _baseline_and_distilled(*augmented),
        "without": _baseline_and_distilled(*plainly),
        "with_minus_without": {
            how: difference(one, other)
            for how, one, other in zip((BASELINE, DISTILLED), augmented, plainly, strict=True)
        },
    }


def blog(asked: Asked) -> Figures:
    """Section `blog`: its recipe change by change, on test at 0.5, and paired differences; one seed each."""
    cells = {name: cell for name, cell in asked.cells.items() if isinstance(cell, Student) and cell.group == "blog"}
    low = asked.study.blog.learning_rates[0]
    found = {
        ("low" if cell.learning_rate == low else "high", cell.how): scores.estimates(
            asked.networks[name].on("test"), asked.draws.of("test")
        )
        for name, cell in cells.items()
    }
    return {
        "student": asked.study.blog.student,
        "cells": {
            name: {"learning_rate": cell.learning_rate, "at_half": plain(each)}
            for (name, cell), each in zip(cells.items(), found.values(), strict=True)
        },
        "causes": {
            cause: plain({metric: found[after][metric] - found[before][metric] for metric in scores.METRICS})
            for cause, (before, after) in CAUSES.items()
        },
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
