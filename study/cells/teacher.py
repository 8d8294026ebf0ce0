"""Teachers of the study, and what they say of training films: of every view, and of whole images."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_distill.base.classes import mean_answer
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.precision import FP32, autocast, resolved
from cxr_distill.nets.common.views import network_input
from cxr_distill.nets.teacher.network import build_teacher, load_teacher
from cxr_distill.nets.teacher.soft_targets import make_soft_targets
from cxr_distill.training.data import Images, seen_data
from cxr_distill.training.loop import fit
from cxr_distill.training.sampling import balanced_order, shuffled_order
from cxr_distill.training.task import CrossEntropyTask
from study.cells.network import Rows, Splits, Tensors, chosen, mean_scores, score
from study.plan.settings import TeacherSetting, WholeSetting

Seen = Mapping[str, Splits]
"""film or lungs, as far as the teacher sees them -> split -> images."""


def train_teacher(setting: TeacherSetting, seen: Seen, labelled: Rows | None) -> Tensors:
    """A teacher from labels, of the `labelled` training films alone if given.

    Beside its scores: logits float32 for all training films, `views` (V, N, 3) and whole images `eval` (N, 3). Where it
    sees both films and lungs, all are of the mean of its probabilities.
    """
    train = {sees: images["train"] for sees, images in seen.items()}
    learned = train if labelled is None else {sees: chosen(each, labelled) for sees, each in train.items()}
    labels, precision = next(iter(learned.values())).labels, resolved(setting.fit.trainer.precision)
    task = CrossEntropyTask(build_teacher(setting.teacher), setting.teacher)
    fit(task, seen_data(learned, {sees: images["val"] for sees, images in seen.items()}), setting.fit)
    scores = mean_scores([score(task.net, images, frame_seed=setting.frame_seed) for images in seen.values()])
    rows = np.arange(len(labels)) if labelled is None else np.flatnonzero(labelled)
    order = torch.from_numpy(rows)[balanced_order(torch.from_numpy(labels), seed=0, epoch=0)]
    views = [
        make_soft_targets(
            deepcopy(task.net),  # it gets the BatchNorm statistics of views
            each.pixels,
            order,
            setting.fit.views,
            count=setting.views,
            boxes=each.boxes,
            precision=precision,
        )
        for each in train.values()
    ]
    whole = [predict_logits(task.net, each.pixels, precision=precision) for each in train.values()]
    return {**scores, "eval": mean_answer(whole), "views": mean_answer(views)}


def label_whole_images(setting: WholeSetting, weights: Path, seen: Mapping[str, Images]) -> Tensors:
    """The logits of the teacher in the file `weights` for whole training images, of what it sees: see `by_mode`.

    Raises CxrError if it cannot be loaded.
    """
    teacher, precision = load_teacher(setting.teacher, weights), resolved(setting.trainer.precision)
    size = setting.teacher.batch_size
    each = [by_mode(teacher, images.pixels, batch_size=size, precision=precision) for images in seen.values()]
    return {mode: mean_answer([one[mode] for one in each]) for mode in each[0]}


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
