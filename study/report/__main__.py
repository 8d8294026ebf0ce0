"""What people read of the study, from committed files alone: seconds, in a clone without any cache."""

import sys
from base64 import b64encode
from pathlib import Path

import stages  # noqa: F401  # by which cxr_distill is found
from stages.running import run

STUDY = Path("study")
REPORTS = STUDY / "reports"
CLAIMS = STUDY / "report" / "claims.yaml"
FRAMES = STUDY / "report" / "frames.png"
"""Synthetic films, as they are and changed, by `make screenshots`."""
LINKED = ("gains", "site")  # by README.md and docs/; the others are in the page alone


def main() -> None:
    from markdown_it import MarkdownIt
    from markupsafe import Markup

    from cxr_distill.base.files import write_bytes
    from cxr_distill.base.templates import render
    from cxr_distill.evaluation.figures import png, svg
    from cxr_distill.report.claims import read_claims, said
    from cxr_distill.report.committed import read_committed
    from study.report.plots import pictures
    from study.report.tables import TEMPLATES, values_of

    study, evaluation = read_committed(STUDY / "results.json"), read_committed(Path("reports/evaluation.json"))
    values, claims = values_of(study, evaluation), read_claims(CLAIMS)
    about = {"study": study, "evaluation": evaluation}
    values["says"] = dict.fromkeys(claims, "") if values["synthetic"] else said(claims, about)
    if left_out := [name for name, sentence in values["says"].items() if not sentence]:
        print(f"left out, because these results do not bear them out: {', '.join(left_out)}", file=sys.stderr)
    embedded = {"frames": f"data:image/png;base64,{b64encode(FRAMES.read_bytes()).decode()}"}
    for name, figure in pictures(values):
        embedded[name] = f"data:image/svg+xml;base64,{b64encode(svg(figure)).decode()}"
        if name in LINKED:
            write_bytes(REPORTS / f"{name}.png", png(figure))
    report = render(TEMPLATES / "study.md.j2", **values)
    write_bytes(REPORTS / "study.md", report.encode())
    markdown = MarkdownIt("commonmark", {"html": False})  # which escapes what is no Markdown

    def inline(text: str) -> Markup:
        return Markup(markdown.renderInline(text))

    page = render(TEMPLATES / "study.html.j2", pictures=embedded, inline=inline, **values)
    write_bytes(REPORTS / "study.html", page.encode())
    print(report)


if __name__ == "__main__":
    run(main)
