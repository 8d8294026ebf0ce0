"""The weights of one student as the start of another."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from cxr_distill.base.errors import CxrError
from cxr_distill.nets.common.layers import OperatingPoint


def fill(net: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Give `net` the `weights` of a student of three classes; one of two classes gets the mean of both pneumonias.

    The shift of the operating point goes into the bias, because training finds a new one. Raises CxrError if the
    students are of other shapes.
    """
    *_, (head, linear), (point, last) = net.named_children()
    assert isinstance(linear, nn.Linear) and isinstance(last, OperatingPoint)
    try:
        weight, bias = weights[f"{head}.weight"], weights[f"{head}.bias"].clone()
        bias[0] += weights[f"{point}.normal"]
        if linear.out_features < len(bias):
            # log(e^a + e^b) is (a + b) / 2 + log 2 where a = b, and never less than that.
            weight = torch.stack([weight[0], weight[1:].mean(dim=0)])
            bias = torch.stack([bias[0], bias[1:].mean() + math.log(2)])
        changed = {f"{head}.weight": weight, f"{head}.bias": bias, f"{point}.normal": torch.zeros(())}
        net.load_state_dict({**weights, **changed})
    except (KeyError, RuntimeError) as error:
        raise CxrError(
            "student.init: release needs a student of the released shape; set student.arch and student.channels as "
            "they were, or student.init: random"
        ) from error
