"""Files that appear whole or not at all: each is written under a temporary name and then renamed."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_distill.base.errors import CxrError

if TYPE_CHECKING:
    import pandas as pd


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary path beside `path`: it replaces `path` if the block succeeds and is removed if the block fails.

    Temporary files that killed processes of this machine left there are removed first. Raises CxrError if the disk
    refuses.
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
    except OSError as error:
        raise CxrError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        with suppress(OSError):  # on a read-only disk, removing a file fails even if there is none
            beside.unlink(missing_ok=True)


def _runs(pid: int) -> bool:
    try:
        import psutil
    except ModuleNotFoundError:  # the screening package comes without psutil: remove nothing unasked
        return True
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`. Raises CxrError if the disk refuses."""
    with whole_file(path) as beside:
        beside.write_bytes(content)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write indented JSON. Raises ValueError on NaN and infinities, which standard JSON does not have."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def write_table(path: Path, table: pd.DataFrame, *, digits: int | None = None) -> None:
    """Write a CSV file without row numbers, floats rounded to `digits` decimals if given."""
    if digits is not None:
        table = table.round(digits)
    with whole_file(path) as beside:
        table.to_csv(beside, index=False, lineterminator="\n")


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file without pandas; a value that a row lacks is left empty."""
    with whole_file(path) as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    digest = sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
