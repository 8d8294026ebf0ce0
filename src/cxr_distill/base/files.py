"""Files that appear whole or not at all: written beside their place, then moved into it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cxr_distill.base.errors import CxrError

if TYPE_CHECKING:
    import pandas as pd

METADATA = "cxr-distill"


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that replaces it if the block ends well, and is removed if not.

    What a killed process left half-written there is removed first.
    """
    start = f".{path.name}.{platform.node()}."
    beside = path.with_name(f"{start}{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in path.parent.glob(f"{escape(start)}*.part"):
            pid = left.suffixes[-2].removeprefix(".")
            if pid.isdigit() and not _runs(int(pid)):
                left.unlink()
        yield beside
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise CxrError(f"cannot write {path}: {reason}") from error
    finally:
        with suppress(OSError):  # on a read-only disk even what is not there cannot be removed
            beside.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def write_bytes(path: Path, content: bytes) -> None:
    """A file with this content."""
    with whole_file(path) as beside:
        beside.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Pretty JSON; NaN and infinities are refused, since no JSON reader agrees on them."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def write_table(path: Path, table: pd.DataFrame, *, digits: int | None = None) -> None:
    """A CSV file without row numbers; floats rounded to `digits`, or as they are."""
    if digits is not None:
        table = table.round(digits)
    with whole_file(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """A safetensors file of named arrays with string metadata; equal content gives equal bytes."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    # safetensors writes its metadata entries in no fixed order, so that they go into one entry.
    entry = {METADATA: json.dumps(dict(metadata or {}), sort_keys=True)}
    with whole_file(path) as beside:
        save_file(contiguous, beside, entry)


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays and metadata of a safetensors file. Raises CxrError if it is missing or damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise CxrError(f"cannot read {path}: {error}; run `dvc repro` or `dvc checkout`") from error


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
