"""What a network reads in a film: reframed films, films with the lungs greyed out, and with nothing but the lungs.

In this data set the place of the lungs in a film says much about its class. A network that reads it loses where films
are framed differently. Backgrounds as a cue: Xiao et al., arXiv 2006.09994; Maguolo and Nanni, arXiv 2004.12823.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from cxr_distill.evaluation.predictions import DRAWS, REFRAMED, REFRAMED_ANY
from cxr_distill.nets.common.frames import in_frame

Pixels = NDArray[np.uint8]
Boxes = NDArray[np.float32]
MARGIN = 4 / 224
"""By which a greyed rectangle is larger than the two boxes that it covers, as a share of the film."""


def partners(labels: NDArray[np.uint8], *, seed: int) -> NDArray[np.intp]:
    """For each film the row (N,) of a random film of the other class, normal or pneumonia."""
    random = np.random.default_rng(seed)
    sick = labels > 0
    chosen = np.empty(len(labels), np.intp)
    for one, other in ((sick, ~sick), (~sick, sick)):
        chosen[one] = random.choice(np.flatnonzero(other), int(one.sum()))
    return chosen


def reframed(images: Pixels, boxes: Boxes, labels: NDArray[np.uint8], *, seed: int) -> Pixels:
    """The films uint8 (N, S, S) with their lungs where those of a film of the other class lie; see `variants`."""
    return _placed(images, boxes, boxes[partners(labels, seed=seed)])


def reframed_any(images: Pixels, boxes: Boxes, *, seed: int) -> Iterator[Pixels]:
    """DRAWS times the films uint8 (N, S, S) with their lungs where those of a random film of any class lie.

    Every film is the partner of one film, so that partners do not tell the class.
    """
    for number in range(DRAWS):
        yield _placed(images, boxes, boxes[np.random.default_rng([seed, number]).permutation(len(boxes))])


def _placed(images: Pixels, boxes: Boxes, partner: Boxes) -> Pixels:
    return in_frame(torch.from_numpy(images), torch.from_numpy(boxes), torch.from_numpy(partner)).numpy()


def variants(
    images: Pixels, boxes: Boxes, labels: NDArray[np.uint8], *, seed: int
) -> Iterator[tuple[str, Iterator[Pixels]]]:
    """The films uint8 (N, S, S) by variant, each as one draw or several; `boxes` (N, 4), `labels` (N,) with 0 normal.

    reframed: the lungs lie where those of a film of the other class lie. reframed_any: of any class, DRAWS times.
    mean_frame: where they lie on average. lungs_greyed: a rectangle around the lungs and around those of the film of
    the other class has the mean grey level of the rest; a rectangle around its own lungs alone would show where they
    are. lungs_only: nothing but it is left.
    """
    partner = boxes[partners(labels, seed=seed)]
    low = np.minimum(boxes[:, :2], partner[:, :2]) - MARGIN
    high = np.maximum(boxes[:, 2:], partner[:, 2:]) + MARGIN
    inside = _inside(np.concatenate([low, high], axis=1), images.shape[-1])
    yield REFRAMED, iter([reframed(images, boxes, labels, seed=seed)])
    yield REFRAMED_ANY, reframed_any(images, boxes, seed=seed)
    average = torch.from_numpy(boxes).mean(dim=0, keepdim=True).expand(len(boxes), 4).numpy()
    yield "mean_frame", iter([_placed(images, boxes, average)])
    yield "lungs_greyed", iter([_greyed(images, inside)])
    yield "lungs_only", iter([_greyed(images, ~inside)])


def _inside(boxes: NDArray[np.floating], side: int) -> NDArray[np.bool_]:
    """(N, S, S): which pixels lie in `boxes` (N, 4)."""
    middle = (np.arange(side) + 0.5) / side
    across = (middle > boxes[:, 0, None]) & (middle < boxes[:, 2, None])
    down = (middle > boxes[:, 1, None]) & (middle < boxes[:, 3, None])
    return down[:, :, None] & across[:, None, :]


def _greyed(images: Pixels, where: NDArray[np.bool_]) -> Pixels:
    left = (~where).sum(axis=(1, 2))
    level = np.where(left > 0, (images * ~where).sum(axis=(1, 2)) / np.maximum(left, 1), images.mean(axis=(1, 2)))
    return np.where(where, level.round().astype(np.uint8)[:, None, None], images)


def share_in_lungs(maps: NDArray[np.float64], boxes: Boxes) -> float:
    """Share of positive activation in the lung boxes (N, 4), mean over films that have any; `maps` (N, S, S)."""
    positive = np.clip(maps, 0, None)
    total = positive.sum(axis=(1, 2))
    within = (positive * _inside(boxes, maps.shape[-1])).sum(axis=(1, 2))
    return float((within[total > 0] / total[total > 0]).mean())
