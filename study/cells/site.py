"""A student of the site of `plan.site`, with random first weights or those of a release that never saw its patients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.weights import fill
from cxr_distill.training.data import Images, TrainingData
from cxr_distill.training.loop import fit
from cxr_distill.training.task import CrossEntropyTask
from study.cells.network import Tensors, chosen, framed
from study.plan.site import SiteRows, SiteSetting

WEIGHT = "weight:"


def train_at_site(
    setting: SiteSetting, films: Mapping[str, Images], rows: SiteRows, release: Tensors | None = None
) -> Tensors:
    """Log-odds of pneumonia of the site's films that no student has, `held_out` (see `network.framed`).

    films: train and val. The release also has its weights, WEIGHT + name, the first ones of others; a single number has
    the shape (1,).
    """
    both = joined(films["train"], films["val"])
    net = build_student(setting.student, classes=setting.classes)
    if setting.student.init == "release":
        assert release is not None
        fill(net, {name: _weight(release[f"{WEIGHT}{name}"], tensor) for name, tensor in net.state_dict().items()})
    data = TrainingData(chosen(both, rows.learned), chosen(both, rows.judged))
    fit(CrossEntropyTask(net, setting.student), data, setting.fit)
    tensors = framed(net, chosen(both, rows.held_out), "held_out", frame_seed=setting.frame_seed)
    if setting.films == 0:
        tensors |= {
            f"{WEIGHT}{name}": np.atleast_1d(each.detach().numpy()).copy() for name, each in net.state_dict().items()
        }
    return tensors


def _weight(values: NDArray[Any], like: Tensor) -> Tensor:
    return torch.from_numpy(np.array(values)).reshape(like.shape)


def joined(first: Images, second: Images) -> Images:
    """The films of both, one after the other."""
    assert first.boxes is not None and second.boxes is not None
    return Images(
        np.concatenate([first.pixels, second.pixels]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.boxes, second.boxes]),
    )
