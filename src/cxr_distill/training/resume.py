"""Checkpoints from which a killed training goes on: one local file per run, replaced after every epoch.

The file's name is the hash of all that the result depends on, so that a run with other code, inputs, parameters or
versions starts from the beginning. It lies in a folder that neither Git nor DVC tracks.
"""

from __future__ import annotations

import platform
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.utilities import rank_zero_only

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import whole_file
from cxr_distill.base.imports import reached
from cxr_distill.nets.common.params import FitSettings
from cxr_distill.nets.common.precision import processor

if TYPE_CHECKING:
    from cxr_distill.training.data import TrainingData
    from cxr_distill.training.task import Task

SOURCE = Path(__file__).resolve().parents[2]
"""The folder of the package cxr_distill."""


def resume_key(task: Task, settings: FitSettings, data: TrainingData, trained: Mapping[str, str]) -> str:
    """Hex SHA-256 of all that a training depends on: starting weights, settings, arrays, code, versions and processor.

    The code is that of every module of this project that `fit`, the task or a layer of its network can import.
    """
    digest = sha256()

    def add(content: bytes) -> None:
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)

    versions = [torch.__version__, lightning.__version__, np.__version__, platform.python_version()]
    texts = [str(task.net), *(each.model_dump_json() for each in task.settings)]
    for text in [*texts, settings.model_dump_json(exclude={"resume"}), *trained.values(), *versions, processor()]:
        add(text.encode())
    modules = {"cxr_distill.training.loop", type(task).__module__, *(type(part).__module__ for part in task.modules())}
    for path in sorted(set().union(*(reached(module, SOURCE) for module in modules))):
        add(path.read_bytes())
    for name, tensor in task.net.state_dict().items():
        add(name.encode())
        add(tensor.cpu().contiguous().numpy().tobytes())
    for array in data.arrays():
        add(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class EveryEpoch(ModelCheckpoint):
    """The whole state of a run after every epoch, in `folder`/`key`.ckpt."""

    def __init__(self, folder: Path, key: str) -> None:
        super().__init__(folder, filename=key, save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True)
        self._folder, self._file = folder, folder / f"{key}.ckpt"

    def left(self) -> Path | None:
        """The file of an earlier, killed run, if there is one that can be read. A damaged one is written over later."""
        if not self._file.exists():
            return None
        try:
            torch.load(self._file, map_location="cpu", weights_only=True, mmap=True)
        except (OSError, MemoryError):  # says nothing about the file
            raise
        except Exception as error:
            if "memory" in str(error):
                raise
            return None
        return self._file

    @rank_zero_only
    def remove_others(self) -> None:
        """Remove what runs of another key left in the folder."""
        for other in self._folder.glob("*"):
            if other != self._file:
                other.unlink(missing_ok=True)


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning's checkpoints, written whole or not at all, and one clear error if the disk is full."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to the file `path`. Raises CxrError if that fails."""
        try:
            with whole_file(Path(path)) as beside, beside.open("wb") as file:
                torch.save(checkpoint, file)
        except RuntimeError as error:  # how torch reports a full disk
            if isinstance(error, CxrError):
                raise
            reason = str(error).splitlines()[0]
            raise CxrError(f"cannot write {path} ({reason}); is the disk full?") from error
