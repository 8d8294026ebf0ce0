"""The study's pictures, each from study/results.json alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxr_distill.evaluation.figures import COLOURS

Figures = Mapping[str, Any]
WHO = {"baseline": "baseline", "films": "taught by a teacher of films", "lungs": "taught by a teacher of lungs"}
"""Who teaches, as in study/results.json -> in words."""
FRAMED = {
    "validation_reframed": "validation, other frame",
    "test_reframed": "test, other frame",
    "test": "test as it is",
}
CHANGES = {
    "as_it_is": "film as it is",
    "reframed": "frame of the other class",
    "mean_frame": "mean frame",
    "lungs_only": "lungs only",
    "lungs_greyed": "lungs greyed out",
}
"""How a film is changed, as in section `reads` -> in words."""
NAMES = {"auroc": "AUROC", "accuracy": "accuracy", "sensitivity": "sensitivity", "specificity": "specificity"}


def _figure(width: float, height: float, title: str, *, synthetic: bool) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(f"SYNTHETIC: {title}" if synthetic else title, fontsize=11)
    return figure


def _legend(figure: Figure, axes: Axes) -> None:
    """The legend of `axes` below all panels, where it hides nothing."""
    handles, words = axes.get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=len(words), fontsize=8)


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


def size_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """AUROC over the number of parameters, a line per kind of student and teacher: in the other frame, and as it is."""
    students = sorted(figures["size"]["students"].values(), key=lambda each: each["parameters"])
    figure = _figure(11, 4.2, "Size and teacher: means over seeds, 95% intervals", synthetic=synthetic)
    all_axes = figure.subplots(1, 3)
    for axes, (place, title) in zip(all_axes, FRAMED.items(), strict=True):
        for number, (how, words) in enumerate(WHO.items()):
            for kind, style in (("residual", "o-"), ("plain", "s")):
                chosen = [each for each in students if each["arch"] == kind and how in each["by_teacher"]]
                if not chosen:
                    continue
                # Beside each other, so that the intervals of one size can be seen.
                x = [each["parameters"] * 1.06 ** (number - 1) for each in chosen]
                scores = [each["by_teacher"][how][place]["auroc"] for each in chosen]
                _curve(axes, x, scores, COLOURS[number], style, words if kind == "residual" else None)
        axes.set(xscale="log", xlabel="parameters")
        ticks = [each["parameters"] for each in students if each["arch"] == "residual"]
        axes.set_xticks(ticks, [f"{parameters:,}" for parameters in ticks], fontsize=8)
        axes.minorticks_off()
        axes.set_title(title, fontsize=10)
    all_axes[0].set_ylabel("AUROC")
    if any(each["arch"] == "plain" for each in students):
        all_axes[0].plot([], [], "s", color="0.5", markersize=5, label="squares: plain network")
    _legend(figure, all_axes[0])
    return figure


def _curve(
    axes: Axes, x: Sequence[float], figures: Sequence[Figures], colour: str, style: str, label: str | None
) -> None:
    """Means and 95% intervals over `x`."""
    middle = [_centre(each) for each in figures]
    axes.vlines(x, [each["low"] for each in figures], [each["high"] for each in figures], color=colour, linewidth=1.2)
    axes.plot(x, middle, style, color=colour, markersize=5, label=label)
    axes.grid(color="0.92")
    axes.set_axisbelow(True)


def reads_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """AUROC of the main networks on films as they are and changed, on validation and on test."""
    figure = _figure(10, 3.6, "What the networks read: AUROC, 95% intervals over patients", synthetic=synthetic)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, place in zip(panels, ("validation", "test"), strict=True):
        for number, (name, by_place) in enumerate(figures["reads"].items()):
            colour, changes = COLOURS[number % len(COLOURS)], by_place[place]
            rows = [-list(CHANGES).index(change) - 0.18 * (number - 1) for change in changes]
            axes.hlines(rows, [e["low"] for e in changes.values()], [e["high"] for e in changes.values()], color=colour)
            axes.plot([each["value"] for each in changes.values()], rows, "o", color=colour, markersize=5, label=name)
        axes.axvline(0.5, color="0.7", linewidth=1)
        axes.set_yticks([-number for number in range(len(CHANGES))], list(CHANGES.values()), fontsize=9)
        axes.set_title(f"{place} films", fontsize=10)
        axes.grid(axis="x", color="0.92")
        axes.set_axisbelow(True)
    _legend(figure, panels[0])
    return figure


def labels_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """AUROC in the other frame over the share of labelled patients, and what a teacher changes there and without
    views."""
    labels, regime = figures["labels"], figures["regime"]
    figure = _figure(11, 4.2, "Labels and views: means over seeds, 95% intervals", synthetic=synthetic)
    left, right = figure.subplots(1, 2)
    shares = labels["shares"].values()
    for number, how in enumerate(("baseline", "distilled")):
        scores = [each[how]["test_reframed"]["auroc"] for each in shares]
        _curve(left, [each["share"] * 1.02**number for each in shares], scores, COLOURS[number], "o-", how)
    left.set(xscale="log", xlabel="share of the patients with a label", ylabel="AUROC on test in the other frame")
    left.set_xticks([each["share"] for each in shares], [f"{each['share']:.0%}" for each in shares])
    left.minorticks_off()
    left.set_title(labels["student"], fontsize=10)
    gains = {
        f"{percent}% of the labels": each["distilled_minus_baseline"] for percent, each in labels["shares"].items()
    }
    gains |= {
        words: regime[key]["distilled_minus_baseline"] for key, words in (("views", "views"), ("no_views", "no views"))
    }
    _intervals(right, {name: each["test_reframed"]["auroc"] for name, each in gains.items()}, zero=True)
    right.set_title("taught minus alone", fontsize=10)
    _legend(figure, left)
    return figure


def site_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """AUROC over the number of films that a hospital has, by start, and of the release as it is."""
    site = figures["site"]
    figure = _figure(11, 4.2, "A hospital with films of its own: means over seeds, 95% intervals", synthetic=synthetic)
    sizes = site["sizes"].values()
    places = {"held_out": "its other films as they are", "held_out_reframed": "its other films, other frame"}
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (place, title) in zip(panels, places.items(), strict=True):
        for number, (start, words) in enumerate((("nothing", "from random weights"), ("release", "from the release"))):
            scores = [each[start][place]["auroc"] for each in sizes]
            _curve(axes, [each["films"] * 1.03**number for each in sizes], scores, COLOURS[number], "o-", words)
        release = site["release"][place]["auroc"]
        axes.axhline(release["value"], color="0.4", linewidth=1, linestyle="--", label="the release as it is")
        axes.set(xscale="log", xlabel="films for training and validation", ylabel="AUROC")
        axes.set_xticks([each["films"] for each in sizes], [str(each["films"]) for each in sizes])
        axes.minorticks_off()
        axes.set_title(title, fontsize=10)
    _legend(figure, panels[0])
    return figure


def grid_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """Validation log-loss in the other frame over alpha and temperature, and of the blog's point below."""
    points = figures["grid"]["points"].values()
    title = "Alpha and temperature: validation log-loss in the other frame"
    figure = _figure(6, 4, title, synthetic=synthetic)
    axes = figure.subplots()
    mine = [point for point in points if point["loss"] == "hinton"]
    alphas, temperatures = (sorted({point[key] for point in mine}) for key in ("alpha", "temperature"))
    table = np.full((len(alphas), len(temperatures)), np.nan)
    for point in mine:
        table[alphas.index(point["alpha"]), temperatures.index(point["temperature"])] = _centre(point["log_loss"])
    axes.imshow(table, cmap="cividis", aspect="auto")
    for (row, column), value in np.ndenumerate(table):
        bright = value > (table.min() + table.max()) / 2
        axes.text(column, row, f"{value:.4f}", ha="center", va="center", fontsize=9, color="k" if bright else "w")
    axes.set_xticks(range(len(temperatures)), [f"{temperature:g}" for temperature in temperatures])
    axes.set_yticks(range(len(alphas)), [f"{alpha:g}" for alpha in alphas])
    others = "; ".join(
        f"the blog's loss at alpha {point['alpha']:g}, T {point['temperature']:g}: {_centre(point['log_loss']):.4f}"
        for point in points
        if point["loss"] == "blog"
    )
    axes.set(xlabel=f"T\n{others}", ylabel="alpha")
    return figure


def blog_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """The blog's recipe cause by cause."""
    rows = figures["blog"]["causes"]
    figure = _figure(
        10,
        0.9 + 0.32 * max(1, len(rows)),
        "The blog's recipe: what its changes do on test",
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
    """Sensitivity and specificity on test at the threshold chosen on validation."""
    title = f"Operating points on test: the threshold that gives {figures['sensitivity_target']:.0%} on validation"
    figure = _figure(9, 2.2, title, synthetic=synthetic)
    for axes, metric in zip(figure.subplots(1, 2, sharey=True), ("sensitivity", "specificity"), strict=True):
        _intervals(axes, {name: each[metric] for name, each in figures["operating_points"].items()})
        axes.set_title(NAMES[metric], fontsize=10)
    return figure


def shortcuts_figure(figures: Figures, *, synthetic: bool) -> Figure:
    """AUROC of what needs no network and of the models, over all of test and within strata of similar geometry."""
    shortcuts = figures["shortcuts"]
    title = "AUROC on test, and among films of similar probability by width and height"
    figure = _figure(9, 3, title, synthetic=synthetic)
    whole = {name: each["auroc"] for name, each in shortcuts["without_a_network"].items()}
    by_teacher = figures["size"]["students"][figures["student"]]["by_teacher"]
    whole["teacher"] = figures["teachers"][figures["taught_by"]]["test"]["auroc"]
    whole |= {"baseline": by_teacher["baseline"]["test"]["auroc"]}
    whole |= {"distilled": by_teacher[figures["taught_by"]]["test"]["auroc"]}
    columns = {"all of test": whole, f"within {shortcuts['strata']} strata": shortcuts["auroc_within_strata"]}
    for axes, (title, rows) in zip(figure.subplots(1, 2, sharey=True), columns.items(), strict=True):
        _intervals(axes, {name: rows[name] for name in whole})
        axes.axvline(0.5, color="0.7", linewidth=1)
        axes.set_title(title, fontsize=10)
    return figure
