"""A teacher's logits for whole training images, and how hard a teacher pulls on a student."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.tensors import read_tensors, write_tensors
from cxr_distill.distill.task import DistillationTask
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.views import View, network_input
from cxr_distill.training.loop import Images
from cxr_distill.training.sampling import balanced_order, shuffled_order

GRADIENT_ROWS = 512


def whole_key(*, teacher: Path, train: Path) -> dict[str, str]:
    """What the logits depend on: hashes of the weights file and of the training tensors."""
    return {"teacher": file_sha256(teacher), "train": file_sha256(train)}


def whole_targets(teacher: nn.Module, images: NDArray[np.uint8], *, batch_size: int) -> dict[str, NDArray[np.float32]]:
    """Logits float32 (N, 3) of uint8 `images` (N, S, S) by mode of the teacher's BatchNorm.

    eval: its own statistics. train: those of the batch, which is what a teacher gives under which nobody called
    `eval()`; batches of at least `batch_size` in seeded order.
    """
    careless = deepcopy(teacher).train().to(memory_format=torch.channels_last)
    pixels = torch.from_numpy(images)
    order = shuffled_order(len(pixels), seed=0, epoch=0)
    with torch.no_grad():
        batches = [
            careless(network_input(pixels[rows])) for rows in order.tensor_split(max(1, len(order) // batch_size))
        ]
    train = torch.empty_like(torch.cat(batches))
    train[order] = torch.cat(batches)
    return {"eval": predict_logits(teacher, images), "train": train.numpy()}


def write_whole_targets(path: Path, logits: dict[str, NDArray[np.float32]], key: dict[str, str]) -> None:
    """Logits by mode, with their key."""
    write_tensors(path, logits, key)


def read_whole_targets(path: Path, key: dict[str, str], *, mode: str) -> NDArray[np.float32]:
    """Logits float32 (1, N, 3), as of one view. Raises CxrError if they were made from anything but `key`."""
    tensors, found = read_tensors(path)
    if found != key or not np.isfinite(tensors[mode]).all():
        raise CxrError(f"{path} was made from another teacher or other images; run `dvc repro study/dvc.yaml:targets`")
    return tensors[mode][None]


def kl_gradient_share(task: DistillationTask, train: Images, teacher: NDArray[Any], view: View) -> float:
    """The teacher's share of the pull on the weights as they are: |g_kl| / (|g_ce| + |g_kl|), in [0, 1].

    g_ce and g_kl are the gradients of the two parts of the loss, weighted as in it, over GRADIENT_ROWS balanced rows
    of `train` under `view`, of which `teacher` (N, classes) are the logits.
    """
    labels = torch.from_numpy(train.labels).long()
    rows = balanced_order(labels, seed=0, epoch=0)[:GRADIENT_ROWS]
    net = deepcopy(task.net).train()
    logits = net(network_input(torch.from_numpy(train.pixels)[rows], view.rows(rows)))
    losses = task.losses({"teacher": torch.from_numpy(teacher)[rows], "labels": labels[rows]}, logits)
    ce = (1 - task.distill.alpha) * losses["ce"]
    weights = list(net.parameters())
    pulls = [
        torch.cat([g.flatten() for g in torch.autograd.grad(part, weights, retain_graph=True)]).norm()
        for part in (ce, losses["loss"] - ce)
    ]
    return float(pulls[1] / (pulls[0] + pulls[1]))
