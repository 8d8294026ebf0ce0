"""Named arrays in safetensors files: images, weights, logits. Equal content gives equal bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import whole_file

METADATA = "cxr-distill"


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str] | None = None) -> None:
    """Write arrays of any shape and dtype under their names, with metadata. Raises CxrError if the disk refuses."""
    contiguous = {name: np.ascontiguousarray(array) for name, array in tensors.items()}
    # safetensors writes its metadata entries in no fixed order, so all metadata goes into one entry.
    entry = {METADATA: json.dumps(dict(metadata or {}), sort_keys=True)}
    with whole_file(path) as beside:
        try:
            save_file(contiguous, beside, entry)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def read_tensors(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """The arrays and metadata of a safetensors file. Raises CxrError if it is missing or damaged."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA, "{}"))
            return {name: file.get_tensor(name) for name in file.keys()}, metadata  # noqa: SIM118
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise CxrError(f"cannot read {path}: {error}; run `dvc repro` or `dvc checkout`") from error
