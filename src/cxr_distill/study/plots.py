"""The study's pictures, each from metrics/study.json alone: PNG for the README, SVG for the page."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Heat maps of test accuracy and validation log-loss over alpha and T for both losses, and predicted against
    measured alpha of the blog's points."""
    points = figures["grid"]["points"].values()
    alphas = sorted({p["alpha"] for p in points if p["loss"] != "alone"})
    temperatures = sorted({p["temperature"] for p in points if p["loss"] != "alone"})
    figure = _figure(12, 6.2, "Screening grid: short schedules, two classes", synthetic=synthetic)
    grid = figure.subplots(2, 3, width_ratios=(1, 1, 1.05))
    for column, (label, reach) in enumerate({
        "validation log-loss": lambda p: p["validation_log_loss"]["value"],
        "test accuracy": lambda p: p["test"]["accuracy"]["value"],
    }.items()):  # fmt: skip
        everything = [reach(point) for point in points]
        for axes, loss in zip(grid[:, column], LOSSES, strict=True):
            table = np.full((len(alphas), len(temperatures)), np.nan)
            for point in points:
                if point["loss"] == loss:
                    row, place = alphas.index(point["alpha"]), temperatures.index(point["temperature"])
                    table[row, place] = reach(point)
            image = axes.imshow(table, cmap="cividis", vmin=min(everything), vmax=max(everything), aspect="auto")
            for point in points:
                if point["loss"] == loss:
                    row, place = alphas.index(point["alpha"]), temperatures.index(point["temperature"])
                    text = f"{table[row, place]:.3f}"
                    if loss == "blog":
                        text += f"\n= {point['effective_alpha']:.2f}"
                    bright = image.norm(table[row, place]) > 0.55
                    axes.text(place, row, text, ha="center", va="center", fontsize=7.5, color="k" if bright else "w")
            axes.set_xticks(range(len(temperatures)), [f"{t:g}" for t in temperatures])
            axes.set_yticks(range(len(alphas)), [f"{a:g}" for a in alphas])
            below = "(second line: alpha of Hinton's loss that weighs alike)" if loss == "blog" else ""
            axes.set_title(f"{loss}: {label}\n{below}".strip(), fontsize=9)
            axes.set(xlabel="T", ylabel="alpha")
    _alpha_axes(grid[0, 2], figures)
    _against_alpha(grid[1, 2], figures)
    return figure


def _alpha_axes(axes: Axes, figures: Figures) -> None:
    for number, temperature in enumerate(sorted({p["temperature"] for p in _blogs(figures)})):
        chosen = [p for p in _blogs(figures) if p["temperature"] == temperature and "measured_alpha" in p]
        at = [p["effective_alpha"] for p in chosen], [p["measured_alpha"]["value"] for p in chosen]
        for point in chosen:
            ends = [point["measured_alpha"]["low"], point["measured_alpha"]["high"]]
            axes.plot([point["effective_alpha"]] * 2, ends, color=COLOURS[number], linewidth=1)
        axes.plot(*at, "os^D"[number % 4], color=COLOURS[number], label=f"T {temperature:g}")
    axes.plot([0, 1], [0, 1], color="0.7", zorder=0)
    axes.set(xlabel="predicted", ylabel="measured", xlim=(-0.05, 1.05), ylim=(-0.05, 1.05))
    axes.set_title("effective alpha of the blog's loss", fontsize=9)
    axes.legend(fontsize=7)


def _against_alpha(axes: Axes, figures: Figures) -> None:
    for number, loss in enumerate(LOSSES):
        chosen = sorted((p for p in figures["grid"]["points"].values() if p["loss"] == loss), key=_alpha_of)
        values = [p["test"]["accuracy"]["value"] for p in chosen]
        axes.plot([_alpha_of(p) for p in chosen], values, "os"[number], color=COLOURS[number], label=loss)
    alone = figures["grid"]["points"]["alone"]["test"]["accuracy"]
    axes.axhspan(alone["low"], alone["high"], color="0.92", zorder=0)
    axes.axhline(alone["value"], color="0.5", linewidth=1, label="alone, 95% interval")
    axes.set(xlabel="effective alpha", ylabel="test accuracy")
    axes.set_title("all points by effective alpha", fontsize=9)
    axes.legend(fontsize=7)


def _alpha_of(point: Figures) -> float:
    return float(point["effective_alpha"])


def _blogs(figures: Figures) -> list[Figures]:
    return [point for point in figures["grid"]["points"].values() if point["loss"] == "blog"]


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
    """AUROC of everything, over all of test and within strata of like geometry."""
    shortcuts = figures["shortcuts"]
    title = "AUROC on test, and among images of like width and height"
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
    """Overlap of where two networks look, against what other images give."""
    figure = _figure(
        9, 3.4, "Overlap of the fifth of an image that speaks most for pneumonia (IoU)", synthetic=synthetic
    )
    axes = figure.subplots()
    rows = {}
    for pair, cases in figures["maps"].items():
        rows[pair], rows[f"{pair}, other image"] = cases["all"]["iou"], cases["all"]["iou_by_chance"]
    _intervals(axes, rows, colours=[COLOURS[n % 2] for n in range(len(rows))])
    figure.set_size_inches(9, 0.9 + 0.2 * len(rows))
    return figure
