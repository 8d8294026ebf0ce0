"""A picture of a model's right and wrong answers: example images of each outcome, by rising P(pneumonia)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cxr_distill.evaluation.figures import png
from cxr_distill.evaluation.scores import Scored, decisions

OUTCOMES = {
    "true positive": (1, True),
    "true negative": (0, False),
    "false positive": (0, True),
    "false negative": (1, False),
}
"""Row of the picture -> (label, whether the model calls pneumonia)."""


def chosen_examples(scored: Scored, count: int) -> dict[str, NDArray[np.intp]]:
    """Indices of at most `count` images of every outcome, evenly spaced in the order of P(pneumonia)."""
    called = decisions(scored)
    chosen = {}
    for outcome, (label, call) in OUTCOMES.items():
        rows = np.flatnonzero((scored.labels == label) & (called == call))
        ranked = rows[np.argsort(scored.probabilities[rows], kind="stable")]
        spread = np.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().astype(int)
        chosen[outcome] = ranked[spread]
    return chosen


def example_picture(images: NDArray[np.uint8], scored: Scored, *, title: str, count: int = 8) -> bytes:
    """PNG bytes of a grid, a row per outcome; `images` (N, S, S) in the order of `scored`."""
    figure = Figure(figsize=(1.5 * count, 7.2), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(OUTCOMES), count, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    called, label = decisions(scored), scored.labels
    for (outcome, rows), line in zip(chosen_examples(scored, count).items(), grid, strict=True):
        wanted_label, wanted_call = OUTCOMES[outcome]
        n = int(((label == wanted_label) & (called == wanted_call)).sum())
        line[0].set_title(f"{outcome} ({n})", loc="left", fontsize=9, fontweight="bold", y=1.14)
        for row, axes in zip(rows, line, strict=False):
            axes.imshow(images[row], cmap="gray", vmin=0, vmax=255)
            axes.text(0, -0.02, f"P = {scored.probabilities[row]:.2f}", transform=axes.transAxes, va="top", fontsize=8)
    return png(figure, dpi=80)
