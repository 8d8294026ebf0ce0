"""Baselines without a network: image size, the box of the lungs, thumbnails, and oriented gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.bootstrap import Floats
from cxr_distill.evaluation.geometry import geometry_model
from cxr_distill.evaluation.scores import Ints

THUMBNAIL = 16  # pixels of a side
CELLS = 8  # cells of a side over which gradients are counted
ORIENTATIONS = 9
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # inverse strengths of L2, of which validation chooses


def shortcut_table(
    index: pd.DataFrame, geometry: pd.DataFrame, films: Mapping[str, Mapping[str, NDArray[Any]]]
) -> pd.DataFrame:
    """One row per image of `index`: split, file, whether its size was `fitted` on, and P(pneumonia) by geometry, boxes,
    thumbnail and gradients; NaN where one of them knows nothing of an image, or was fitted on it.

    geometry: original sizes (see `known_sizes`); films: split -> `images` (N, S, S) and `boxes` (N, 4) in the order of
    the index. May raise CxrError.
    """
    sizes = known_sizes(index, geometry)
    sick = (index["label"] == "PNEUMONIA").to_numpy(np.int64)
    rows = {split: (index["split"] == split).to_numpy() for split in films}
    seen = rows["train"] | rows["val"]
    fitted = np.isfinite(sizes).all(axis=1) & seen
    boxes = np.full((len(index), 4), np.nan)
    for split, tensors in films.items():
        boxes[rows[split]] = tensors["boxes"]
    table = index[["split", "file"]].assign(
        fitted=fitted.astype(int),
        geometry=geometry_model(sizes, sick, fitted),
        boxes=geometry_model(boxes, sick, seen),
    )
    for name, features in (("thumbnail", thumbnails), ("gradients", oriented_gradients)):
        found = {split: features(tensors["images"]) for split, tensors in films.items()}
        model = classical_model(found["train"], sick[rows["train"]], found["val"], sick[rows["val"]])
        table[name] = np.nan
        for split in ("val", "test"):
            table.loc[rows[split], name] = model.predict_proba(found[split])[:, 1]
    return table


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


def thumbnails(images: NDArray[np.uint8]) -> Floats:
    """Features (N, THUMBNAIL^2): means of blocks of uint8 `images` (N, S, S), each image to zero mean, unit spread."""
    rows = [_block_means(image.astype(float), THUMBNAIL).ravel() for image in images]
    flat = np.stack(rows)
    return (flat - flat.mean(axis=1, keepdims=True)) / (flat.std(axis=1, keepdims=True) + 1)


def oriented_gradients(images: NDArray[np.uint8]) -> Floats:
    """Histograms of oriented gradients of uint8 `images` (N, S, S): (N, (CELLS-1)^2 * 4 * ORIENTATIONS).

    Dalal and Triggs (CVPR 2005): unsigned orientations weighted by magnitude, blocks of 2 x 2 cells to unit length.
    """
    return np.stack([_oriented_gradients(image.astype(float)) for image in images])


def _oriented_gradients(image: Floats) -> Floats:
    down, right = np.gradient(image)
    size, angle = np.hypot(down, right), np.arctan2(down, right) % np.pi
    place = np.minimum((angle / np.pi * ORIENTATIONS).astype(int), ORIENTATIONS - 1)
    cells = np.stack([_block_means(size * (place == each), CELLS) for each in range(ORIENTATIONS)], axis=-1)
    blocks = np.concatenate([cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]], axis=-1)
    length = np.linalg.norm(blocks, axis=-1, keepdims=True)
    feature: Floats = (blocks / (length + 1e-3)).ravel()
    return feature


def _block_means(image: Floats, blocks: int) -> Floats:
    # Blocks of a side that does not divide evenly differ by a pixel.
    edges = np.linspace(0, len(image), blocks, endpoint=False).round().astype(int)
    sums = np.add.reduceat(np.add.reduceat(image, edges, axis=0), edges, axis=1)
    sides = np.diff([*edges, len(image)])
    means: Floats = sums / np.outer(sides, sides)
    return means


def classical_model(train: Floats, labels: Ints, val: Floats, val_labels: Ints) -> Pipeline:
    """Logistic regression on standardised features, classes weighted alike, with the one of PENALTIES that has the
    least balanced log-loss on validation."""
    weights = np.where(val_labels == 1, 0.5 / val_labels.mean(), 0.5 / (1 - val_labels.mean()))

    def fitted(penalty: float) -> Pipeline:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=penalty, class_weight="balanced", max_iter=2000))
        return model.fit(train, labels)

    def loss(model: Pipeline) -> float:
        return float(log_loss(val_labels, model.predict_proba(val)[:, 1], sample_weight=weights))

    return min(map(fitted, PENALTIES), key=loss)
