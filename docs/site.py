"""`python -m docs.site [FOLDER]`: the static site, by default in .site: landing page, article, screener, model card.

It needs the packages of `npm ci --prefix app`. Same inputs give the same bytes, and no page asks another origin.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from jinja2 import UndefinedError
from markdown_it import MarkdownIt
from PIL import Image

from app.build import CARD, build
from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import write_bytes
from cxr_distill.base.templates import render
from docs.__main__ import ROOT, values

TEMPLATES = ROOT / "docs/website"
GAINS = "study/reports/gains.png"


def make_site(target: Path) -> None:
    """Write the site into the folder `target`, which is emptied first. Raises CxrError if a part of it is missing."""
    known = values()
    shutil.rmtree(target, ignore_errors=True)
    build(ROOT / "release", target / "screen")
    card = MarkdownIt("commonmark", {"html": False}).enable("table").render((ROOT / "release" / CARD).read_text())
    try:
        with Image.open(ROOT / GAINS) as gains:
            picture = {"width": gains.width, "height": gains.height}
        for page in ("index", "card"):
            text = render(TEMPLATES / f"{page}.html.j2", card=card, picture=picture, **known)
            write_bytes(target / f"{page}.html", text.encode())
    except UndefinedError as error:
        raise CxrError(f"docs/website: {error}") from error
    for source in ("study/reports/study.html", GAINS, "app/icon.svg", "docs/website/site.css"):
        shutil.copyfile(ROOT / source, target / Path(source).name)


def main() -> int:
    try:
        make_site(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".site")
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
