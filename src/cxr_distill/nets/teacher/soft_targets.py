"""The teacher's answers to the views that students will see."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import trange

from cxr_distill.nets.common.batchnorm import estimate_batchnorm
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.params import ViewParams
from cxr_distill.nets.common.precision import CPU, FP32
from cxr_distill.nets.common.views import draw_view


def make_soft_targets(
    teacher: nn.Module,
    images: NDArray[np.uint8],
    rows: Tensor,
    views: ViewParams,
    *,
    count: int,
    boxes: NDArray[np.float32] | None = None,
    precision: str = FP32,
    device: torch.device = CPU,
) -> NDArray[np.float32]:
    """Teacher logits float32 (count, N, 3) for views 0 to count - 1 of grey uint8 `images` (N, S, S).

    `boxes` (N, 4) of the lungs, where the images are films whose frames the views exchange. The teacher sees views, so
    its BatchNorm statistics are first gathered on view 0 of the images `rows`.
    """
    where = None if boxes is None else torch.from_numpy(boxes)
    first = draw_view(len(images), views, number=0, boxes=where)
    estimate_batchnorm(teacher.to(device), torch.from_numpy(images), rows, view=first)
    logits = []
    for number in trange(count, desc="soft targets", unit="view"):
        view = draw_view(len(images), views, number=number, boxes=where)
        logits.append(predict_logits(teacher, images, view=view, precision=precision, device=device))
    return np.stack(logits)
