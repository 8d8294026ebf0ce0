"""The study's pictures, each from study/results.json alone: PNG for the README, SVG for the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxr_distill.evaluation.figures import COLOURS, png

Figures = Mapping[str, Any]
LOSSES = ("hinton", "blog")
NAMES = {"auroc": "AUROC", "accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity"}


def _figure(width: float, height: float, title: str, *, synthetic: bool) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(f"SYNTHETIC: {title}" if synthetic else title, fontsize=11)
    return figure


def _centre(figures: Figures) -> float:
    return float(figures["mean"] if "mean" in figures else figures["value"])


def _intervals(
    axes: Axes, rows: Mapping[str, Figures], *, zero: bool = False, colours: list[str] | None = None
) -> None:
    """A line per row, the first on top: a point and its 95% interval."""
    for number, (figures, colour) in enumerate(zip(rows.values(), colours or [COLOURS[0]] * len(rows), strict=True)):
        axes.plot([figures["low"], figures["high"]], [-number, -number], color=colour, linewidth=1.5)
        axes.plot(_centre(figures), -number, "o", color=colour, markersize=5)
    axes.set_yticks([-number for number in range(len(rows))], list(rows), fontsize=8)
    axes.set_ylim(-len(rows) + 0.4, 0.6)
    axes.grid(axis="x", color="0.9")
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.tick_params(axis="x", labelsize=8)
    axes.set_axisbelow(True)
    if zero:
        axes.axvline(0, color="0.4", linewidth=1)


def seeds_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """Every seed of every student as a dot, their mean with its 95% interval, and the teacher."""
    title = f"Test, threshold 0.5, n = {figures['n']}: seeds (dots), mean, 95% interval over seeds and patients"
    figure = _figure(10, 3.4, title, synthetic=synthetic)
    names = list(figures["students"])
    for axes, metric in zip(figure.subplots(1, 3, sharey=True), ("accuracy", "auroc", "specificity"), strict=True):
        rows = {name: figures["students"][name][metric] for name in names} | {"teacher": figures["teacher"][metric]}
        _intervals(axes, rows, colours=[COLOURS[n % 2] for n in range(len(names))] + [COLOURS[6]])
        for number, name in enumerate(names):
            dots = figures["students"][name]["by_seed"][metric]
            axes.plot(dots, np.full(len(dots), 0.25 - number), ".", color=COLOURS[number % 2], alpha=0.7)
        axes.set_title(NAMES[metric], fontsize=10)
    return figure


def seeds_picture(figures: Figures, *, synthetic: bool) -> bytes:
    """PNG bytes of `seeds_figure`."""
    return png(seeds_figure(figures, synthetic=synthetic))


def grid_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """Validation log-loss and test accuracy over alpha and T for both losses, and all points by effective alpha."""
    points = figures["grid"]["points"].values()
    figure = _figure(
        12, 6.2, "Alpha and temperature: short schedules, two classes, one seed a point", synthetic=synthetic
    )
    axes_of = figure.subplot_mosaic([["0 hinton", "1 hinton", "all"], ["0 blog", "1 blog", "all"]])
    for column, (label, reach) in enumerate({
        "validation log-loss": lambda p: p["validation_log_loss"]["value"],
        "test accuracy": lambda p: p["test"]["accuracy"]["value"],
    }.items()):  # fmt: skip
        ends = min(map(reach, points)), max(map(reach, points))
        for loss in LOSSES:
            axes = axes_of[f"{column} {loss}"]
            _heat_map(axes, [p for p in points if p["loss"] == loss], reach, ends)
            below = "\n(second line: effective alpha)" if loss == "blog" else ""
            axes.set_title(f"{loss}: {label}{below}", fontsize=9)
    _against_alpha(axes_of["all"], figures)
    return figure


def _heat_map(axes: Axes, points: list[Figures], reach: Callable[[Figures], float], ends: tuple[float, float]) -> None:
    alphas, temperatures = (sorted({point[key] for point in points}) for key in ("alpha", "temperature"))
    table = np.full((len(alphas), len(temperatures)), np.nan)
    places = {(alphas.index(p["alpha"]), temperatures.index(p["temperature"])): p for p in points}
    for place, point in places.items():
        table[place] = reach(point)
    axes.imshow(table, cmap="cividis", vmin=ends[0], vmax=ends[1], aspect="auto")
    for (row, column), point in places.items():
        second = f"\n= {point['effective_alpha']:.2f}" if point["loss"] == "blog" else ""
        colour = "k" if reach(point) > 0.45 * ends[0] + 0.55 * ends[1] else "w"
        axes.text(
            column, row, f"{table[row, column]:.3f}{second}", ha="center", va="center", fontsize=7.5, color=colour
        )
    axes.set_xticks(range(len(temperatures)), [f"{t:g}" for t in temperatures])
    axes.set_yticks(range(len(alphas)), [f"{a:g}" for a in alphas])
    axes.set(xlabel="T", ylabel="alpha")


def _against_alpha(axes: Axes, figures: Figures) -> None:
    points = figures["grid"]["points"]
    for number, loss in enumerate(LOSSES):
        chosen = [p for p in points.values() if p["loss"] == loss]
        values = [p["test"]["accuracy"]["value"] for p in chosen]
        axes.plot([p["effective_alpha"] for p in chosen], values, "os"[number], color=COLOURS[number], label=loss)
    alone = points["alone"]["test"]["accuracy"]
    axes.axhspan(alone["low"], alone["high"], color="0.92", zorder=0)
    axes.axhline(alone["value"], color="0.5", linewidth=1, label="alone, 95% interval")
    axes.set(xlabel="effective alpha", ylabel="test accuracy")
    axes.set_title("all points by effective alpha", fontsize=9)
    axes.legend(fontsize=7)


def grid_picture(figures: Figures, *, synthetic: bool) -> bytes:
    """PNG bytes of `grid_figure`."""
    return png(grid_figure(figures, synthetic=synthetic))


def differences_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """Paired differences with 95% intervals."""
    figure = _figure(10, 3, "Paired differences on test, 95% intervals over seeds and patients", synthetic=synthetic)
    for axes, metric in zip(figure.subplots(1, 3, sharey=True), ("accuracy", "auroc", "specificity"), strict=True):
        rows = {
            f"{arch}: {what.replace('_', ' ')}": each[metric]
            for arch, all_of in figures["differences"].items()
            for what, each in all_of.items()
        }
        _intervals(axes, rows, zero=True)
        axes.set_title(NAMES[metric], fontsize=10)
    return figure


def ablation_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """The steps from the blog's recipe to ours, on test."""
    steps = figures["ablation"]
    figure = _figure(
        10, 0.9 + 0.3 * len(steps), "One change at a time, test, 95% intervals over patients", synthetic=synthetic
    )
    for axes, metric in zip(figure.subplots(1, 3, sharey=True), ("accuracy", "auroc", "specificity"), strict=True):
        _intervals(axes, {step_name(name): step["test"][metric] for name, step in steps.items()})
        axes.set_title(NAMES[metric], fontsize=10)
    return figure


def step_name(name: str) -> str:
    """`ablation_04_balanced` as a person says it."""
    return name.removeprefix("ablation_").replace("_", " ").lstrip("0123456789 ") or name


def blog_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """The blog's recipe cause by cause."""
    rows = figures["blog"]["causes"]
    figure = _figure(
        10,
        0.9 + 0.32 * max(1, len(rows)),
        "The blog's recipe, one cause at a time: change on test",
        synthetic=synthetic,
    )
    axes_of = figure.subplots(1, 4, sharey=True)
    for axes, metric in zip(axes_of, ("accuracy", "sensitivity", "specificity", "auroc"), strict=True):
        _intervals(axes, {cause.replace("_", " "): each[metric] for cause, each in rows.items()}, zero=True)
        axes.set_title(NAMES[metric], fontsize=10)
    return figure


def reliability_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """Reliability on test before and after temperature scaling."""
    figure = _figure(8.5, 4.2, "Reliability on test: P(pneumonia) against observed share", synthetic=synthetic)
    for axes, state in zip(figure.subplots(1, 2, sharey=True), ("before", "after"), strict=True):
        for number, (name, each) in enumerate(figures["calibration"].items()):
            curve = each["reliability"][state]
            axes.plot(
                curve["predicted"], curve["observed"], marker="os^Dv"[number % 5],
                color=COLOURS[number % len(COLOURS)], label=f"{name}, ECE {_centre(each[state]['ece']):.3f}",
            )  # fmt: skip
        axes.plot([0, 1], [0, 1], color="0.7", zorder=0)
        axes.set(xlabel="predicted", title={"before": "as trained", "after": "temperature scaled"}[state])
        axes.legend(fontsize=7)
    return figure


def operating_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """Sensitivity and specificity on test at 0.5 and at the threshold chosen on validation."""
    share = f"{figures['sensitivity_target']:.0%}"
    figure = _figure(
        9, 3.4, f"Operating points on test: 0.5, and {share} sensitivity on validation", synthetic=synthetic
    )
    for axes, metric in zip(figure.subplots(1, 2, sharey=True), ("sensitivity", "specificity"), strict=True):
        rows = {}
        for name, each in figures["operating_points"].items():
            at_half = figures["teacher"] if name == "teacher" else figures["students"][name]
            rows[f"{name}, 0.5"], rows[f"{name}, {share}"] = at_half[metric], each[metric]
        _intervals(axes, rows, colours=[COLOURS[n % 2] for n in range(len(rows))])
        axes.set_title(NAMES[metric], fontsize=10)
    return figure


def shortcuts_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """AUROC of everything, over all of test and within strata of similar geometry."""
    shortcuts = figures["shortcuts"]
    title = "AUROC on test, and among images of similar width and height"
    figure = _figure(9, 3.2, title, synthetic=synthetic)
    whole = {name: shortcuts[name]["auroc"] for name in ("geometry", "thumbnail", "gradients")}
    whole |= {"teacher": figures["teacher"]["auroc"]}
    whole |= {name: each["auroc"] for name, each in figures["students"].items()}
    for axes, rows, text in zip(
        figure.subplots(1, 2, sharey=True), (whole, shortcuts["auroc_within_strata"]),
        ("all of test", f"within {shortcuts['strata']} strata of geometry"), strict=True,
    ):  # fmt: skip
        _intervals(axes, rows)
        axes.axvline(0.5, color="0.7", linewidth=1)
        axes.set_title(text, fontsize=10)
    return figure


def maps_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """Overlap of where two networks look on one image, and on two different images."""
    figure = _figure(
        9, 3.4, "Overlap of the fifth of an image with the most evidence for pneumonia (IoU)", synthetic=synthetic
    )
    axes = figure.subplots()
    rows = {}
    for pair, cases in figures["maps"].items():
        rows[pair], rows[f"{pair}, other image"] = cases["all"]["iou"], cases["all"]["iou_by_chance"]
    _intervals(axes, rows, colours=[COLOURS[n % 2] for n in range(len(rows))])
    figure.set_size_inches(9, 0.9 + 0.2 * len(rows))
    return figure
