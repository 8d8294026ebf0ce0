"""One training run: batches of views in a seeded order, Lightning's loop, the weights that are kept and the history."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from numpy.typing import NDArray
from torch import Tensor

from cxr_distill.base.errors import CxrError
from cxr_distill.base.tensors import read_tensors
from cxr_distill.nets.common.params import BalanceParams, TrainerParams, ViewParams
from cxr_distill.nets.common.views import View, draw_view, network_input
from cxr_distill.training.operating_point import set_operating_point
from cxr_distill.training.resume import EveryEpoch, WholeCheckpoints, resume_key
from cxr_distill.training.sampling import balanced_order, estimate_batchnorm, overlap_weights, shuffled_order
from cxr_distill.training.task import Batch, ClassificationTask

HISTORY = ["epoch", "train_loss", "val_loss", "val_accuracy", "val_auroc"]


@dataclass(frozen=True)
class Images:
    """A split: grey uint8 `pixels` (N, S, S) and class `labels` (N,)."""

    pixels: NDArray[Any]
    labels: NDArray[Any]


def read_images(path: Path) -> Images:
    """A split from data/tensors."""
    tensors, _ = read_tensors(path)
    return Images(tensors["images"], tensors["labels"])


@dataclass(frozen=True)
class Batches:
    """The batches of one epoch: tensors already in memory, picked by row.

    `size` images in all, of which process `rank` of `world` takes every world-th.
    """

    images: Tensor
    labels: Tensor
    order: Tensor
    size: int
    view: View | None = None
    teacher: Tensor | None = None
    rank: int = 0
    world: int = 1

    def __len__(self) -> int:
        return -(-len(self.order) // self.size) if self.view is None else max(1, len(self.order) // self.size)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number in range(len(self)):  # the last, short training batch is dropped: BatchNorm needs full ones
            rows = self.order[number * self.size : (number + 1) * self.size][self.rank :: self.world]
            batch: dict[str, Any] = {"images": self.images[rows], "labels": self.labels[rows]}
            if self.view is not None:
                batch["view"] = self.view.rows(rows)
            if self.teacher is not None:
                batch["teacher"] = self.teacher[rows]
            yield batch


class ViewData(LightningDataModule):
    """Train and validation images in memory; epoch e shows view e (mod `view_count`, if given)."""

    def __init__(
        self,
        train: Images,
        val: Images,
        views: ViewParams,
        balance: BalanceParams,
        *,
        batch_size: int,
        seed: int,
        view_count: int | None,
        teacher: NDArray[np.float32] | None,
    ) -> None:
        super().__init__()
        self.views, self.batch_size, self.seed, self.view_count = views, batch_size, seed, view_count
        self.pixels, self.labels = torch.from_numpy(train.pixels), torch.from_numpy(train.labels).long()
        self.weights = None
        if balance.classes:
            self.weights = overlap_weights(self.pixels, self.labels, strength=balance.film_quality)
        self.val_pixels, self.val_labels = torch.from_numpy(val.pixels), torch.from_numpy(val.labels).long()
        self.teacher = None if teacher is None else torch.from_numpy(teacher)

    def train_dataloader(self) -> Batches:
        epoch, rank, world = 0, 0, 1
        if self.trainer:
            epoch, rank, world = self.trainer.current_epoch, self.trainer.global_rank, self.trainer.world_size
        if self.batch_size % world:
            raise CxrError(f"batch_size {self.batch_size} cannot be shared by {world} processes; make it a multiple")
        if self.weights is None:
            order = shuffled_order(len(self.labels), seed=self.seed, epoch=epoch)
        else:
            order = balanced_order(self.labels, self.weights, seed=self.seed, epoch=epoch)
        number = epoch if self.view_count is None else epoch % self.view_count
        return Batches(
            self.pixels,
            self.labels,
            order,
            self.batch_size,
            draw_view(len(self.labels), self.views, number=number),
            None if self.teacher is None else self.teacher[number],
            rank,
            world,
        )

    def val_dataloader(self) -> Batches:
        # Every process sees all of it: a small set, and the figures are then exact and the same everywhere.
        return Batches(self.val_pixels, self.val_labels, torch.arange(len(self.val_labels)), 64)

    def on_after_batch_transfer(self, batch: dict[str, Any], _: int) -> Batch:
        """Draw the view on the device that trains."""
        view = batch.pop("view", None)
        images = batch.pop("images")
        return {**batch, "pixels": network_input(images, None if view is None else view.to(images.device))}


class _BatchNormOfWholeImages(Callback):
    """Validation, and the weights that are kept, go with the statistics of images that are not views."""

    def __init__(self, data: ViewData) -> None:
        self.data = data

    def on_validation_start(self, _: Trainer, module: LightningModule) -> None:
        estimate_batchnorm(module.get_submodule("net"), self.data.pixels, self.data.labels)


class _History(Callback):
    """What every epoch came to, and if `best` the weights of the one with the least validation loss."""

    def __init__(self, *, seed: int, best: bool) -> None:
        self.seed, self.best = seed, best
        self.rows: list[dict[str, float]] = []
        self.weights: dict[str, Tensor] = {}

    def on_train_epoch_start(self, trainer: Trainer, _: LightningModule) -> None:
        # Dropout, where a network has it, must not depend on how often a run was resumed.
        torch.manual_seed((self.seed << 20) + trainer.current_epoch)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.rows.append({"epoch": trainer.current_epoch, **metrics})
        if self.best and metrics["val_loss"] <= min(row["val_loss"] for row in self.rows):
            self.weights = {name: tensor.detach().cpu().clone() for name, tensor in module.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows, self.weights = state["rows"], state["weights"]


def fit(
    task: ClassificationTask,
    train: Images,
    val: Images,
    views: ViewParams,
    balance: BalanceParams,
    trainer: TrainerParams,
    *,
    view_count: int | None = None,
    teacher: NDArray[np.float32] | None = None,
    resume: Path | None = None,
    low_memory: bool = False,
) -> pd.DataFrame:
    """Train `task.net` in place, keep the weights that its `keep` says, return the history.

    `teacher`: logits float32 (view_count, N, 3) for distillation. The result is a function of the arguments alone,
    whether or not the run goes on from an epoch that an earlier one left in the folder `resume`. `low_memory`: see
    `set_allocator`.
    """
    set_allocator(low_memory=low_memory)
    quiet_lightning()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory costs 4% of a step, and nothing here reads it unwritten.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    task.net.to(memory_format=torch.channels_last)
    data = ViewData(
        train,
        val,
        views,
        balance,
        batch_size=task.params.batch_size,
        seed=task.params.seed,
        view_count=view_count,
        teacher=teacher,
    )
    history = _History(seed=task.params.seed, best=task.params.keep == "best")
    callbacks: list[Callback] = [history, TQDMProgressBar(refresh_rate=10)]
    if balance.batchnorm == "images":
        callbacks.insert(0, _BatchNormOfWholeImages(data))
    left = None
    if resume is not None:
        arrays = [train.pixels, train.labels, val.pixels, val.labels, *([] if teacher is None else [teacher])]
        key = resume_key(task.net, [*task.settings, views, balance, trainer], [str(view_count)], arrays)
        every = EveryEpoch(resume, key)
        callbacks.append(every)
        left = every.left()
    fitting = Trainer(
        **trainer.model_dump(),
        max_epochs=task.params.epochs,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        enable_checkpointing=resume is not None,
        logger=False,
        enable_model_summary=False,
    )
    try:
        fitting.fit(task, datamodule=data, ckpt_path=left, weights_only=True)
    except SystemExit as stop:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stop
    if history.best:
        task.load_state_dict(history.weights)
    set_operating_point(task.net, data.val_pixels, data.val_labels, widths=balance.widths)
    return pd.DataFrame(history.rows)[HISTORY].round(6)


def set_allocator(*, low_memory: bool) -> None:
    """Tell glibc what to do with large buffers that a step has done with. Does nothing where the C library is another.

    By itself it gives them back, and asking for them anew, page by page, is a quarter of a small network's step: kept,
    they are there for the next one. `low_memory` gives back those above 2 MiB, so that a large network peaks at a tenth
    less.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        threshold, trim = (2 << 20, 512 << 20) if low_memory else (32 << 20, -1)  # 32 MiB is the most, -1 never
        mallopt(-3, threshold)  # M_MMAP_THRESHOLD, in bytes
        mallopt(-1, trim)  # M_TRIM_THRESHOLD


def quiet_lightning() -> None:
    """Silence Lightning's hints (use more workers, buy a logger); its errors still come through."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
