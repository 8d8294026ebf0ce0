"""What people read of the study, from committed files alone: seconds, in a clone without any cache."""

from base64 import b64encode
from pathlib import Path

import stages  # noqa: F401  # by which cxr_distill is found
from stages.running import run

STUDY = Path("study")
REPORTS = STUDY / "reports"
LINKED = ("gains", "reads", "site", "size")  # by README.md and docs/; the others are in the page alone


def main() -> None:
    from cxr_distill.base.files import write_bytes
    from cxr_distill.base.templates import render
    from cxr_distill.evaluation.figures import png, svg
    from cxr_distill.report.committed import read_committed
    from study.report.plots import pictures
    from study.report.tables import TEMPLATES, values_of

    values = values_of(read_committed(STUDY / "results.json"), read_committed(Path("reports/evaluation.json")))
    embedded = {}
    for name, figure in pictures(values):
        embedded[name] = f"data:image/svg+xml;base64,{b64encode(svg(figure)).decode()}"
        if name in LINKED:
            write_bytes(REPORTS / f"{name}.png", png(figure))
    report = render(TEMPLATES / "study.md.j2", **values)
    write_bytes(REPORTS / "study.md", report.encode())
    write_bytes(REPORTS / "study.html", render(TEMPLATES / "study.html.j2", pictures=embedded, **values).encode())
    print(report)


if __name__ == "__main__":
    run(main)
