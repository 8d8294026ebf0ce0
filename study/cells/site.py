"""A student of the site of `plan.site`, from random weights or from a release that never saw its patients."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from cxr_distill.evaluation.frames import reframed
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.student.network import build_student
from cxr_distill.nets.student.weights import fill
from study.cells.network import Tensors, chosen
from study.plan.site import SiteRows, SiteSetting
from cxr_distill.training.data import Images
from cxr_distill.training.loop import fit
from cxr_distill.training.task import CrossEntropyTask

WEIGHT = "weight:"


def train_at_site(
    setting: SiteSetting, films: Mapping[str, Images], rows: SiteRows, release: Tensors | None
) -> Tensors:
    """Logits float32 (N, 3) on the site's films that no student has, `held_out` and `held_out_reframed`.

    films: train and val. The release also has its weights, WEIGHT + name, with which `release` starts others; a single
    number has the shape (1,).
    """
    both = joined(films["train"], films["val"])
    net = build_student(setting.student, classes=setting.classes)
    if setting.start == "release":
        assert release is not None
        weights = {name: values for name, values in release.items() if name.startswith(WEIGHT)}
        shapes = {f"{WEIGHT}{name}": tensor.shape for name, tensor in net.state_dict().items()}
        fill(
            net,
            {
                name.removeprefix(WEIGHT): torch.from_numpy(np.array(each)).reshape(shapes[name])
                for name, each in weights.items()
            },
        )
    fit(
        CrossEntropyTask(net, setting.student),
        chosen(both, rows.learned),
        chosen(both, rows.judged),
        setting.views,
        setting.balance,
        setting.trainer,
        view_count=setting.view_count,
        validate="last",
    )
    held_out = chosen(both, rows.held_out)
    assert held_out.boxes is not None
    moved = reframed(held_out.pixels, held_out.boxes, held_out.labels, seed=setting.frame_seed)
    tensors = {"held_out": held_out.pixels, "held_out_reframed": moved}
    tensors = {name: predict_logits(net, pixels) for name, pixels in tensors.items()}
    if setting.films == 0:
        tensors |= {
            f"{WEIGHT}{name}": np.atleast_1d(each.detach().numpy()).copy() for name, each in net.state_dict().items()
        }
    return tensors


def joined(first: Images, second: Images) -> Images:
    """The films of both, one after the other."""
    assert first.boxes is not None and second.boxes is not None
    return Images(
        np.concatenate([first.pixels, second.pixels]),
        np.concatenate([first.labels, second.labels]),
        np.concatenate([first.boxes, second.boxes]),
    )
