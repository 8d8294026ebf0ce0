"""One student of the study, trained by the pipeline's own loop, and its logits on validation and test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.nets.common.layers import count_parameters
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.student.network import build_student
from cxr_distill.study.params import Setting
from cxr_distill.training.data import Images
from cxr_distill.training.loop import fit
from cxr_distill.training.task import ClassificationTask, CrossEntropyTask

Tensors = dict[str, NDArray[Any]]
"""The result of a cell: `val` and `test` logits float32 (N, classes), and the number of `parameters` (1,)."""


def train_alone(setting: Setting, images: Mapping[str, Images]) -> Tensors:
    """A student from labels; `images`: the splits train, val and test."""
    net = build_student(setting.student, classes=setting.classes)
    return fit_and_score(CrossEntropyTask(net, setting.student), setting, images)


def fit_and_score(
    task: ClassificationTask,
    setting: Setting,
    images: Mapping[str, Images],
    teacher: NDArray[np.float32] | None = None,
) -> Tensors:
    """Train `task.net` in place; `teacher`: logits float32 (view_count, N, classes) for training images."""
    seen = {split: cell_images(each, pool=setting.pool, classes=setting.classes) for split, each in images.items()}
    fit(
        task,
        seen["train"],
        seen["val"],
        setting.views,
        setting.balance,
        setting.trainer,
        view_count=setting.view_count,
        teacher=teacher,
    )
    logits = {split: predict_logits(task.net, seen[split].pixels) for split in ("val", "test")}
    if not all(np.isfinite(each).all() for each in logits.values()):
        raise CxrError("its logits are not finite: the training diverged; lower learning_rate")
    return {**logits, "parameters": np.array([count_parameters(task.net)])}


def cell_images(images: Images, *, pool: int, classes: int) -> Images:
    """Means of `pool` x `pool` pixels, and with two classes the labels 0 (normal) and 1 (pneumonia).

    Raises CxrError if `pool` does not divide the side.
    """
    side = images.pixels.shape[-1]
    if side % pool:
        raise CxrError(f"pool {pool} does not divide images of {side} pixels; choose a divisor")
    blocks = images.pixels.reshape(-1, side // pool, pool, side // pool, pool)
    pixels = images.pixels if pool == 1 else blocks.mean(axis=(2, 4)).round().astype(np.uint8)
    return Images(pixels, np.minimum(images.labels, classes - 1))
