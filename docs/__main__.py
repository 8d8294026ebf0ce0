"""`python -m docs`: fill the marked places of README.md and docs/, and draw docs/architecture.svg.

What stands between `<!-- figures: NAME -->` and `<!-- /figures -->` comes from docs/places/NAME.md.j2: tables of
committed results, and sentences of study/report/claims.yaml.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from jinja2 import UndefinedError

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import write_bytes
from cxr_distill.base.templates import render
from cxr_distill.report.claims import read_claims, said
from cxr_distill.report.committed import read_committed
from docs import architecture

ROOT = Path(__file__).resolve().parent.parent
PICTURE = "docs/architecture.svg"
PLACES = ROOT / "docs" / "places"
WEBSITE = ""
"""Where the site of `make site` is published, e.g. `https://NAME.github.io/cxr-distill/`; empty: nowhere yet."""
CLAIMS = ROOT / "study" / "report" / "claims.yaml"
CAPTURED = ROOT / "docs" / "captured"
"""What commands printed, by `make screenshots`."""
RESULTS = {"study": "study/results.json", "evaluation": "reports/evaluation.json", "release": "reports/release.json"}
"""Name in the templates -> the committed file of that name."""
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- /figures -->)", re.S)


def pages() -> list[Path]:
    """The pages that may have marked places."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def values() -> dict[str, Any]:
    """What a template of PLACES may name."""
    committed = {name: read_committed(ROOT / file) for name, file in RESULTS.items()}
    captured = {path.stem: path.read_text().rstrip() for path in sorted(CAPTURED.glob("*.txt"))}
    says = said(read_claims(CLAIMS), committed)
    made = {"website": WEBSITE, "room_table": architecture.room_table}
    return {**committed, **made, "says": says, "captured": captured}


def filled(page: str, known: dict[str, Any]) -> str:
    """The text of a page with its marked places filled from `known`. Raises CxrError if one cannot be."""

    def place(match: re.Match[str]) -> str:
        template = PLACES / f"{match[2]}.md.j2"
        if not template.exists():
            raise CxrError(f"no template {template.relative_to(ROOT)} for the place {match[2]}")
        try:
            return f"{match[1]}{render(template, **known).strip()}\n{match[3]}"
        except UndefinedError as error:
            raise CxrError(f"{template.relative_to(ROOT)}: {error}") from error

    return MARKED.sub(place, page)


def main() -> int:
    try:
        known = values()
        texts = {page: filled(page.read_text(), known) for page in pages()}
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for page, text in texts.items():
        write_bytes(page, text.encode())
    write_bytes(ROOT / PICTURE, architecture.picture())
    return 0


if __name__ == "__main__":
    sys.exit(main())
