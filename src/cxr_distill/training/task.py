"""What is optimised: a base task for any image classifier, and cross-entropy on labels."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning import LightningModule
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import Params
from cxr_distill.nets.common.params import FitParams
from cxr_distill.training.operating_point import balanced_weights, screening_losses

Batch = dict[str, Tensor]
"""`pixels` (B, 1, S, S), `labels` (B,), and for distillation `teacher` logits (B, 3)."""


class ClassificationTask(LightningModule):
    """Optimiser, schedule, logging and validation; subclasses say what the loss is."""

    def __init__(self, net: nn.Module, params: FitParams) -> None:
        super().__init__()
        self.net = net
        self.params = params
        self.settings: list[Params] = [params]
        self._training: list[Tensor] = []
        self._validation: list[tuple[Tensor, Tensor]] = []

    def losses(self, batch: Batch, logits: Tensor) -> dict[str, Tensor]:
        """Named losses of a batch; `loss` is the one to minimise. logits (B, K) float32."""
        raise TypeError("use a task that says what its loss is")

    def training_step(self, batch: Batch, _: int) -> Tensor:
        # Losses are differences of small logarithms: half precision would round them away.
        loss = self.losses(batch, self.net(batch["pixels"]).float())["loss"]
        self._training.append(loss.detach())
        return loss

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
        train_loss = torch.stack(self._training).mean()
        self._training.clear()
        self.log("train_loss", train_loss, sync_dist=True)
        metrics: dict[str, Any] = {
            "val_loss": loss,
            "val_accuracy": float(((p >= 0.5) == sick).mean()),
            "val_auroc": float(roc_auc_score(sick, p)),
        }
        self.log_dict(metrics, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        # Biases and normalisation parameters are not decayed: the normalisation undoes it.
        matrices = [p for p in self.parameters() if p.ndim > 1]
        vectors = [p for p in self.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.params.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.params.learning_rate, fused=True)
        total = max(1, int(self.trainer.estimated_stepping_batches))
        warmup = max(1, total // 10)

        def share_of_peak(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))

        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share_of_peak)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class CrossEntropyTask(ClassificationTask):
    """Any network from labels alone."""

    def losses(self, batch: Batch, logits: Tensor) -> dict[str, Tensor]:
        return {"loss": cross_entropy(logits, batch["labels"], label_smoothing=self.params.label_smoothing)}
