"""A student of the study with a teacher, and that teacher's logits for whole training images."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import nn

from cxr_distill.distill.task import DistillationTask
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.precision import SINGLE, autocast
from cxr_distill.nets.common.views import network_input
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.teacher.network import load_teacher
from cxr_distill.nets.teacher.params import TeacherParams
from cxr_distill.study.cells.network import Tensors, fit_and_score
from cxr_distill.study.params import Setting
from cxr_distill.training.data import Images
from cxr_distill.training.sampling import shuffled_order


def train_taught(setting: Setting, images: Mapping[str, Images], logits: NDArray[np.float32]) -> Tensors:
    """A student from labels and the teacher's `logits` (view_count, N, 3) for the training images.

    A view's random draws do not depend on the pixels, so a pooled image under view e is what the teacher labelled,
    pooled.
    """
    assert setting.distill is not None
    net = build_student(setting.student, classes=setting.classes)
    task = DistillationTask(net, setting.student, setting.distill)
    return fit_and_score(task, setting, images, collapse(logits, classes=setting.classes))


def collapse(logits: NDArray[Any], *, classes: int) -> NDArray[Any]:
    """Logits (..., 3) as they are, or as (..., 2) that give the same P(normal): both pneumonias become one."""
    if classes == logits.shape[-1]:
        return logits
    return np.stack([logits[..., 0], logsumexp(logits[..., 1:], axis=-1)], axis=-1).astype(logits.dtype)


def whole_targets(
    params: TeacherParams, weights: Path, images: NDArray[np.uint8], *, precision: str
) -> dict[str, NDArray[np.float32]]:
    """The logits of `teacher_modes` by the teacher in the file `weights`. Raises CxrError if it cannot be loaded."""
    return teacher_modes(load_teacher(params, weights), images, batch_size=params.batch_size, precision=precision)


def teacher_modes(
    teacher: nn.Module, images: NDArray[np.uint8], *, batch_size: int, precision: str = SINGLE
) -> dict[str, NDArray[np.float32]]:
    """Logits float32 (N, 3) of uint8 `images` (N, S, S) by mode of the teacher's BatchNorm.

    eval: its own statistics. train: those of each batch, as where nobody called `eval()`; batches of at least
    `batch_size` in seeded order. `precision`: as `precision.resolved` names it.
    """
    careless = deepcopy(teacher).train().to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(images)
    order = shuffled_order(len(pixels), seed=0, epoch=0)
    with torch.no_grad(), autocast(precision):
        parts = order.tensor_split(max(1, len(order) // batch_size))
        batches = torch.cat([careless(network_input(pixels[rows])).float() for rows in parts])
    train = torch.empty_like(batches)
    train[order] = batches
    return {"eval": predict_logits(teacher, images, precision=precision), "train": train.numpy()}
