"""Where networks look: how far the activation maps of two of them overlap, and pictures of maps and changed films."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import rankdata

from cxr_distill.evaluation.bootstrap import Floats
from cxr_distill.evaluation.figures import png

TOP = 0.2  # share of an image that counts as looked at


def overlap(one: Floats, other: Floats) -> Floats:
    """Intersection over union (N,) of the TOP share of every map; maps (N, S, S) of one size."""
    high = []
    for maps in (one, other):
        flat = maps.reshape(len(maps), -1)
        high.append(rankdata(flat, axis=1, method="ordinal") > round((1 - TOP) * flat.shape[1]))
    both, either = (high[0] & high[1]).sum(axis=1), (high[0] | high[1]).sum(axis=1)
    return np.asarray(both / either, dtype=np.float64)


def rank_correlation(one: Floats, other: Floats) -> Floats:
    """Spearman's correlation (N,) of maps (N, S, S) place by place; 0 where a map is flat."""
    ranks = [rankdata(maps.reshape(len(maps), -1), axis=1) for maps in (one, other)]
    centred = [rank - rank.mean(axis=1, keepdims=True) for rank in ranks]
    scale = np.sqrt((centred[0] ** 2).sum(axis=1) * (centred[1] ** 2).sum(axis=1))
    return np.asarray((centred[0] * centred[1]).sum(axis=1) / np.where(scale > 0, scale, 1), dtype=np.float64)


def maps_picture(
    images: NDArray[np.uint8], maps: Mapping[str, Floats], cases: Mapping[str, NDArray[Any]], *, title: str
) -> bytes:
    """PNG bytes: for the rows of every case the image, and on it each network's map; maps (N, S, S) by network."""
    rows = [(case, row) for case, chosen in cases.items() for row in chosen]
    figure = Figure(figsize=(1.6 * len(rows), 1.75 * (len(maps) + 1) + 0.6), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(maps) + 1, len(rows), squeeze=False)
    for axes in grid.flat:
        axes.set(xticks=[], yticks=[])
    for (case, row), column in zip(rows, grid.T, strict=True):
        column[0].set_title(case, fontsize=8)
        for axes, network in zip(column, [None, *maps], strict=True):
            axes.imshow(images[row], cmap="gray", vmin=0, vmax=255)
            if network is not None:
                axes.imshow(maps[network][row], cmap="cividis", alpha=0.45)
    for axes, name in zip(grid[:, 0], ["image", *maps], strict=True):
        axes.set_ylabel(name, fontsize=8)
    return png(figure, dpi=90)


def changed_picture(
    variants: Mapping[str, NDArray[np.uint8]], cases: Mapping[str, NDArray[Any]], *, title: str
) -> bytes:
    """PNG bytes: the rows of every case as they are and changed; uint8 images (N, S, S) by the name of the change."""
    rows = [(case, row) for case, chosen in cases.items() for row in chosen]
    figure = Figure(figsize=(1.6 * len(rows), 1.75 * len(variants) + 0.6), layout="constrained")
    figure.suptitle(title)
    grid = figure.subplots(len(variants), len(rows), squeeze=False)
    for line, (name, images) in zip(grid, variants.items(), strict=True):
        line[0].set_ylabel(name, fontsize=8)
        for axes, (_, row) in zip(line, rows, strict=True):
            axes.set(xticks=[], yticks=[])
            axes.imshow(images[row], cmap="gray", vmin=0, vmax=255)
    for axes, (case, _) in zip(grid[0], rows, strict=True):
        axes.set_title(case, fontsize=8)
    return png(figure, dpi=90)


def overlap_table(maps: Mapping[str, Floats], files: list[str]) -> pd.DataFrame:
    """Columns file, one, other, iou, iou_by_chance, correlation: every pair of networks on every image.

    iou_by_chance pairs a map with the other network's map of another image: what two networks that look at the middle
    of any film share without having seen the same one.
    """
    parts = []
    shuffled = np.random.default_rng(0).permutation(len(files))
    for one, other in combinations(maps, 2):
        parts.append(
            pd.DataFrame(
                {
                    "file": files,
                    "one": one,
                    "other": other,
                    "iou": overlap(maps[one], maps[other]),
                    "iou_by_chance": overlap(maps[one], maps[other][shuffled]),
                    "correlation": rank_correlation(maps[one], maps[other]),
                }
            )
        )
    return pd.concat(parts)
