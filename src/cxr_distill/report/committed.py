"""Committed results: JSON files that texts quote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cxr_distill.base.errors import CxrError


def read_committed(path: Path) -> dict[str, Any]:
    """A JSON file of results. Raises CxrError if it is missing or damaged."""
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise CxrError(f"cannot read {path}: {error}; run `dvc repro`") from error
