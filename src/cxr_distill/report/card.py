"""The model card: what the released files are, for whom, how good they are, and where they fail."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cxr_distill.base.files import file_sha256
from cxr_distill.base.templates import render
from cxr_distill.report.committed import read_committed

Tree = Mapping[str, Any]
TEMPLATE = Path(__file__).parent / "templates" / "model_card.md.j2"


def read_release(path: Path, folder: Path) -> dict[str, Any]:
    """reports/release.json. Before December 2026 it had no `files` and `facts`: they are those in `folder`."""
    released = read_committed(path)
    if "facts" not in released:
        from cxr_distill.screen.session import load_model

        released["files"] = {file.name: file_sha256(file) for file in sorted(folder.glob("*.onnx"))}
        released["facts"] = asdict(load_model(folder / "cxr-distill.onnx").facts)
    return released


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
