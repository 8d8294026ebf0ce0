"""The blog's recipe taken apart, the steps from it to ours, and the table of alpha and temperature."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise

from cxr_distill.evaluation import metrics
from cxr_distill.evaluation.bootstrap import Estimate, rounded
from cxr_distill.evaluation.metrics import estimate
from cxr_distill.study.answers.statistics import (
    balanced_log_loss,
    effective_alpha,
    over_seeds,
    threshold_for_prevalence,
)
from cxr_distill.study.answers.students import Figures, Network, Resampling, Students, plain
from cxr_distill.study.params import AloneCell, TaughtCell

Point = tuple[str, float, float]
"""Loss, alpha and temperature."""

ALONE: Point = ("alone", 0.0, 0.0)

CAUSES = {
    "all_of_it": (("low", "alone", "half"), ("high", "train", "half")),
    "learning_rate": (("low", "alone", "half"), ("high", "alone", "half")),
    "then_distillation": (("high", "alone", "half"), ("high", "eval", "half")),
    "then_teacher_in_train_mode": (("high", "eval", "half"), ("high", "train", "half")),
    "operating_point_alone": (("low", "alone", "half"), ("low", "alone", "matched")),
    "distillation_alone": (("low", "alone", "half"), ("low", "eval", "half")),
    "teacher_in_train_mode_at_low_rate": (("low", "eval", "half"), ("low", "train", "half")),
    "operating_point_at_high_rate": (("high", "alone", "half"), ("high", "alone", "matched")),
    "distillation_once_matched": (("high", "alone", "matched"), ("high", "train", "matched")),
}
"""What changes -> from and to: learning rate, teacher (alone, or the mode of its BatchNorm), threshold."""


def blog(cells: Mapping[str, Network], draws: Resampling) -> Figures:
    """The blog's recipe cause by cause: every cell of group `blog` at 0.5 and at the prevalence-matched threshold, and
    paired differences that change one thing, means over a setting's seeds.
    """
    mine = _group(cells, "blog")
    low = min(cell.learning_rate or 0 for _, _, cell in mine)  # `check_questions` has made sure of two rates
    found: dict[tuple[str, str, str], list[dict[str, Estimate]]] = defaultdict(list)
    figures: Figures = {"cells": {}}
    for name, network, cell in mine:
        rate = "low" if cell.learning_rate == low else "high"
        how = cell.teacher_mode if isinstance(cell, TaughtCell) else "alone"
        matched = threshold_for_prevalence(network.val)
        at = {
            point: metrics.estimates(network.test, draws.test, threshold=threshold)
            for point, threshold in (("half", metrics.THRESHOLD), ("matched", matched))
        }
        for point, drawn in at.items():
            found[rate, how, point].append(drawn)
        figures["cells"][name] = {
            "learning_rate": cell.learning_rate,
            "at_half": plain(at["half"]),
            "prevalence_matched": {"threshold": rounded(matched), **plain(at["matched"])},
        }
    means = {setting: _mean_over_seeds(each, draws) for setting, each in found.items()}
    figures["causes"] = {
        cause: {metric: (means[after][metric] - means[before][metric]).summary() for metric in metrics.METRICS}
        for cause, (before, after) in CAUSES.items()
        if before in means and after in means
    }
    return figures


def _group(cells: Mapping[str, Network], group: str) -> list[tuple[str, Network, AloneCell | TaughtCell]]:
    return [
        (name, network, network.cell) for name, network in cells.items() if network.cell and network.cell.group == group
    ]


def _mean_over_seeds(each: list[dict[str, Estimate]], draws: Resampling) -> dict[str, Estimate]:
    picks = draws.picks(len(each), split="test")
    return {metric: over_seeds([one[metric] for one in each], picks).draw for metric in metrics.METRICS}


def ablation(cells: Mapping[str, Network], found: Students, draws: Resampling) -> Figures:
    """The cells of group `ablation` by name, each with its paired difference to the one before; the last line is the
    last cell's student at full schedule, over its seeds."""
    mine = {name: [network] for name, network, _ in sorted(_group(cells, "ablation"), key=lambda each: each[0])}
    if not mine:
        return {}
    last = list(mine.values())[-1][0]
    kind = "distilled" if last.distill else "baseline"
    if last.cell and (full := found.get(f"{last.cell.arch}-{kind}")):
        mine["full_schedule"] = list(full.values())
    drawn = {
        name: _mean_over_seeds([metrics.estimates(n.test, draws.test) for n in networks], draws)
        for name, networks in mine.items()
    }
    steps: Figures = {
        name: {
            "seeds": len(networks),
            "test": plain(drawn[name]),
            "validation_log_loss": _log_loss(networks, draws).summary(),
        }
        for name, networks in mine.items()
    }
    for before, name in pairwise(mine):
        steps[name]["step"] = {m: (drawn[name][m] - drawn[before][m]).summary() for m in metrics.METRICS}
    return steps


def _log_loss(networks: list[Network], draws: Resampling) -> Estimate:
    each = [estimate(network.val, draws.val, balanced_log_loss) for network in networks]
    return over_seeds(each, draws.picks(len(each), split="val")).draw


def grid(cells: Mapping[str, Network], draws: Resampling) -> Figures:
    """The points of group `grid`, which are compared on validation: one student each, one of them alone (alpha 0)."""
    points = {_point_of(network): (network, cell.classes) for _, network, cell in _group(cells, "grid")}
    losses = {point: _log_loss([network], draws) for point, (network, _) in points.items()}
    best = min(losses, key=lambda point: losses[point].value)
    figures: Figures = {}
    for point in sorted(points):
        (loss, alpha, temperature), (network, classes) = point, points[point]
        behind = (losses[point] - losses[best]).summary()
        figures[_point_name(point)] = {
            "loss": loss,
            "alpha": alpha,
            "temperature": temperature,
            "effective_alpha": rounded(
                effective_alpha(alpha, temperature, classes=classes) if loss == "blog" else alpha
            ),
            "validation_log_loss": losses[point].summary(),
            "behind_the_best": behind,
            "within_noise_of_the_best": point == best or behind["low"] <= 0,
            "test": plain(metrics.estimates(network.test, draws.test)),
        }
    return {"best_on_validation": _point_name(best), "points": figures}


def _point_of(network: Network) -> Point:
    how = network.distill
    return (how.loss, how.alpha, how.temperature) if how else ALONE


def _point_name(point: Point) -> str:
    loss, alpha, temperature = point
    return loss if point == ALONE else f"{loss}_alpha{alpha:g}_T{temperature:g}"
