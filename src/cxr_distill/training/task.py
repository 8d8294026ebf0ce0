"""What is optimised: a base task with optimiser and schedule, one for any image classifier, and cross-entropy."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning import LightningModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import Params
from cxr_distill.base.probabilities import auroc
from cxr_distill.nets.common.params import FitParams, ScheduleParams
from cxr_distill.training.operating_point import balanced_weights, screening_losses

Batch = dict[str, Tensor]
"""`pixels` (B, 1, S, S), `labels` (B,), `affine` (B, 2, 3) of their view, for distillation `teacher` logits (B, K)."""


class Task(LightningModule):
    """A network with optimiser, schedule and training step; subclasses say what the loss is."""

    def __init__(self, net: nn.Module, schedule: ScheduleParams) -> None:
        super().__init__()
        self.net = net
        self.schedule = schedule
        self.settings: list[Params] = [schedule]
        self.keeps_best = False  # the weights of the epoch with the least validation loss, not of the last
        self._training: list[Tensor] = []

    def losses(self, batch: Batch, answers: Tensor) -> dict[str, Tensor]:
        """Named losses of a batch; `loss` is the one to minimise. answers (B, K) float32 of the network."""
        raise TypeError("use a task that says what its loss is")

    def on_train_epoch_start(self) -> None:
        self._training.clear()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        # Losses are differences of small logarithms: half precision would round them away.
        loss = self.losses(batch, self.net(batch["pixels"]).float())["loss"]
        self._training.append(loss.detach())
        return loss

    def train_loss(self) -> Tensor:
        """The mean loss of this epoch's steps."""
        return torch.stack(self._training).mean()

    def configure_optimizers(self) -> Any:
        # Biases and normalisation parameters are not decayed: the normalisation undoes it.
        matrices = [p for p in self.parameters() if p.ndim > 1]
        vectors = [p for p in self.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.schedule.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.schedule.learning_rate, fused=True)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = max(1, total // 10)

        def share_of_peak(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share_of_peak)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class ClassificationTask(Task):
    """A classifier of films, validated by what screening asks: normal or pneumonia."""

    def __init__(self, net: nn.Module, params: FitParams) -> None:
        super().__init__(net, params)
        self.params = params
        self.keeps_best = params.keep == "best"
        self._validation: list[tuple[Tensor, Tensor]] = []

    def validation_step(self, batch: Batch, _: int) -> None:
        self._validation.append((self.net(batch["pixels"]).float(), batch["labels"]))

    def on_validation_epoch_end(self) -> None:
        logits, labels = (torch.cat(parts) for parts in zip(*self._validation, strict=True))
        self._validation.clear()
        if not logits.isfinite().all():
            raise CxrError(f"the loss became NaN or infinite in epoch {self.current_epoch}; lower learning_rate")
        # The validation loss asks what screening asks, normal or pneumonia: the loss of bacterial against viral is so
        # large that it would hide it. Both classes weigh equally, as in training.
        loss = (screening_losses(logits, labels) * balanced_weights(labels)).mean()
        p = p_pneumonia(logits.cpu().numpy())
        sick = (labels > 0).cpu().numpy()
        # Once an epoch: logging at every step would cost 4% of a small network's time.
        self.log("train_loss", self.train_loss(), sync_dist=True)
        metrics: dict[str, Any] = {
            "val_loss": loss,
            "val_accuracy": float(((p >= 0.5) == sick).mean()),
            "val_auroc": auroc(sick, p),
        }
        self.log_dict(metrics, prog_bar=True, sync_dist=True)


class CrossEntropyTask(ClassificationTask):
    """Any network from labels alone."""

    def losses(self, batch: Batch, answers: Tensor) -> dict[str, Tensor]:
        return {"loss": cross_entropy(answers, batch["labels"], label_smoothing=self.params.label_smoothing)}
