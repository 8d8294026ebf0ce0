"""The study's pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxr_distill.base.templates import centre
from cxr_distill.evaluation.figures import COLOURS
from study.report.tables import Figures

Panels = Mapping[str, Mapping[str, Mapping[Any, Figures]]]
"""Title -> series -> row, or place on the x axis -> an estimate with its 95% interval."""


def _panels(panels: Panels, title: str, size: tuple[float, float], **shared: Any) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    all_axes = figure.subplots(1, len(panels), squeeze=False, sharey=True, **shared)[0]
    for axes, words in zip(all_axes, panels, strict=True):
        axes.set_title(words, fontsize=10)
        axes.grid(color="0.92")
    return figure, all_axes


def _legend(figure: Figure, axes: Axes) -> None:
    """The legend of `axes` below all panels, where it hides nothing."""
    handles, words = axes.get_legend_handles_labels()
    figure.legend(handles, words, loc="outside lower center", ncols=max(1, len(words)), fontsize=8)


def forest(title: str, panels: Panels, *, line: float) -> Figure:
    """A line per row, the first on top, on one x axis; `line`: where there is no effect."""
    names = max((list(rows) for series in panels.values() for rows in series.values()), key=len)
    size = (2.8 + 2.9 * len(panels), 1.3 + 0.28 * len(names))
    figure, all_axes = _panels(panels, title, size, sharex=True)
    for axes, series in zip(all_axes, panels.values(), strict=True):
        for number, (label, rows) in enumerate(series.items()):
            y = [-names.index(name) - 0.2 * (number - (len(series) - 1) / 2) for name in rows]
            axes.hlines(y, [e["low"] for e in rows.values()], [e["high"] for e in rows.values()], color=COLOURS[number])
            axes.plot([centre(e) for e in rows.values()], y, "o", color=COLOURS[number], markersize=5, label=label)
        axes.axvline(line, color="0.4", linewidth=1)
        axes.set_yticks([-number for number in range(len(names))], names, fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(4))
    if len(series) > 1:
        _legend(figure, all_axes[0])
    return figure


def curves(title: str, panels: Panels, *, x: str, ticks: Mapping[float, str]) -> Figure:
    """AUROC over `x`."""
    figure, all_axes = _panels(panels, title, (1.5 + 4 * len(panels), 4.2))
    for axes, series in zip(all_axes, panels.values(), strict=True):
        for number, (label, curve) in enumerate(series.items()):
            beside = [place * (1 + 0.03 * number) for place in curve]  # so that intervals of one place can be seen
            low, high = ([each[end] for each in curve.values()] for end in ("low", "high"))
            axes.vlines(beside, low, high, color=COLOURS[number], linewidth=1.2)
            axes.plot(beside, list(map(centre, curve.values())), "o-", color=COLOURS[number], ms=5, label=label)
        axes.set(xscale="log", xlabel=x)
        axes.set_xticks(list(ticks), list(ticks.values()), fontsize=8)
        axes.minorticks_off()
    all_axes[0].set_ylabel("AUROC")
    _legend(figure, all_axes[0])
    return figure


def reliability(title: str, calibration: Figures) -> Figure:
    """Observed shares over predicted ones, before and after temperature scaling."""
    states = {"before": "as trained", "after": "temperature scaled"}
    figure, all_axes = _panels({words: {} for words in states.values()}, title, (8.5, 4.2))
    for axes, state in zip(all_axes, states, strict=True):
        for number, (name, each) in enumerate(calibration.items()):
            points = each["reliability"][state]
            axes.plot(points["predicted"], points["observed"], "o-", color=COLOURS[number], label=name)
        axes.plot([0, 1], [0, 1], color="0.7", zorder=0)
        axes.set(xlabel="predicted", ylabel="observed")
    _legend(figure, all_axes[0])
    return figure


def pictures(values: Figures) -> Iterator[tuple[str, Figure]]:
    """Every picture by name, from what the templates have too; the one that answers first."""
    words, drawn = values["words"], "SYNTHETIC: " if values["synthetic"] else ""

    def framed(rows: Mapping[str, Mapping[Any, Figures]]) -> Panels:
        return {
            title: {line: {x: each[place]["auroc"] for x, each in row.items()} for line, row in rows.items()}
            for place, title in words["frames"].items()
        }

    gains = {f"{e['words']} ({e['seeds']} seeds)": e["difference"] for e in values["gains"] if e["on_top"]}
    yield "gains", forest(f"{drawn}AUROC, distilled minus baseline", framed({"": gains}), line=0)

    students = [each for each in values["size"]["students"].values() if each["arch"] == "residual"]
    students.sort(key=lambda each: int(each["parameters"]))
    ticks = {each["parameters"]: f"{each['parameters']:,}" for each in students}
    by_teacher = {
        teacher: {each["parameters"]: each["by_teacher"][how] for each in students if how in each["by_teacher"]}
        for how, teacher in words["teachers"].items()
    }
    by_teacher = {teacher: points for teacher, points in by_teacher.items() if points}
    yield "size", curves(f"{drawn}Size and teacher", framed(by_teacher), x="parameters", ticks=ticks)

    shares = values["labels"]["shares"].values()
    by_share = {how: {each["share"]: each[how] for each in shares} for how in ("baseline", "distilled")}
    ticks = {each["share"]: f"{each['share']:.0%}" for each in shares}
    yield "labels", curves(f"{drawn}Labels", framed(by_share), x="share of the patients with a label", ticks=ticks)

    site = values["site"]
    sizes = {each["films"]: {**each, "as_it_is": site["release"]} for each in site["sizes"].values()}
    panels: Panels = {
        title: {
            begun: {n: each[key][place]["auroc"] for n, each in sizes.items()} for key, begun in words["begun"].items()
        }
        for place, title in (("held_out", "its films as they are"), ("held_out_reframed", "its films, reframed"))
    }
    yield "site", curves(f"{drawn}A hospital's own films", panels, x="films", ticks={n: str(n) for n in sizes})

    causes, named = values["blog"]["causes"], words["causes"].items()
    panels = {title: {"": {name: causes[key][m] for key, name in named}} for m, title in words["metrics"].items()}
    yield "blog", forest(f"{drawn}The blog post's changes, on test", panels, line=0)

    panels = {
        f"{place} films": {
            name: {what: each[place][key] for key, what in words["changed"].items() if key in each[place]}
            for name, each in values["reads"].items()
        }
        for place in ("validation", "test")
    }
    yield "reads", forest(f"{drawn}AUROC on changed films", panels, line=0.5)
    yield "calibration", reliability(f"{drawn}Reliability on test", values["calibration"])
