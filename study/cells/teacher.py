"""Teachers of the study, and what they say of training films: of every view, and of whole images."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.precision import FP32, autocast, resolved
from cxr_distill.nets.common.views import network_input
from cxr_distill.nets.teacher.network import build_teacher, load_teacher
from cxr_distill.nets.teacher.soft_targets import make_soft_targets
from cxr_distill.training.data import TrainingData
from cxr_distill.training.loop import fit
from cxr_distill.training.sampling import balanced_order, shuffled_order
from cxr_distill.training.task import CrossEntropyTask
from study.cells.network import Rows, Splits, Tensors, chosen, score
from study.plan.settings import TeacherSetting, WholeSetting


def train_teacher(setting: TeacherSetting, images: Splits, labelled: Rows | None) -> Tensors:
    """A teacher from labels, of the `labelled` training films alone if given; `images`: what it sees.

    Beside its scores: logits float32 for all training films, `views` (V, N, 3) and whole images `eval` (N, 3).
    """
    train, precision = images["train"], resolved(setting.fit.trainer.precision)
    rows = np.arange(len(train.labels)) if labelled is None else np.flatnonzero(labelled)
    task = CrossEntropyTask(build_teacher(setting.teacher), setting.teacher)
    learned = train if labelled is None else chosen(train, labelled)
    fit(task, TrainingData(learned, images["val"]), setting.fit)
    scores = score(task.net, images, frame_seed=setting.frame_seed)
    whole = predict_logits(task.net, train.pixels, precision=precision)
    order = balanced_order(torch.from_numpy(train.labels[rows]), seed=0, epoch=0)
    # Last, because it gives the network the BatchNorm statistics of views.
    views = make_soft_targets(
        task.net,
        train.pixels,
        torch.from_numpy(rows)[order],
        setting.fit.views,
        count=setting.views,
        boxes=train.boxes,
        precision=precision,
    )
    return {**scores, "eval": whole, "views": views}


def label_whole_images(setting: WholeSetting, weights: Path, images: Splits) -> Tensors:
    """The scores of the teacher in the file `weights`, and its logits of `by_mode` for whole training images.

    images: what it sees. Raises CxrError if it cannot be loaded.
    """
    teacher = load_teacher(setting.teacher, weights)
    scores, precision = score(teacher, images, frame_seed=setting.frame_seed), resolved(setting.trainer.precision)
    return scores | by_mode(teacher, images["train"].pixels, batch_size=setting.teacher.batch_size, precision=precision)


def by_mode(teacher: nn.Module, images: NDArray[np.uint8], *, batch_size: int, precision: str = FP32) -> Tensors:
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
