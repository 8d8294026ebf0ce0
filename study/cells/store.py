"""Finished cells, one file each under the hash of all that it depends on, in a folder outside the work tree."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cxr_distill.base.errors import CxrError
from cxr_distill.base.tensors import read_tensors, write_tensors

VARIABLE = "CXR_CELL_STORE"


def default_store() -> Path:
    """The folder that CXR_CELL_STORE names, or `cxr-distill/cells` in the user's cache folder."""
    if named := os.environ.get(VARIABLE):
        return Path(named).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "cxr-distill" / "cells"


def open_store(folder: Path) -> Path:
    """The folder as a whole path, made if it is not there. Raises CxrError if nothing can be written to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            return folder.resolve()
    except OSError as error:
        raise CxrError(f"cannot keep finished cells in {folder}: {error.strerror or error}; set {VARIABLE}") from error


def write_cell(store: Path, key: str, tensors: Mapping[str, NDArray[Any]]) -> None:
    """Keep the result of a cell. Raises CxrError if the disk refuses."""
    write_tensors(_path(store, key), tensors, {"sha256": _digest(tensors)})


def read_cell(store: Path, key: str) -> dict[str, NDArray[Any]] | None:
    """The result of a cell, or None if the store has none that is whole."""
    try:
        tensors, metadata = read_tensors(_path(store, key))
    except CxrError:
        return None
    return tensors if metadata.get("sha256") == _digest(tensors) else None


def write_folder(folder: Path, cells: Mapping[str, Mapping[str, NDArray[Any]]], trained: Mapping[str, str]) -> None:
    """Make `folder` hold NAME.safetensors of each cell, with `trained` as metadata, and nothing else.

    Raises CxrError if the disk refuses.
    """
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise CxrError(f"cannot empty {folder}: {error.strerror or error}") from error
    for name, tensors in cells.items():
        write_tensors(folder / f"{name}.safetensors", tensors, trained)


def _path(store: Path, key: str) -> Path:
    return store / f"{key}.safetensors"


def _digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    digest = sha256()
    for name, array in sorted(tensors.items()):
        digest.update(f"{name} {array.dtype} {array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
