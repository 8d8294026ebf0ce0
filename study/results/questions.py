"""The answers to the study's own questions: size and teacher, labels, views, alpha and temperature, the blog post."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cxr_distill.evaluation import scores
from cxr_distill.evaluation.bootstrap import Estimate, rounded
from cxr_distill.evaluation.scores import estimate
from study.params import Study
from study.plan.matrix import BASELINE, DISTILLED, Cells, Main, Student, Teacher, by_seed
from study.results.networks import (
    Figures,
    Measured,
    Network,
    Networks,
    Resampling,
    difference,
    measured,
    one_network,
    plain,
    summaries,
)
from study.results.statistics import balanced_log_loss, effective_alpha, threshold_for_prevalence

CHOSEN_BY = ("validation_reframed", "auroc")
"""Place and metric by which the size is chosen."""

CAUSES = {
    "all_of_it": (("low", "baseline", "half"), ("high", "train", "half")),
    "learning_rate": (("low", "baseline", "half"), ("high", "baseline", "half")),
    "then_distillation": (("high", "baseline", "half"), ("high", "eval", "half")),
    "then_teacher_in_train_mode": (("high", "eval", "half"), ("high", "train", "half")),
    "operating_point_baseline": (("low", "baseline", "half"), ("low", "baseline", "matched")),
    "distillation_baseline": (("low", "baseline", "half"), ("low", "eval", "half")),
    "teacher_in_train_mode_at_low_rate": (("low", "eval", "half"), ("low", "train", "half")),
    "operating_point_at_high_rate": (("high", "baseline", "half"), ("high", "baseline", "matched")),
    "distillation_once_matched": (("high", "baseline", "matched"), ("high", "train", "matched")),
}
"""What changes -> from and to: learning rate, teacher (alone, or the mode of its BatchNorm), threshold."""


@dataclass(frozen=True)
class Asked:
    """The questions, the networks that answer them, and the resamples that all figures share."""

    study: Study
    main: Main
    cells: Cells
    networks: Networks
    draws: Resampling

    def seeds(self, group: str, student: str, how: str, *, share: float = 1.0) -> list[Network]:
        """The networks of a group that differ in nothing but the seed, by rising seed."""
        names = by_seed(self.cells, group, student, how, share=share)
        return [self.networks[names[seed]] for seed in sorted(names)]


def teachers(asked: Asked) -> Figures:
    """Section `teachers`: that of the main pipeline by what it sees, and those of the study."""
    kinds = {f"teacher_{asked.main.kind}": "teacher"}
    kinds |= {name: name for name, cell in asked.cells.items() if isinstance(cell, Teacher)}
    return {
        name.removeprefix("teacher_"): one_network(asked.networks[network], asked.draws)
        for name, network in kinds.items()
    }


def size(asked: Asked, megabytes: Mapping[str, Mapping[str, float]], latency: Mapping[str, Any]) -> Figures:
    """Section `size`: every student alone and taught, paired differences, and the smallest that is good enough.

    megabytes: by student, of its released files (`checks.sizes`); latency: of study/latency.json.
    """
    figures: Figures = {"students": {}, "differences": {}}
    of_kind: dict[str, Measured] = {}
    for student, wanted in asked.study.size.items():
        alone, *taught = hows = (BASELINE, *sorted(wanted.teachers))
        networks = {how: asked.seeds("size", student, how) for how in hows}
        found = {how: measured(each, asked.draws) for how, each in networks.items()}
        figures["students"][student] = {
            "arch": asked.study.students[student].arch,
            "parameters": networks[alone][0].parameters,
            "megabytes": dict(megabytes[student]),
            **({"milliseconds": times} if (times := latency["students"].get(student)) else {}),
            "by_teacher": {how: summaries(each) for how, each in found.items()},
        }
        pairs = [(how, alone) for how in taught]
        if {"films", "lungs"} <= set(taught):
            pairs.append(("lungs", "films"))
        figures["differences"][student] = {
            f"{one}_minus_{other}": difference(found[one], found[other]) for one, other in pairs
        }
        if asked.main.kind in found:
            of_kind[student] = found[asked.main.kind]
    return {**figures, "choice": _choice(figures["students"], of_kind)}


def _choice(students: Figures, found: Mapping[str, Measured]) -> Figures:
    place, metric = CHOSEN_BY
    scores = {student: each[place][metric].summary() for student, each in found.items()}
    best = max(scores, key=lambda student: scores[student]["mean"])
    enough = [student for student, score in scores.items() if score["mean"] >= scores[best]["low"]]
    return {
        "best": best,
        "at_least": scores[best]["low"],
        "good_enough": enough,
        "smallest": min(enough, key=lambda student: students[student]["parameters"]),
    }


def labels(asked: Asked, labelled: Mapping[float, Mapping[str, int]]) -> Figures:
    """Section `labels`: by share of the patients with a label, in percent, that student alone and taught.

    labelled: share -> how many `patients` and `films` that is.
    """
    student, kind = asked.study.labels.student, asked.main.kind
    figures: Figures = {"student": student, "shares": {}}
    for share in sorted({*asked.study.labels.shares, 1.0}):
        if share == 1:
            alone, taught = (asked.seeds("size", student, how) for how in (BASELINE, kind))
        else:
            alone, taught = (asked.seeds("labels", student, how, share=share) for how in (BASELINE, DISTILLED))
        figures["shares"][f"{100 * share:g}"] = {
            "share": share,
            **labelled[share],
            **_baseline_and_distilled(measured(alone, asked.draws), measured(taught, asked.draws)),
        }
    return figures


def _baseline_and_distilled(alone: Measured, taught: Measured) -> Figures:
    return {
        "baseline": summaries(alone),
        "distilled": summaries(taught),
        "distilled_minus_baseline": difference(taught, alone),
    }


def regime(asked: Asked) -> Figures:
    """Section `regime`: the student with views and without, on the same seeds, and the difference that views make."""
    student, count = asked.study.regime.student, asked.study.regime.seeds
    with_views = [asked.seeds("size", student, how)[:count] for how in (BASELINE, asked.main.kind)]
    without = [asked.seeds("regime", student, how) for how in (BASELINE, DISTILLED)]
    views, no_views = ([measured(each, asked.draws) for each in both] for both in (with_views, without))
    return {
        "student": student,
        "views": _baseline_and_distilled(*views),
        "no_views": _baseline_and_distilled(*no_views),
        "views_minus_no_views": {
            how: difference(one, other) for how, one, other in zip((BASELINE, DISTILLED), views, no_views, strict=True)
        },
    }


def grid(asked: Asked) -> Figures:
    """Section `grid`: one student a point, compared on validation films in the other frame.

    in_use: the point of params.yaml, None if it is not among them.
    """
    points = {name: cell for name, cell in asked.cells.items() if isinstance(cell, Student) and cell.group == "grid"}
    best, compared = _compared(asked, list(points))
    in_use = next((name for name, cell in points.items() if cell.distill == asked.main.distill), None)
    figures: Figures = {"student": asked.study.grid.student, "best": best, "in_use": in_use, "points": {}}
    for name, cell in points.items():
        how = cell.distill
        assert how is not None
        alpha = effective_alpha(how.alpha, how.temperature, classes=3) if how.loss == "blog" else how.alpha
        figures["points"][name] = {
            **how.model_dump(),
            "effective_alpha": rounded(alpha),
            **compared[name],
        }
    return figures


def _compared(asked: Asked, names: Sequence[str]) -> tuple[str, dict[str, Figures]]:
    """The network with the lowest log-loss on validation films in the other frame, and every one's gap to it."""
    place, draws = "validation_reframed", asked.draws
    losses = {
        name: estimate(getattr(asked.networks[name], place), draws.of(place), balanced_log_loss) for name in names
    }
    best = min(losses, key=lambda name: losses[name].value)
    figures = {}
    for name in names:
        behind = (losses[name] - losses[best]).summary()
        figures[name] = {
            "log_loss": losses[name].summary(),
            "behind_the_best": behind,
            "within_noise_of_the_best": name == best or behind["low"] <= 0,
            **one_network(asked.networks[name], draws),
        }
    return best, figures


def tuning(asked: Asked) -> Figures:
    """Section `tuning`: settings of the student alone, compared as the points of `grid`; and over all seeds the chosen
    one against that of params.yaml and against the taught student."""
    wanted, kind = asked.study.tuning, asked.main.kind
    tried = {name: cell for name, cell in asked.cells.items() if isinstance(cell, Student) and cell.group == "tuning"}
    own = by_seed(asked.cells, "size", wanted.student, BASELINE)[asked.main.student.seed]
    words = {own: "as in params.yaml", **{name: cell.change.words() for name, cell in tried.items() if cell.change}}
    best, compared = _compared(asked, list(words))
    figures: Figures = {
        "student": wanted.student,
        "best": words[best],
        "chosen": wanted.chosen.words(),
        "settings": {words[name]: each for name, each in compared.items()},
        "students": {},
    }
    for student in wanted.students:
        tuned = measured(asked.seeds("tuned", student, BASELINE), asked.draws)
        alone, taught = (measured(asked.seeds("size", student, how), asked.draws) for how in (BASELINE, kind))
        figures["students"][student] = {
            "tuned": summaries(tuned),
            "tuned_minus_baseline": difference(tuned, alone),
            f"{kind}_minus_tuned": difference(taught, tuned),
        }
    return figures


def blog(asked: Asked) -> Figures:
    """Section `blog`: its recipe change by change, on test at 0.5 and at the prevalence-matched threshold, and paired
    differences."""
    cells = {name: cell for name, cell in asked.cells.items() if isinstance(cell, Student) and cell.group == "blog"}
    low = asked.study.blog.learning_rates[0]
    found: dict[tuple[str, str, str], dict[str, Estimate]] = {}
    figures: Figures = {"student": asked.study.blog.student, "cells": {}}
    for name, cell in cells.items():
        network, rate = asked.networks[name], "low" if cell.learning_rate == low else "high"
        matched = threshold_for_prevalence(network.validation)
        for point, threshold in (("half", scores.THRESHOLD), ("matched", matched)):
            found[rate, cell.how, point] = scores.estimates(network.test, asked.draws.test, threshold=threshold)
        figures["cells"][name] = {
            "learning_rate": cell.learning_rate,
            "at_half": plain(found[rate, cell.how, "half"]),
            "prevalence_matched": {"threshold": rounded(matched), **plain(found[rate, cell.how, "matched"])},
        }
    figures["causes"] = {
        cause: plain({metric: found[after][metric] - found[before][metric] for metric in scores.METRICS})
        for cause, (before, after) in CAUSES.items()
    }
    return figures
