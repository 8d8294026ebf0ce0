"""Where the archive comes from and what it must hold, and how one that is at hand is copied."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile, ZipFile

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import whole_file
from cxr_distill.base.params import Params, PositiveInt


class ClassCounts(Params):
    """Images per class folder."""

    NORMAL: PositiveInt
    PNEUMONIA: PositiveInt


class SplitCounts(Params):
    """Images per official folder of the archive."""

    train: ClassCounts
    val: ClassCounts
    test: ClassCounts


class DataParams(Params):
    """Section `data`. The module of each source checks the parameters of that source."""

    source: Literal["kaggle", "phantom", "films"]
    films: dict[str, Any]
    kaggle: dict[str, Any]
    phantom: dict[str, Any]
    expected_counts: SplitCounts


def copy_archive(source: Path, target: Path) -> None:
    """Copy the zip at `source` to `target`, whole or not at all. Raises CxrError if it is missing or no zip."""
    from tqdm import tqdm  # not with the parameters, which each stage reads before it imports anything large

    check_zip(source, advice="point CXR_ARCHIVE at the data set's zip")
    try:
        with (
            whole_file(target) as beside,
            source.open("rb") as reader,
            beside.open("wb") as writer,
            tqdm(total=source.stat().st_size, desc="copy archive", unit="B", unit_scale=True) as progress,
        ):
            while block := reader.read(1 << 20):
                writer.write(block)
                progress.update(len(block))
    except OSError as error:
        raise disk_error(error) from None


def check_zip(path: Path, *, advice: str) -> None:
    """Raises CxrError unless `path` is a zip whose directory can be read and which holds files."""
    try:
        with ZipFile(path) as archive:
            if not archive.namelist():
                raise BadZipFile("it is empty")
    except FileNotFoundError:
        raise CxrError(f"{path} does not exist; {advice}") from None
    except (BadZipFile, OSError, ValueError) as error:
        raise CxrError(f"{path} is not a whole zip ({error}); {advice}") from None


def disk_error(error: OSError) -> CxrError:
    """What to do about what the disk refused."""
    if error.errno == errno.ENOSPC:
        return CxrError("the disk is full; the archive needs 5 GB while it is downloaded")
    return CxrError(f"cannot store the archive: {error.strerror or type(error).__name__}")
