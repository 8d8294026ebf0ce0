"""Baselines without a network: the size of a film's file, and the box of its lungs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.bootstrap import Floats
from cxr_distill.evaluation.geometry import geometry_model


def shortcut_table(
    index: pd.DataFrame, geometry: pd.DataFrame, films: Mapping[str, Mapping[str, NDArray[Any]]]
) -> pd.DataFrame:
    """One row per image of `index`: split, file, whether its size was `fitted` on, and P(pneumonia) by `geometry` and
    `boxes`; NaN where an image's size is unknown.

    geometry: original sizes (see `known_sizes`); films: split -> `boxes` (N, 4) in the order of the index. May raise
    CxrError.
    """
    sizes = known_sizes(index, geometry)
    sick = (index["label"] == "PNEUMONIA").to_numpy(np.int64)
    rows = {split: (index["split"] == split).to_numpy() for split in films}
    seen = rows["train"] | rows["val"]
    fitted = np.isfinite(sizes).all(axis=1) & seen
    boxes = np.full((len(index), 4), np.nan)
    for split, tensors in films.items():
        boxes[rows[split]] = tensors["boxes"]
    return index[["split", "file"]].assign(
        fitted=fitted.astype(int), geometry=geometry_model(sizes, sick, fitted), boxes=geometry_model(boxes, sick, seen)
    )


def known_sizes(index: pd.DataFrame, geometry: pd.DataFrame) -> Floats:
    """Original width and height (N, 2) of the images of `index`, NaN where unknown.

    The archive's own, or, where all its images have one size, those of `geometry` (split, class, file, width,
    height). Raises CxrError if a test image has none, or training images have but one size.
    """
    own = index[["width", "height"]].to_numpy(float)
    if len(np.unique(own, axis=0)) == 1:
        files = geometry["split"] + "/" + geometry["class"] + "/" + geometry["file"]
        known = geometry.set_index(files)[["width", "height"]].astype(float)
        own = known.reindex(index["file"]).to_numpy()
    fitted = ~np.isnan(own).any(axis=1) & index["split"].isin(["train", "val"]).to_numpy()
    if np.isnan(own[(index["split"] == "test").to_numpy()]).any() or len(np.unique(own[fitted], axis=0)) < 2:
        raise CxrError("study/geometry.csv does not have the sizes of this archive's images; add them")
    return own
