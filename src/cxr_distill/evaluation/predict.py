"""What a network says of the films of one split, as they are and changed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_distill.base.classes import mean_answer
from cxr_distill.evaluation.frames import share_in_lungs, variants
from cxr_distill.evaluation.predictions import AS_IT_IS, PLACES, REFRAMED, REFRAMED_ANY, Predicted
from cxr_distill.nets.common.activation import activation_maps, enlarged, has_activation_maps
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.precision import CPU


def predict(
    net: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    boxes: NDArray[np.float32] | None,
    *,
    seed: int,
    device: torch.device = CPU,
) -> Predicted:
    """Logits of grey uint8 `images` (N, S, S) as they are and as each of `frames.variants`.

    boxes: (N, 4) of the lungs; None for lungs that are cut out of a film, which are the same however it is framed.
    """
    own = predict_logits(net, images, device=device)
    if boxes is None:
        same = {place: [own] * len(PLACES[place]) for place in (REFRAMED, REFRAMED_ANY)}
        return Predicted({AS_IT_IS: [own], **same}, None)
    changed = {
        name: [predict_logits(net, each, device=device) for each in draws]
        for name, draws in variants(images, boxes, labels, seed=seed)
    }
    share = None
    if has_activation_maps(net):
        share = share_in_lungs(enlarged(activation_maps(net, images)[0], images.shape[-1]), boxes)
    return Predicted({AS_IT_IS: [own], **changed}, share)


def mean_prediction(each: Sequence[Predicted]) -> Predicted:
    """The mean of the probabilities for several pictures of the same films; those for one picture as they are.

    Of the changes that each of them has; a mean has no activation maps.
    """
    if len(each) == 1:
        return each[0]
    places = [place for place in each[0].logits if all(place in one.logits for one in each)]
    return Predicted(
        {
            place: [mean_answer(draws) for draws in zip(*(one.logits[place] for one in each), strict=True)]
            for place in places
        },
        None,
    )
