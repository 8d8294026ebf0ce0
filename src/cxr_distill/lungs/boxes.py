"""Boxes of both lungs: left, top, right, bottom as shares of the film's width and height."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.data.archive import open_archive, read_file

SIDES = ["left", "top", "right", "bottom"]
PUBLISHED = Path(__file__).parent / "chest-xray-pneumonia.csv"
"""Boxes of 5,851 films of Kaggle's chest-xray-pneumonia: those of the lung masks by V7 Labs (COVID-19 X-ray dataset,
CC BY 4.0). Masks were matched to Kaggle's file names by upload order and image size."""
IN_ARCHIVE = "chest_xray/lungs.csv"


def read_boxes(archive: Path) -> pd.DataFrame:
    """Boxes by file name (train/NORMAL/IM-0115-0001.jpeg): columns SIDES, shares in [0, 1].

    Those that the archive brings (IN_ARCHIVE), or else the published ones. Raises CxrError if they are damaged.
    """
    source, own = str(PUBLISHED), None
    with open_archive(archive) as file:
        if IN_ARCHIVE in file.namelist():
            source = f"{archive}: {IN_ARCHIVE}"
            try:
                own = read_file(file, IN_ARCHIVE)
            except ValueError as error:
                raise CxrError(f"{source}: {error}; run `dvc repro -f download`") from error
    try:
        table = pd.read_csv(PUBLISHED if own is None else BytesIO(own))
        table = table.set_index("file")[SIDES].astype(float)
    except (KeyError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise CxrError(f"{source} needs columns file, {', '.join(SIDES)} with numbers: {reason}") from error
    inside = table[SIDES].ge(0).all(axis=1) & table[SIDES].le(1).all(axis=1)
    good = inside & (table["left"] < table["right"]) & (table["top"] < table["bottom"]) & ~table.index.duplicated()
    if not good.all():
        raise CxrError(f"{source}: no box, or a second one, of {', '.join(map(repr, table.index[~good][:5]))}")
    return table


def boxes_of(files: Sequence[str], table: pd.DataFrame) -> NDArray[np.float32]:
    """Boxes float32 (N, 4) of the films `files`; NaN where `table` has none."""
    return table.reindex(files).to_numpy(np.float32)


def intersection_over_union(one: NDArray[np.floating], other: NDArray[np.floating]) -> NDArray[np.float64]:
    """(N,) in [0, 1] of boxes (N, 4)."""
    shared = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    both = np.clip(shared, 0, None).prod(axis=1, dtype=np.float64)
    areas = sum((box[:, 2:] - box[:, :2]).prod(axis=1, dtype=np.float64) for box in (one, other))
    union: NDArray[np.float64] = both / (areas - both)
    return union


def count_missing(boxes: NDArray[np.float32]) -> int:
    """Films without a box among `boxes` (N, 4)."""
    return int(np.isnan(boxes).any(axis=1).sum())


def filled(known: NDArray[np.float32], found: NDArray[np.float32]) -> NDArray[np.float32]:
    """`known` boxes (N, 4), and where there is none the one that was `found`."""
    return np.where(np.isnan(known).any(axis=1, keepdims=True), found, known)


def agreement(known: NDArray[np.float32], found: NDArray[np.float32]) -> dict[str, float]:
    """Intersection over union of `found` with the `known` boxes: n, mean, and mean of the worst twentieth."""
    rows = ~np.isnan(known).any(axis=1)
    overlap = np.sort(intersection_over_union(known[rows], found[rows]))
    worst = overlap[: max(1, len(overlap) // 20)]
    return {
        "n": len(overlap),
        "mean_iou": round(float(overlap.mean()), 6),
        "mean_iou_of_worst_twentieth": round(float(worst.mean()), 6),
    }
