"""Checkpoints from which a killed training goes on: one local file per run, replaced after every epoch.

The file's name is the hash of all that the result depends on, so that a run with other code, inputs, parameters or
versions starts from the beginning. It lies in a folder that neither Git nor DVC tracks.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO
from numpy.typing import NDArray
from torch import nn

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import whole_file
from cxr_distill.base.params import Params
from cxr_distill.nets.common.precision import processor


def resume_key(net: nn.Module, settings: Sequence[Params], more: Sequence[str], arrays: Sequence[NDArray[Any]]) -> str:
    """Hex SHA-256 of the starting weights of `net`, its structure, `settings`, `arrays`, code, versions and threads."""
    digest = sha256()

    def add(content: bytes) -> None:
        digest.update(len(content).to_bytes(8, "little"))
        digest.update(content)

    versions = [torch.__version__, lightning.__version__, np.__version__, platform.python_version()]
    machine = [processor()]
    modules = [module for name, module in sorted(sys.modules.items()) if name.split(".")[0] == "cxr_distill"]
    for text in [str(net), *(item.model_dump_json() for item in settings), *more, *versions, *machine]:
        add(text.encode())
    for module in modules:
        if module.__file__:
            add(Path(module.__file__).read_bytes())
    for name, tensor in net.state_dict().items():
        add(name.encode())
        add(tensor.cpu().contiguous().numpy().tobytes())
    for array in arrays:
        add(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class EveryEpoch(ModelCheckpoint):
    """The whole state of a run after every epoch, in `folder`/`key`.ckpt; files of other runs there are removed."""

    def __init__(self, folder: Path, key: str) -> None:
        super().__init__(folder, filename=key, save_top_k=1, enable_version_counter=False, save_on_train_epoch_end=True)
        self._folder, self._key = folder, key

    def left(self) -> Path | None:
        """The file of an earlier, killed run, if there is one that can be read."""
        path = self._folder / f"{self._key}.ckpt"
        for other in self._folder.glob("*"):
            if other != path:
                other.unlink(missing_ok=True)
        try:
            torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except Exception:  # missing, damaged or of a kind that is not loaded: start afresh
            path.unlink(missing_ok=True)
            return None
        return path


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
