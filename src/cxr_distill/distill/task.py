"""The task of a student that learns from labels and from a teacher."""

from __future__ import annotations

from torch import Tensor, nn

from cxr_distill.distill.losses import distillation_losses
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.params import FitParams
from cxr_distill.training.task import Batch, ClassificationTask


class DistillationTask(ClassificationTask):
    """A student from labels and a teacher's logits on the same views."""

    def __init__(self, net: nn.Module, params: FitParams, distill: DistillParams) -> None:
        super().__init__(net, params)
        self.distill = distill
        self.settings.append(distill)

    def losses(self, batch: Batch, answers: Tensor) -> dict[str, Tensor]:
        smoothing = self.params.label_smoothing
        return distillation_losses(answers, batch["teacher"], batch["labels"], self.distill, label_smoothing=smoothing)
