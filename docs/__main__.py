"""`python -m docs`: fill the marked places of README.md and docs/, and draw docs/architecture.svg.

What stands between `<!-- figures: NAME -->` and `<!-- /figures -->` is replaced by what PLACES says.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import write_bytes
from docs import architecture, figures

ROOT = Path(__file__).resolve().parent.parent
STUDY, EVALUATION, RELEASE = "study/results.json", "reports/evaluation.json", "reports/release.json"
PICTURE = "docs/architecture.svg"
MARKED = re.compile(r"(<!-- figures: (\w+) -->\n).*?(<!-- /figures -->)", re.S)
WIDTH = 120
PLACES: dict[str, Callable[[], str]] = {
    "answer": lambda: figures.answer(figures.read_results(STUDY), figures.read_results(RELEASE)),
    "seeds": lambda: figures.seeds_table(figures.read_results(STUDY)),
    "released": lambda: figures.released(figures.read_results(STUDY), figures.read_results(EVALUATION)),
    "study": lambda: figures.study_answers(figures.read_results(STUDY)),
    "site": lambda: figures.at_site(figures.read_results(STUDY)),
    "reads": lambda: figures.reads(figures.read_results(EVALUATION)),
    "rooms": architecture.room_table,
}
"""Name of a place -> its text."""


def pages() -> list[Path]:
    """The pages that may have marked places."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def filled(page: str) -> str:
    """The text of a page with its marked places filled. Raises CxrError for a place that nothing fills."""

    def place(match: re.Match[str]) -> str:
        if match[2] not in PLACES:
            raise CxrError(f"no such place: {match[2]}; docs/__main__.py has {', '.join(PLACES)}")
        return f"{match[1]}{_wrapped(PLACES[match[2]]())}\n{match[3]}"

    return MARKED.sub(place, page)


def _wrapped(text: str) -> str:
    lines = []
    for line in text.splitlines():
        indent = "  " if line.startswith("- ") else ""
        whole = line.startswith("|") or not line
        lines += [line] if whole else textwrap.wrap(line, WIDTH, subsequent_indent=indent, break_on_hyphens=False)
    return "\n".join(lines)


def main() -> int:
    try:
        texts = {page: filled(page.read_text()) for page in pages()}
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for page, text in texts.items():
        write_bytes(page, text.encode())
    write_bytes(ROOT / PICTURE, architecture.picture())
    return 0


if __name__ == "__main__":
    sys.exit(main())
