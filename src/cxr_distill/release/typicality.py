"""How much a picture looks like an upright frontal chest film: a score that travels inside the exported graph.

Two questions, one number. Is the picture far from training films (a Mahalanobis distance, of a thumbnail and of how
much detail each octave holds where)? And would it be nearer to them turned, or as a negative? Answering either takes
films alone, so that the score knows nothing of the pictures it is tested on.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from torch import Tensor, nn

THUMBNAIL = 8  # cells a side
REGIONS = 3  # cells a side in which detail is measured
LEVELS = (48, 24, 12, 6)  # cells a side; an octave of detail lies between two of them


class Typicality(nn.Module):
    """The score of a picture of `size` x `size`, higher for more typical; `fit_typicality` makes one."""

    def __init__(self, size: int) -> None:
        super().__init__()
        details = len(LEVELS) * REGIONS**2
        count = THUMBNAIL**2 + 1 + details
        self.mean = nn.Buffer(torch.zeros(count))
        self.whiten = nn.Buffer(torch.zeros(count, count))
        self.margin = nn.Buffer(torch.zeros(()))
        self.turns = nn.Buffer(torch.from_numpy(_turns()))
        signs = torch.ones(len(self.turns), count)
        signs[-1, : THUMBNAIL**2] = -1  # a negative is the standardised picture times -1
        self.signs = nn.Buffer(signs)
        self.thumbnail = nn.Buffer(_pooling(size, THUMBNAIL))
        self.halve = nn.ParameterList(_fixed(_pooling(fine, coarse)) for fine, coarse in pairwise([size, *LEVELS]))
        self.regions = nn.ParameterList(_fixed(_pooling(cells, REGIONS)) for cells in [size, *LEVELS])

    def forward(self, images: Tensor) -> Tensor:
        """(B,) of grey levels (B, S, S), 0 to 255."""
        distances = self.distances(images)
        upright, altered = distances[:, 0], distances[:, 1:].amin(dim=1)
        return torch.minimum(-upright, altered - upright + self.margin)

    def distances(self, images: Tensor) -> Tensor:
        """(B, 5): root mean square deviation from training films, of the picture as it is, turned left, right and
        upside down, and as a negative; about 1 for a film."""
        alike = self.features(images)[:, self.turns] * self.signs
        return ((alike - self.mean) @ self.whiten).square().mean(dim=2).sqrt()

    def features(self, images: Tensor) -> Tensor:
        """(B, F) of (B, S, S): the standardised picture's thumbnail, its contrast, and detail by octave and region."""
        centred = images - images.mean(dim=(1, 2), keepdim=True)
        spread = centred.square().mean(dim=(1, 2), keepdim=True).sqrt() + 4  # of 255: almost flat is not contrast
        level = centred / spread
        parts = [_pooled(level, self.thumbnail).flatten(1), torch.log(spread).flatten(1)]
        # A mean over cells is a projection, so that the detail which it loses is the difference of the energies.
        energy = _pooled(level.square(), self.regions[0])
        for halve, regions in zip(self.halve, self.regions[1:], strict=True):
            level = _pooled(level, halve)
            coarser = _pooled(level.square(), regions)
            parts.append(torch.log((energy - coarser).clamp(min=0) + 1e-3).flatten(1))
            energy = coarser
        return torch.cat(parts, dim=1)


def fit_typicality(train: NDArray[np.uint8], val: NDArray[np.uint8], *, refused: float) -> tuple[Typicality, float]:
    """The score and the threshold under which it refuses the share `refused` of validation films, half by either
    question; `train` and `val` (N, S, S)."""
    score = Typicality(train.shape[-1])
    features = _in_batches(score.features, train)
    spread = features.std(axis=0) + 1e-6  # on films all alike, a feature can be constant
    covariance, _ = ledoit_wolf((features - features.mean(axis=0)) / spread)
    whiten = np.linalg.cholesky(np.linalg.inv(covariance)) / spread[:, None]
    score.mean.copy_(torch.from_numpy(features.mean(axis=0)))
    score.whiten.copy_(torch.from_numpy(whiten))

    distances = _in_batches(score.distances, val)
    upright, altered = distances[:, 0], distances[:, 1:].min(axis=1)
    threshold = float(np.quantile(-upright, refused / 2))
    score.margin.fill_(threshold - float(np.quantile(altered - upright, refused / 2)))
    return score, threshold


def _in_batches(function: Callable[[Tensor], Tensor], images: NDArray[np.uint8]) -> NDArray[np.float64]:
    with torch.inference_mode():
        return torch.cat([function(part.float()) for part in torch.from_numpy(images).split(256)]).double().numpy()


def _pooling(fine: int, coarse: int) -> Tensor:
    """(coarse, fine): means over `coarse` stretches of a line of `fine` pixels, which the ends of a stretch may cut."""
    ends = torch.arange(coarse + 1, dtype=torch.float64) * (fine / coarse)
    pixel = torch.arange(fine, dtype=torch.float64)
    overlap = torch.minimum(ends[1:, None], pixel + 1) - torch.maximum(ends[:-1, None], pixel)
    return (overlap.clamp(min=0) * (coarse / fine)).float()


def _pooled(pixels: Tensor, pool: Tensor) -> Tensor:
    return pool @ pixels @ pool.T


def _fixed(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values, requires_grad=False)


def _turns() -> NDArray[np.int64]:
    """(5, F): where in a picture's features those of the picture as it is, turned three ways, and negative, stand."""
    start = 0
    blocks = []
    for side, count in ((THUMBNAIL, 1), (1, 1), (REGIONS, len(LEVELS))):
        blocks += [np.arange(side**2).reshape(side, side) + start + n * side**2 for n in range(count)]
        start += count * side**2
    turns = [np.concatenate([np.rot90(block, quarter).ravel() for block in blocks]) for quarter in (0, 1, -1, 2, 0)]
    return np.stack(turns)
