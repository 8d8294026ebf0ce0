"""What the stages of the study share: its own params file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from cxr_distill.base.errors import CxrError
from cxr_distill.base.params import ParamsT, parse
from cxr_distill.nets.common.params import BalanceParams, SoftTargetParams, TrainerParams, ViewParams
from cxr_distill.nets.student.params import StudentParams
from stages import load_params

PARAMS = "study/params.yaml"


def load_sections() -> dict[str, Any]:
    """All of study/params.yaml, unchecked. Raises CxrError if it cannot be read."""
    try:
        sections = yaml.safe_load(Path(PARAMS).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise CxrError(f"cannot read {PARAMS}: {' '.join(str(error).split())}") from error
    if not isinstance(sections, dict):
        raise CxrError(f"{PARAMS} has no sections")
    return sections


def checked(kind: type[ParamsT], values: Any, section: str) -> ParamsT:
    """`values` of `section` of study/params.yaml as `kind`, or CxrError that names the wrong key."""
    try:
        return parse(kind, values, section)
    except CxrError as error:
        raise CxrError(f"study/{error}") from None


def load_cell(kind: type[ParamsT], section: str, name: str) -> ParamsT:
    """The cell `name` of `section` (alone, taught). Raises CxrError if it is missing or wrong."""
    cells = load_sections().get(section) or {}
    if name not in cells:
        raise CxrError(f"{PARAMS} has no {section}.{name}")
    return checked(kind, cells[name], f"{section}.{name}")


def cell_name(section: str) -> str:
    """The name on the command line. Raises CxrError if there is none."""
    if len(sys.argv) != 2:
        raise CxrError(f"say which network: python -m stages.study.{section} NAME, a name of `{section}` in {PARAMS}")
    return sys.argv[1]


def load_settings() -> tuple[StudentParams, ViewParams, SoftTargetParams, BalanceParams, TrainerParams]:
    """What a cell changes, and what it trains with: sections of ./params.yaml. Raises CxrError if one is wrong."""
    return (
        load_params("student", StudentParams),
        load_params("views", ViewParams),
        load_params("soft_targets", SoftTargetParams),
        load_params("balance", BalanceParams),
        load_params("trainer", TrainerParams),
    )
