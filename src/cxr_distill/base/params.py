"""Typed parameters: a section of params.yaml becomes a frozen object, or one line that names each wrong key."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from cxr_distill.base.errors import CxrError

_SCIENTIFIC = re.compile(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+")


def _yaml_number(value: Any) -> Any:
    # YAML 1.1 reads 1e-3 (no dot) as a string, although a person means a number.
    if isinstance(value, str) and _SCIENTIFIC.fullmatch(value):
        return float(value)
    return value


Number = Annotated[float, BeforeValidator(_yaml_number), Field(allow_inf_nan=False)]
"""A finite float; integers and `1e-3` are accepted, other strings and booleans are not."""

PositiveNumber = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(gt=0)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]


class Params(BaseModel):
    """A section of params.yaml: unknown keys, wrong types and values out of range are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


ParamsT = TypeVar("ParamsT", bound=Params)


def parse(kind: type[ParamsT], values: Any, section: str) -> ParamsT:
    """`values` (a mapping) as `kind`; `section` is its key in params.yaml, used in messages.

    Raises CxrError with every wrong key in one line.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        wrong = [
            f"{'.'.join([section, *map(_printable, e['loc'])])}: {e['msg']} (got {e['input']!r:.80})"
            for e in error.errors()
        ]
        raise CxrError("params.yaml: " + "; ".join(wrong)) from None


def _printable(key: str | int) -> str:
    text = str(key)
    return text if text.isprintable() else repr(text)
