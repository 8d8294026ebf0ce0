"""CSV files with the columns that a reader needs, or one line that says what is missing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cxr_distill.base.errors import CxrError


def read_csv(path: Path, columns: list[str]) -> pd.DataFrame:
    """A CSV file that must have `columns`. Raises CxrError if the file is missing or damaged, or lacks one of them."""
    try:
        # A patient called "NA" stays a string. Floats come back as the exact numbers that were written.
        table = pd.read_csv(path, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise CxrError(f"cannot read {path}: {' '.join(str(error).split())}; run `dvc repro`") from error
    if missing := sorted(set(columns) - set(table)):
        raise CxrError(f"{path} lacks {', '.join(missing)}; run `dvc repro`")
    return table


def read_index(path: Path) -> pd.DataFrame:
    """The index of images that `preprocess` writes: one row per image. Raises CxrError as `read_csv` does."""
    return read_csv(path, ["file", "label", "subtype", "patient", "split", "width", "height"])
