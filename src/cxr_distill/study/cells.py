"""One student of the study: a setting by what it changes in the pipeline's, trained by the pipeline's own loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import parse
from cxr_distill.base.tensors import write_tensors
from cxr_distill.nets.common.layers import count_parameters
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.params import BalanceParams, TrainerParams, ViewParams
from cxr_distill.nets.student.params import StudentParams
from cxr_distill.study.params import AloneCell
from cxr_distill.training.loop import Images, fit
from cxr_distill.training.task import ClassificationTask


def student_of(cell: AloneCell, base: StudentParams, *, name: str) -> StudentParams:
    """The cell's student: `base` (section `student` of params.yaml) with what the cell changes. May raise CxrError."""
    changed = {key: getattr(cell, key) for key in ("arch", "channels", "seed", "epochs", "learning_rate", "keep")}
    kept = {key: value for key, value in changed.items() if value is not None}
    return parse(StudentParams, {**base.model_dump(), **kept}, name)


def cell_images(images: Images, cell: AloneCell) -> Images:
    """What the cell's student sees: means of `pool` x `pool` pixels, and labels 0 and 1 if it has two classes.

    Raises CxrError if `pool` does not divide the side.
    """
    side, pool = images.pixels.shape[-1], cell.pool
    if side % pool:
        raise CxrError(f"pool {pool} does not divide images of {side} pixels; choose a divisor")
    blocks = images.pixels.reshape(-1, side // pool, pool, side // pool, pool)
    pixels = images.pixels if pool == 1 else blocks.mean(axis=(2, 4)).round().astype(np.uint8)
    return Images(pixels, np.minimum(images.labels, cell.classes - 1))


def no_views(views: ViewParams) -> ViewParams:
    """Views that leave every image as it is."""
    return ViewParams.model_validate(dict.fromkeys(views.model_dump(), 0))


def fit_cell(
    task: ClassificationTask,
    cell: AloneCell,
    train: Images,
    val: Images,
    views: ViewParams,
    balance: BalanceParams,
    trainer: TrainerParams,
    *,
    view_count: int,
    teacher: NDArray[np.float32] | None = None,
    resume: Path | None = None,
) -> pd.DataFrame:
    """Train `task.net` in place and return its history; `views` and `balance` are those of params.yaml.

    `train` and `val` as `cell_images` makes them; `teacher`: logits (view_count or 1, N, classes).
    """
    return fit(
        task,
        train,
        val,
        views if cell.views else no_views(views),
        cell.balance or balance,
        trainer,
        view_count=view_count if cell.views else 1,
        teacher=teacher,
        resume=resume,
    )


def write_cell(
    path: Path, net: nn.Module, splits: dict[str, Images], more: dict[str, NDArray[Any]] | None = None
) -> None:
    """Logits float32 (N, classes) of every split, the number of parameters, and whatever `more` holds."""
    tensors = {split: predict_logits(net, images.pixels) for split, images in splits.items()}
    write_tensors(path, {**tensors, "parameters": np.array([count_parameters(net)]), **(more or {})})
