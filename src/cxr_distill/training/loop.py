"""One training run: Lightning's loop, the weights that are kept, and the history."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import warnings
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import TQDMProgressBar
from torch import Tensor

from cxr_distill.nets.common.batchnorm import estimate_batchnorm
from cxr_distill.nets.common.params import FitSettings
from cxr_distill.nets.common.precision import trained_with
from cxr_distill.training.data import TrainingData, ViewData
from cxr_distill.training.operating_point import set_operating_point
from cxr_distill.training.resume import EveryEpoch, WholeCheckpoints, resume_key
from cxr_distill.training.sampling import balanced_order
from cxr_distill.training.task import Task

HISTORY = ("epoch", "train_loss", "val_loss", "val_accuracy", "val_auroc")
History = list[dict[str, float]]
"""A row an epoch, of HISTORY rounded to six digits."""


def fit(task: Task, data: TrainingData, settings: FitSettings) -> History:
    """Train `task.net` in place, keep the weights of the last or of the best epoch, return the history.

    On one kind of processor the result is a function of the arguments alone, also where the run goes on from an epoch
    that a killed one left in the folder `settings.resume`. Raises CxrError if the loss diverges, if a file cannot be
    written, or if this machine has not the processor that `settings.trainer` asks for.
    """
    trained = trained_with(settings.trainer)
    keep_buffers()
    quiet_lightning()
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory costs 4% of a step, and nothing here reads it unwritten.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    task.net.to(memory_format=torch.channels_last)
    films = ViewData(data, settings, task.schedule)
    history = _History(seed=task.schedule.seed, best=task.keeps_best)
    callbacks: list[Callback] = [history, TQDMProgressBar(refresh_rate=10)]
    if settings.balance.batchnorm == "images":
        callbacks.insert(0, _BatchNormOfWholeImages(films))
    left = None
    if settings.resume is not None:
        every = EveryEpoch(settings.resume, resume_key(task, settings, data, trained))
        every.remove_others()
        callbacks.append(every)
        left = every.left()
    each_epoch = settings.validate_after == "each" or history.best
    validates = settings.validate_after != "never"
    trainer = Trainer(
        **{**settings.trainer.model_dump(), "precision": trained["precision"]},
        max_epochs=task.schedule.epochs,
        callbacks=callbacks,
        plugins=[WholeCheckpoints()],
        reload_dataloaders_every_n_epochs=1,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=1 if each_epoch else task.schedule.epochs,
        limit_val_batches=1.0 if validates else 0,
        enable_checkpointing=settings.resume is not None,
        logger=False,
        enable_model_summary=False,
    )
    if trainer.is_global_zero:
        print(f"precision: {trained['precision']} on {trained['processor']}", flush=True)
    try:
        trainer.fit(task, datamodule=films, ckpt_path=left, weights_only=True)
    except SystemExit as stop:  # what Lightning makes of Ctrl-C
        raise KeyboardInterrupt from stop
    if history.best:
        task.load_state_dict(history.weights)
    if settings.operating_point is not None:
        set_operating_point(task.net, films.val_pixels, films.val_labels, settings.operating_point, films.val_boxes)
    return [{name: round(row[name], 6) for name in HISTORY if name in row} for row in history.rows]


class _BatchNormOfWholeImages(Callback):
    """Before validation, BatchNorm's statistics become those of whole training images; the kept weights have them."""

    def __init__(self, data: ViewData) -> None:
        self.data = data
        self.rows = balanced_order(data.labels, seed=0, epoch=0)

    def on_validation_start(self, _: Trainer, module: LightningModule) -> None:
        estimate_batchnorm(module.get_submodule("net"), self.data.pixels, self.rows)


class _History(Callback):
    """The figures of every epoch, and if `best` the weights of the one with the least validation loss."""

    def __init__(self, *, seed: int, best: bool) -> None:
        self.seed, self.best = seed, best
        self.rows: History = []
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


def keep_buffers() -> None:
    """Tell glibc to keep the large buffers that a step frees for the next step. Other C libraries are left alone.

    By default glibc returns them to the system, and getting them again, page by page, takes a quarter of a step.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, in bytes: the most that glibc takes
        mallopt(-1, -1)  # M_TRIM_THRESHOLD: never


def quiet_lightning() -> None:
    """Silence Lightning's hints (use more workers, buy a logger); its errors still come through."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
