"""A student of the study from labels, trained by the pipeline's own loop, and how every network is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_expit, logsumexp
from torch import nn

from cxr_distill.base.classes import log_odds_of
from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.frames import reframed, reframed_any
from cxr_distill.evaluation.predictions import DRAWS, REFRAMED, REFRAMED_ANY
from cxr_distill.nets.common.layers import count_parameters
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.student.network import build_student
from cxr_distill.training.data import Images, TrainingData
from cxr_distill.training.loop import fit
from cxr_distill.training.task import ClassificationTask, CrossEntropyTask
from study.plan.settings import StudentSetting

Tensors = dict[str, NDArray[Any]]
"""The result of a cell: see `score`; of a teacher also what `teacher.train_teacher` adds."""
Splits = Mapping[str, Images]
"""train, val and test."""
Rows = NDArray[np.bool_]
"""(N,): which training films have a label."""


def train_baseline(setting: StudentSetting, films: Splits, labelled: Rows | None) -> Tensors:
    """A student from labels, of the `labelled` training films alone if given."""
    net = build_student(setting.student, classes=setting.classes)
    train = films["train"] if labelled is None else chosen(films["train"], labelled)
    return fit_student(CrossEntropyTask(net, setting.student), setting, {**films, "train": train})


def chosen(images: Images, rows: Rows) -> Images:
    """The images of these rows."""
    boxes = None if images.boxes is None else images.boxes[rows]
    return Images(images.pixels[rows], images.labels[rows], boxes)


def fit_student(
    task: ClassificationTask, setting: StudentSetting, films: Splits, teacher: NDArray[np.float32] | None = None
) -> Tensors:
    """Train `task.net` in place and score it; `teacher`: logits float32 (view_count, N, classes) for training films."""
    train, val = (seen(films[split], pool=setting.pool, classes=setting.classes) for split in ("train", "val"))
    fit(task, TrainingData(train, val, teacher), setting.fit)
    return score(task.net, films, frame_seed=setting.frame_seed, pool=setting.pool)


def score(net: nn.Module, images: Splits, *, frame_seed: int, pool: int = 1) -> Tensors:
    """Log-odds of pneumonia of the films of `val` and `test` (`framed`), and the `parameters` (1,)."""
    tensors: Tensors = {"parameters": np.array([count_parameters(net)])}
    for split in ("val", "test"):
        tensors |= framed(net, images[split], split, frame_seed=frame_seed, pool=pool)
    return tensors


def mean_scores(each: Sequence[Tensors]) -> Tensors:
    """Scores of the mean of several probabilities of pneumonia; those of a single one as they are."""
    if len(each) == 1:
        return each[0]

    def mean(odds: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
        sick, normal = (logsumexp(log_expit(sign * np.asarray(odds, dtype=np.float64)), axis=0) for sign in (1, -1))
        return np.asarray(sick - normal, dtype=np.float32)

    places = each[0].keys() - {"parameters"}
    return {"parameters": each[0]["parameters"], **{place: mean([one[place] for one in each]) for place in places}}


def framed(net: nn.Module, films: Images, name: str, *, frame_seed: int, pool: int = 1) -> Tensors:
    """Log-odds of pneumonia float32: NAME (N,), NAME_reframed (N,) and NAME_reframed_any (DRAWS, N).

    Lungs that are cut out of a film are the same however it is framed. Raises CxrError if one is not finite.
    """
    own = _odds(net, films.pixels, pool)
    moved, any_class = own, np.stack([own] * DRAWS)
    if films.boxes is not None:
        moved = _odds(net, reframed(films.pixels, films.boxes, films.labels, seed=frame_seed), pool)
        draws = reframed_any(films.pixels, films.boxes, seed=frame_seed)
        any_class = np.stack([_odds(net, draw, pool) for draw in draws])
    return {name: own, f"{name}_{REFRAMED}": moved, f"{name}_{REFRAMED_ANY}": any_class}


def _odds(net: nn.Module, pixels: NDArray[np.uint8], pool: int) -> NDArray[np.float32]:
    logits = predict_logits(net, pooled(pixels, pool))
    if not np.isfinite(logits).all():
        raise CxrError("its logits are not finite: the training diverged; lower learning_rate")
    return log_odds_of(logits)


def seen(images: Images, *, pool: int, classes: int) -> Images:
    """What a student sees: `pooled` images, and with two classes the labels 0 (normal) and 1 (pneumonia)."""
    return Images(pooled(images.pixels, pool), np.minimum(images.labels, classes - 1), images.boxes)


def pooled(pixels: NDArray[np.uint8], pool: int) -> NDArray[np.uint8]:
    """Means of `pool` x `pool` pixels of images (N, S, S). Raises CxrError if `pool` does not divide the side."""
    side = pixels.shape[-1]
    if side % pool:
        raise CxrError(f"pool {pool} does not divide images of {side} pixels; choose a divisor")
    if pool == 1:
        return pixels
    blocks = pixels.reshape(-1, side // pool, pool, side // pool, pool)
    return blocks.mean(axis=(2, 4)).round().astype(np.uint8)
