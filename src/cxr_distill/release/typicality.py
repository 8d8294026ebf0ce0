"""How similar a picture is to an upright frontal chest film: a score that is part of the exported graph.

One number answers two questions. Is the picture far from the training films? That is a Mahalanobis distance, of a
thumbnail and of the amount of detail in each octave and region. And would it be closer to them if it were turned, or
a negative? Both are fitted on films alone, so the score has not seen the pictures that it is tested on.

Two thresholds cut it. Below the first a picture is rejected. Below the second it is called no chest film at all:
between them lie films that are changed as those of other places may be. People read minus this score, which is called
the out-of-distribution score: a picture is rejected above its limit.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

from cxr_distill.nets.common.params import ViewParams
from cxr_distill.nets.common.views import draw_view, network_input

THUMBNAIL = 8  # cells per side
REGIONS = 3  # cells per side in which detail is measured
ELSEWHERE = ViewParams(
    seed=0, rotation_degrees=12, translation=0.08, scale=0.15, aspect=0.25, flip=0.0, contrast=0.3, brightness=0.15,
    gamma=0.3, detail=0.25, erase=0.0, frame=0.0,
)  # fmt: skip
"""How films of other places may differ: in position, shape, exposure and sharpness."""
DRAWS = 4  # of each validation film
UNLIKE = 0.05  # share of such films that may be called no chest film
LEVELS = (48, 24, 12, 6)  # cells per side; an octave of detail is what is lost from one level to the next


class Typicality(nn.Module):
    """The score of a picture of `size` x `size`, higher for a more typical one; `fit_typicality` makes one."""

    def __init__(self, size: int) -> None:
        super().__init__()
        details = len(LEVELS) * REGIONS**2
        count = THUMBNAIL**2 + 1 + details
        self.mean = nn.Buffer(torch.zeros(count))
        self.whiten = nn.Buffer(torch.zeros(count, count))
        self.margin = nn.Buffer(torch.zeros(()))
        self.turns = nn.Buffer(torch.from_numpy(_turns()))
        signs = torch.ones(len(self.turns), count)
        signs[-1, : THUMBNAIL**2] = -1  # the negative of a standardised picture is -1 times the picture
        self.signs = nn.Buffer(signs)
        self.thumbnail = nn.Buffer(_pooling(size, THUMBNAIL))
        self.halve = nn.ParameterList(_fixed(_pooling(fine, coarse)) for fine, coarse in pairwise([size, *LEVELS]))
        self.regions = nn.ParameterList(_fixed(_pooling(cells, REGIONS)) for cells in [size, *LEVELS])

    def forward(self, images: Tensor) -> Tensor:
        """The score (B,) of grey levels (B, S, S), 0 to 255."""
        distances = self.distances(images)
        upright, altered = distances[:, 0], distances[:, 1:].amin(dim=1)
        return torch.minimum(-upright, altered - upright + self.margin)

    def distances(self, images: Tensor) -> Tensor:
        """(B, 5): root mean square deviation from the training films, about 1 for a film.

        Of the picture as it is, turned left, right and upside down, and as a negative.
        """
        alike = self.features(images)[:, self.turns] * self.signs
        return ((alike - self.mean) @ self.whiten).square().mean(dim=2).sqrt()

    def features(self, images: Tensor) -> Tensor:
        """(B, F) of (B, S, S): thumbnail of the standardised picture, contrast, and detail by octave and region."""
        centred = images - images.mean(dim=(1, 2), keepdim=True)
        spread = (
            centred.square().mean(dim=(1, 2), keepdim=True).sqrt() + 4
        )  # of 255, so that an almost flat picture has little contrast
        level = centred / spread
        parts = [_pooled(level, self.thumbnail).flatten(1), torch.log(spread).flatten(1)]
        # A mean over cells is a projection, so the energy of the detail that it loses is the difference of energies.
        energy = _pooled(level.square(), self.regions[0])
        for halve, regions in zip(self.halve, self.regions[1:], strict=True):
            level = _pooled(level, halve)
            coarser = _pooled(level.square(), regions)
            parts.append(torch.log((energy - coarser).clamp(min=0) + 1e-3).flatten(1))
            energy = coarser
        return torch.cat(parts, dim=1)


def fit_typicality(train: NDArray[np.uint8], val: NDArray[np.uint8], *, rejected: float) -> tuple[Typicality, float]:
    """The score, and the threshold below which it rejects the share `rejected` of the validation films.

    Each of the two questions rejects half of that share. train, val: uint8 (N, S, S).
    """
    score = Typicality(train.shape[-1])
    features = _in_batches(score.features, train)
    spread = features.std(axis=0) + 1e-6  # if all films are equal, a feature can be constant
    covariance, _ = ledoit_wolf((features - features.mean(axis=0)) / spread)
    whiten = np.linalg.cholesky(np.linalg.inv(covariance)) / spread[:, None]
    score.mean.copy_(torch.from_numpy(features.mean(axis=0)))
    score.whiten.copy_(torch.from_numpy(whiten))

    distances = _in_batches(score.distances, val)
    upright, altered = distances[:, 0], distances[:, 1:].min(axis=1)
    threshold = float(np.quantile(-upright, rejected / 2))
    score.margin.fill_(threshold - float(np.quantile(altered - upright, rejected / 2)))
    return score, threshold


def fit_chest_threshold(score: Typicality, val: NDArray[np.uint8]) -> float:
    """The score below which a picture is called no chest film: that of the least typical UNLIKE of changed films.

    They are validation films (N, S, S), uint8, that are changed DRAWS times as ELSEWHERE says.
    """
    pixels = torch.from_numpy(val)
    changed = [
        network_input(pixels, draw_view(len(pixels), ELSEWHERE, number=number))[:, 0].numpy() for number in range(DRAWS)
    ]
    levels = (np.concatenate(changed) * 255).round().clip(0, 255).astype(np.uint8)
    return float(np.quantile(_in_batches(score, levels), UNLIKE))


def _in_batches(function: Callable[[Tensor], Tensor], images: NDArray[np.uint8]) -> NDArray[np.float64]:
    with torch.inference_mode():
        return torch.cat([function(part.float()) for part in torch.from_numpy(images).split(256)]).double().numpy()


def _pooling(fine: int, coarse: int) -> Tensor:
    """(coarse, fine): means over `coarse` equal parts of a line of `fine` pixels; an end of a part may cut a pixel."""
    ends = torch.arange(coarse + 1, dtype=torch.float64) * (fine / coarse)
    pixel = torch.arange(fine, dtype=torch.float64)
    overlap = torch.minimum(ends[1:, None], pixel + 1) - torch.maximum(ends[:-1, None], pixel)
    return (overlap.clamp(min=0) * (coarse / fine)).float()


def _pooled(pixels: Tensor, pool: Tensor) -> Tensor:
    return pool @ pixels @ pool.T


def _fixed(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)


def _turns() -> NDArray[np.int64]:
    """(5, F): the indices that turn the features of a picture into those of the picture as in `distances`."""
    start = 0
    blocks = []
    for side, count in ((THUMBNAIL, 1), (1, 1), (REGIONS, len(LEVELS))):
        blocks += [np.arange(side**2).reshape(side, side) + start + n * side**2 for n in range(count)]
        start += count * side**2
    turns = [np.concatenate([np.rot90(block, quarter).ravel() for block in blocks]) for quarter in (0, 1, -1, 2, 0)]
    return np.stack(turns)
