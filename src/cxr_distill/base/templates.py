"""Text from a Jinja template: the words are in the template, the figures in the code that fills it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


def render(template: Path, **values: Any) -> str:
    """The template filled with `values`; in HTML (`*.html.j2`) values are escaped, in Markdown they are not.

    Raises jinja2.UndefinedError for a name without a value, so that no report has a gap.
    """
    environment = Environment(
        loader=FileSystemLoader(template.parent),
        undefined=StrictUndefined,
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(template.name).render(values)
