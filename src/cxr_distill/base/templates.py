"""Text from a Jinja template: people write its words, programs fill in figures, which look as defined here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

Figure = Mapping[str, Any]
"""{value or mean, low, high}: an estimate with its 95% interval."""


def environment(folder: Path | None = None) -> Environment:
    """Where templates of `folder` are filled: in HTML (`*.html.j2`) values are escaped, in Markdown they are not.

    A figure becomes text by one of the filters `interval`, `signed`, `points` and `side`, which are the functions
    below. A name without a value raises jinja2.UndefinedError, so that no report has a gap.
    """
    made = Environment(
        loader=FileSystemLoader(folder) if folder else None,
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters |= {"interval": interval, "signed": signed, "points": points, "side": side}
    return made


def render(template: Path, **values: Any) -> str:
    """The template filled with `values`. Raises jinja2.UndefinedError for a name without a value."""
    return environment(template.parent).get_template(template.name).render(values)


def centre(figure: Figure) -> float:
    """The estimate itself."""
    return float(figure["mean"] if "mean" in figure else figure["value"])


def interval(figure: Figure, digits: int = 3) -> str:
    """`0.937 [0.917, 0.956]`, or without an interval `0.937`."""
    bounds = f" [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]" if "low" in figure else ""
    return f"{centre(figure):.{digits}f}{bounds}"


def signed(difference: Figure) -> str:
    """`+0.008 [+0.004, +0.013]`; four digits where three would hide on which side of 0 a number is."""
    numbers = [centre(difference), difference["low"], difference["high"]]
    digits = 4 if any(number and abs(number) < 0.0005 for number in numbers) else 3
    middle, low, high = (f"{round(number, digits) + 0.0:+.{digits}f}" for number in numbers)  # no negative zero
    return f"{middle} [{low}, {high}]"


def points(difference: Figure) -> str:
    """`+6.6 points [+4.2, +9.3]` of a difference of two shares."""
    middle, low, high = (f"{100 * n:+.1f}" for n in (centre(difference), difference["low"], difference["high"]))
    return f"{middle} points [{low}, {high}]"


def side(difference: Figure) -> str:
    """The fixed phrase for where the 95% interval of a difference lies."""
    if difference["low"] > 0:
        return "the 95% interval lies above 0"
    return "the 95% interval lies below 0" if difference["high"] < 0 else "the 95% interval includes 0"
