"""Pictures of real films, which stay out of Git: how they are changed, and where networks look."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxr_distill.evaluation.figures import png

Pixels = NDArray[np.uint8]


def films_picture(
    films: Mapping[str, Pixels],
    cases: Mapping[str, NDArray[Any]],
    *,
    title: str,
    maps: Mapping[str, NDArray[np.float64]] | None = None,
) -> bytes:
    """PNG bytes, a column per row of every case.

    films: what to show of them, uint8 (N, S, S), by its name. maps: to show over the first of these, (N, S, S) by
    network.
    """
    columns = [(case, row) for case, chosen in cases.items() for row in chosen]
    first = next(iter(films.values()))
    lines: list[tuple[str, Pixels, Any]] = [(name, each, None) for name, each in films.items()]
    lines += [(name, first, each) for name, each in (maps or {}).items()]
    figure = Figure(figsize=(1.6 * len(columns), 1.75 * len(lines) + 0.6), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(lines), len(columns), squeeze=False)
    for line, (name, images, evidence) in zip(grid, lines, strict=True):
        line[0].set_ylabel(name, fontsize=8)
        for axes, (_, row) in zip(line, columns, strict=True):
            axes.set(xticks=[], yticks=[])
            axes.imshow(images[row], cmap="gray", vmin=0, vmax=255)
            if evidence is not None:
                axes.imshow(evidence[row], cmap="cividis", alpha=0.45)
    for axes, (case, _) in zip(grid[0], columns, strict=True):
        axes.set_title(case, fontsize=8)
    return png(figure, dpi=90)
