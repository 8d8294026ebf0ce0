"""The study's pictures: nearly all are paired differences on one axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cxr_distill.base.templates import centre
from cxr_distill.evaluation.figures import COLOURS
from study.report.tables import Figures

Panels = Mapping[str, Mapping[str, Mapping[str, Figures]]]
"""Title -> series -> row -> an estimate with its 95% interval."""


def _panels(titles: Sequence[str], title: str, size: tuple[float, float], **shared: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title, fontsize=11)
    all_axes = list(figure.subplots(1, len(titles), squeeze=False, sharey=True, **shared)[0])
    for axes, words in zip(all_axes, titles, strict=True):
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
    figure, all_axes = _panels(list(panels), title, size, sharex=True)
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


def pictures(values: Figures) -> Iterator[tuple[str, Figure]]:
    """Every picture by name, from what the templates have too; the one that answers first."""
    words, drawn = values["words"], "SYNTHETIC: " if values["synthetic"] else ""

    def framed(rows: Mapping[str, Figures], places: Figures) -> Panels:
        return {
            title: {"": {row: each[place]["auroc"] for row, each in rows.items()}} for place, title in places.items()
        }

    for name, (title, rows) in values["differences"].items():
        places = words["site_frames" if name == "site" else "frames"]
        yield name, forest(f"{drawn}{title}", framed(rows, places), line=0)

    causes, named = values["blog"]["causes"], words["causes"].items()
    panels: Panels = {
        words["metrics"][m]: {"": {name: causes[key][m] for key, name in named}} for m in ("accuracy", "auroc")
    }
    yield "blog", forest(f"{drawn}What each change of the blog post does, on test", panels, line=0)

    panels = {
        f"{place} films": {
            name: {what: each[place][key] for key, what in words["changed"].items() if key in each[place]}
            for name, each in values["reads"].items()
        }
        for place in ("validation", "test")
    }
    yield "reads", forest(f"{drawn}AUROC on changed films", panels, line=0.5)
