"""The model card: what the released files are, for whom, how good they are, and where they fail."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

from cxr_distill.base.templates import render
from cxr_distill.screen.facts import Facts

Tree = Mapping[str, Any]

TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.j2"


def model_card(
    files: Mapping[str, bytes],
    facts: Facts,
    *,
    evaluation: Tree,
    dataset: Tree,
    checked: Tree,
    box_share: float,
    synthetic: bool,
) -> str:
    """Markdown from the released `files` and their `facts`, and from the figures that `evaluate`, `preprocess` and
    `check_release` give.

    box_share: of a test film, that the box of the lungs fills.
    """
    return render(
        TEMPLATE,
        files={name: sha256(content).hexdigest() for name, content in files.items()},
        facts=facts,
        evaluation=evaluation,
        dataset=dataset,
        checked={**checked, "refused": checked["rejected"]},  # the name in the template
        box_share=box_share,
        synthetic=synthetic,
    )
