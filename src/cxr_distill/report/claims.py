"""Sentences that claim something, each with the condition over committed results under which it is true.

They stand as data in a YAML file beside the texts that use them: `NAME: {holds: CONDITION, says: SENTENCE}`, both in
Jinja. People write them, a program fills in the figures, and a test names each one that a new run has made false.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from jinja2 import UndefinedError

from cxr_distill.base.templates import Figure, centre, environment


class Claim(NamedTuple):
    """holds: a Jinja expression, true or false. says: the sentence, with its figures as Jinja expressions."""

    holds: str
    says: str


Claims = Mapping[str, Claim]


def read_claims(path: Path) -> dict[str, Claim]:
    """The claims of a file by name."""
    return {name: Claim(**each) for name, each in yaml.safe_load(path.read_text()).items()}


def said(claims: Claims, values: Mapping[str, Any]) -> dict[str, str]:
    """The sentences by name, with their figures; one that is not true of these results is empty."""
    false = untrue(claims, values)
    return {name: "" if name in false else sentence(claim, values) for name, claim in claims.items()}


def sentence(claim: Claim, values: Mapping[str, Any]) -> str:
    """Its sentence with these figures; `of` and `plus` show an estimate, or a difference, without its interval."""
    return environment().from_string(claim.says).render(values, of=_of, plus=_plus).strip()


def untrue(claims: Claims, values: Mapping[str, Any]) -> list[str]:
    """The names of the claims that these results do not bear out, or that name a figure which is not there."""
    return [name for name, claim in claims.items() if not _holds(claim, values)]


def _holds(claim: Claim, values: Mapping[str, Any]) -> bool:
    try:
        sentence(claim, values)
        return environment().compile_expression(claim.holds, undefined_to_none=False)(**values) is True
    except UndefinedError:
        return False


def _of(figure: Figure) -> str:
    return f"{centre(figure):.3f}"


def _plus(difference: Figure) -> str:
    return f"{centre(difference):+.3f}"
