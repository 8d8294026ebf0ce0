"""A student of the study from labels, trained by the pipeline's own loop, and how every network is scored."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from cxr_distill.base.errors import CxrError
from cxr_distill.evaluation.frames import reframed
from cxr_distill.nets.common.layers import count_parameters
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.student.network import build_student
from study.plan.settings import StudentSetting
from cxr_distill.training.data import Images
from cxr_distill.training.loop import fit
from cxr_distill.training.task import ClassificationTask, CrossEntropyTask

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
    fit(
        task,
        seen(films["train"], pool=setting.pool, classes=setting.classes),
        seen(films["val"], pool=setting.pool, classes=setting.classes),
        setting.views,
        setting.balance,
        setting.trainer,
        view_count=setting.view_count,
        teacher=teacher,
        validate="last",
    )
    return score(task.net, films, frame_seed=setting.frame_seed, pool=setting.pool)


def score(net: nn.Module, images: Splits, *, frame_seed: int, pool: int = 1) -> Tensors:
    """Logits float32 (N, classes) on `val` and `test`, on both also in the other frame, and the `parameters` (1,).

    Lungs that are cut out of a film are the same in whatever frame the film is. Raises CxrError if a logit is not
    finite.
    """
    tensors = {}
    for split in ("val", "test"):
        each = images[split]
        tensors[split] = tensors[f"{split}_reframed"] = predict_logits(net, pooled(each.pixels, pool))
        if each.boxes is not None:
            moved = reframed(each.pixels, each.boxes, each.labels, seed=frame_seed)
            tensors[f"{split}_reframed"] = predict_logits(net, pooled(moved, pool))
    if not all(np.isfinite(each).all() for each in tensors.values()):
        raise CxrError("its logits are not finite: the training diverged; lower learning_rate")
    return {**tensors, "parameters": np.array([count_parameters(net)])}


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
