"""What a stage reads of params.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import ParamsT, parse

PARAMS = Path("params.yaml")
OLD = {
    "start": "student.init (random or release)",
    "balance.widths": "operating_point.widths",
    "balance.frames": "operating_point.frames",
    "release.refused": "release.rejected",
}
"""Keys of earlier versions -> what they are now."""


def load_params(section: str, kind: type[ParamsT], *, path: Path = PARAMS) -> ParamsT:
    """The section (a dotted key) of the file `path` as `kind`. Raises CxrError if it is missing or wrong."""
    return parse(kind, read_section(section, path=path), section)


def read_section(section: str, *, path: Path = PARAMS) -> Any:
    """The section (a dotted key) of a params file, unchecked. Raises CxrError if it is missing."""
    try:
        everything = yaml.safe_load(path.read_text())
        values: Any = everything
        for key in section.split("."):
            values = values[key]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CxrError(f"cannot read {path}: {' '.join(str(error).split())}") from error
    except (KeyError, TypeError):
        _name_old_keys(everything, path)
        raise CxrError(f"{path} has no section {section}") from None
    _name_old_keys(everything, path)
    return values


def _name_old_keys(everything: Any, path: Path) -> None:
    if not isinstance(everything, dict):
        return
    for old, new in OLD.items():
        section, _, key = old.partition(".")
        if section in everything and (not key or key in (everything[section] or {})):
            raise CxrError(f"{path}: {old} is now {new}; rename it")
