"""Heat maps: the activation map of the network, drawn over the film."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_SIDE = 1024  # pixels of an overlay
TOWARDS, AGAINST = [255.0, 40.0, 0.0], [0.0, 110.0, 255.0]  # RGB
STRENGTH = 0.5  # share of the colour where the map is strongest
FULL = 15.0  # logits from which on the colour is full


def small_copy(film: Image.Image) -> Image.Image:
    """The film, mode L, reduced to MAX_SIDE if it is larger."""
    copy = film.copy()
    copy.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.BILINEAR)
    return copy


def overlay(film: Image.Image, activation: NDArray[np.float32]) -> Image.Image:
    """`film` (mode L) in RGB: red where `activation` (h, w), in logits, is positive, blue where it is negative."""
    smooth = Image.fromarray(activation).resize(film.size, Image.Resampling.BICUBIC)
    towards = np.clip(np.asarray(smooth) / FULL, -1, 1)[..., None]
    grey = np.asarray(film, dtype=np.float32)[..., None]
    colour = np.where(towards > 0, np.array(TOWARDS), np.array(AGAINST))
    share = STRENGTH * np.abs(towards)
    return Image.fromarray((grey * (1 - share) + colour * share).round().astype(np.uint8))
