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
from cxr_distill.nets.common.precision import SINGLE
from cxr_distill.nets.common.views import draw_view


def make_soft_targets(
    teacher: nn.Module,
    images: NDArray[np.uint8],
    rows: Tensor,
    views: ViewParams,
    *,
    count: int,
    precision: str = SINGLE,
) -> NDArray[np.float32]:
    """Teacher logits float32 (count, N, 3) for views 0 to count - 1 of grey uint8 `images` (N, S, S).

    The teacher sees views, so its BatchNorm statistics are first gathered on view 0 of the images `rows`.
    """
    estimate_batchnorm(teacher, torch.from_numpy(images), rows, view=draw_view(len(images), views, number=0))
    return np.stack(
        [
            predict_logits(teacher, images, view=draw_view(len(images), views, number=number), precision=precision)
            for number in trange(count, desc="soft targets", unit="view")
        ]
    )
