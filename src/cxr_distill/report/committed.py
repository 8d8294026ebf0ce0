"""Committed results, whose keys have had other names in earlier versions of this project."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from cxr_distill.base.errors import CxrError

OLD = {
    "other_frame": "reframed",
    "lungs_minus_films": "lungs_minus_film",
    "films_minus_alone": "film_minus_baseline",
    "taught_minus_alone": "distilled_minus_baseline",
    "operating_point_alone": "operating_point_only",
    "distillation_alone": "distillation_only",
    "alone": "baseline",
    "taught_by": "teacher_sees",
    "taught": "distilled",
    "refused": "rejected",
    "nothing": "random",
    "regime": "augmentation",
    "views_minus_no_views": "with_minus_without",
    "no_views": "without",
    "views": "with",
}
"""A key, or the end of one after `_`, in results before December 2026 -> what it is now. The first that fits counts."""
_END = re.compile(f"(^|_)({'|'.join(OLD)})$")


def read_committed(path: Path) -> dict[str, Any]:
    """A JSON file of results under the keys of today. Raises CxrError if it is missing or damaged."""
    try:
        return dict(renamed(json.loads(path.read_text())))
    except (OSError, ValueError, TypeError) as error:
        raise CxrError(f"cannot read {path}: {error}; run `dvc repro`") from error


def renamed(values: Any) -> Any:
    """The same tree with each key of OLD replaced."""
    if isinstance(values, list):
        return [renamed(each) for each in values]
    if not isinstance(values, dict):
        return values
    return {_today(key, value): renamed(value) for key, value in values.items()}


def _today(key: str, value: Any) -> str:
    if key == "films" and isinstance(value, dict):  # a teacher that sees films; elsewhere it is their number
        return "film"
    return _END.sub(lambda match: match[1] + OLD[match[2]], key)
