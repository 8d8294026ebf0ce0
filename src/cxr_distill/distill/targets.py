"""A teacher's logits for views of the training images, kept with the key of what they were made from.

Logits are worth keeping only with the view that they belong to: the key covers the teacher's weights, the images and
every knob of the views, and a file with another key is refused.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import trange

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import file_sha256
from cxr_distill.base.tensors import read_tensors, write_tensors
from cxr_distill.nets.common.logits import predict_logits
from cxr_distill.nets.common.params import ViewParams
from cxr_distill.nets.common.views import draw_view
from cxr_distill.training.sampling import estimate_batchnorm


def target_key(*, teacher: Path, train: Path, views: ViewParams) -> dict[str, str]:
    """What soft targets depend on: hashes of the weights file and the training tensors, and the views' knobs."""
    return {
        "teacher": file_sha256(teacher),
        "train": file_sha256(train),
        "views": sha256(views.model_dump_json().encode()).hexdigest(),
    }


def make_soft_targets(
    teacher: nn.Module, images: NDArray[np.uint8], labels: NDArray[np.uint8], views: ViewParams, *, count: int
) -> NDArray[np.float32]:
    """Teacher logits float32 (count, N, 3) for views 0..count-1 of grey uint8 `images` (N, S, S) with `labels` (N,)."""
    estimate_batchnorm(
        teacher, torch.from_numpy(images), torch.from_numpy(labels), view=draw_view(len(images), views, number=0)
    )
    return np.stack(
        [
            predict_logits(teacher, images, view=draw_view(len(images), views, number=number))
            for number in trange(count, desc="soft targets", unit="view")
        ]
    )


def write_soft_targets(path: Path, logits: NDArray[np.float32], key: dict[str, str]) -> None:
    """Logits (V, N, 3) and their key as safetensors."""
    write_tensors(path, {"logits": logits}, key)


def read_soft_targets(path: Path, key: dict[str, str], *, count: int) -> NDArray[np.float32]:
    """Logits float32 (count, N, 3). Raises CxrError if they were made from anything but `key`."""
    tensors, found = read_tensors(path)
    wrong = [name for name, value in key.items() if found.get(name) != value]
    if wrong:
        raise CxrError(f"{path} was made from another {' and '.join(wrong)}; run `dvc repro soft_targets`")
    logits = tensors["logits"]
    if len(logits) < count or not np.isfinite(logits).all():
        raise CxrError(f"{path} holds {len(logits)} usable views, not {count}; run `dvc repro soft_targets`")
    return logits[:count]
