"""The model card: what the released files are, for whom, how good they are, and where they fail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_distill.base.templates import render
from cxr_distill.screen.facts import Facts

Tree = Mapping[str, Any]
TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.j2"


def model_card(files: Mapping[str, str], facts: Facts, *, evaluation: Tree, checked: Tree) -> str:
    """Markdown, from SHA-256 by name of the released `files`, the `facts` in them, and the JSON of `compare` and
    `release`."""
    return render(
        TEMPLATE,
        files=files,
        facts=facts,
        student=evaluation["models"]["distilled"],
        dataset=evaluation["dataset"],
        source=evaluation.get("source"),
        synthetic=evaluation.get("synthetic", False),
        box_share=evaluation["comparison"]["box_share"]["test"],
        checked=checked,
    )
