"""The model card: what the released files are, for whom, how good they are, and where they fail."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cxr_distill.base.templates import render

Tree = Mapping[str, Any]
TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.j2"


def model_card(evaluation: Tree, released: Tree) -> str:
    """Markdown, from reports/evaluation.json and reports/release.json."""
    return render(
        TEMPLATE,
        files=released["files"],
        facts=released["facts"],
        student=evaluation["models"]["distilled"],
        dataset=evaluation["dataset"],
        source=evaluation.get("source"),
        synthetic=evaluation.get("synthetic", False),
        box_share=evaluation["comparison"]["box_share"]["test"],
        checked=released,
    )
