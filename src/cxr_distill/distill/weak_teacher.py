"""What to do with a teacher that knows no more than the student."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn

from cxr_distill.base.classes import p_pneumonia
from cxr_distill.base.probabilities import auroc
from cxr_distill.distill.params import DistillParams
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.precision import CPU
from cxr_distill.training.data import Images


def without_a_weaker_teacher(
    distill: DistillParams, teacher: float, student: nn.Module, val: Images, *, device: torch.device = CPU
) -> tuple[DistillParams, dict[str, str]]:
    """`distill` with alpha 0 and the reason as `alpha`, if the `student` that has learned already is as good.

    teacher: its AUROC on the validation films `val`. Else `distill` as it is, and no reason.
    """
    # Of a copy, because it leaves a network in eval mode, in which it would be trained.
    logits = predict_logits(deepcopy(student), val.pixels, device=device)
    own = auroc(val.labels > 0, p_pneumonia(logits))
    if teacher > own:
        return distill, {}
    reason = (
        f"0, because the teacher is not better: its AUROC on validation is {teacher:.4f}, that of the released student "
        f"{own:.4f}"
    )
    print(f"alpha: {reason}", flush=True)
    return distill.model_copy(update={"alpha": 0.0}), {"alpha": reason}
