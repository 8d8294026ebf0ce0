"""How a film was taken, rather than what it shows, and weights under which that says less about its class.

In this data set the normal films are sharper, and their borders look different. A network that uses this fails where
normal films are soft.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxr_distill.base.probabilities import logistic_probabilities, logistic_regression
from cxr_distill.nets.common.views import octaves, to_input


def film_quality(images: Tensor) -> NDArray[Any]:
    """Features (N, OCTAVES + 4) of grey uint8 `images` (N, S, S).

    The share of the contrast in each octave, brightness, brightness of the upper and of the lower border, contrast.
    """
    return torch.cat([_film_quality(part) for part in images.split(256)]).numpy()


def _film_quality(images: Tensor) -> Tensor:
    pixels = to_input(images)
    contrast = pixels.std(dim=(1, 2, 3))
    bands, _ = octaves(pixels)
    shares = [torch.log(band.std(dim=(1, 2, 3)) / (contrast + 1e-3) + 1e-3) for band in bands]
    border = max(1, images.shape[-1] // 12)
    brightness = [part.mean(dim=(1, 2, 3)) for part in (pixels, pixels[..., :border, :], pixels[..., -border:, :])]
    return torch.stack([*shares, *brightness, contrast], dim=1)


def overlap_weights(images: Tensor, labels: Tensor, *, strength: float) -> Tensor:
    """Weights float64 (N,) of uint8 `images` (N, S, S) under which film quality predicts less of `labels` (N,).

    The probability of a class by film quality is that of a logistic regression with squares and products of features.
    `strength` 1 gives overlap weights (Li, Morgan, Zaslavsky, JASA 2018, 10.1080/01621459.2016.1260466): each image
    counts by the probability of the other class given its film quality, which makes the means of the features equal in
    both classes. 0 gives equal weights.
    """
    features, sick = film_quality(images).astype(np.float64), (labels > 0).numpy()
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)
    one, other = np.triu_indices(scaled.shape[1])
    terms = np.concatenate([scaled, scaled[:, one] * scaled[:, other]], axis=1)  # squares and products
    balanced = np.where(sick, 0.5 / sick.mean(), 0.5 / (1 - sick.mean()))
    fitted = logistic_regression(terms, sick.astype(np.float64), weights=balanced, penalty=1.0)
    p_sick = logistic_probabilities(terms, fitted)
    return torch.from_numpy(np.where(sick, 1 - p_sick, p_sick) ** strength)
