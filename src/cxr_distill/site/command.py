"""`cxr-evaluate`: how good a released model is on films with labels, on this machine. A research tool."""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from cxr_distill.base.errors import CxrError
from cxr_distill.base.files import whole_file
from cxr_distill.screen.command import add_model_options, chosen_model, finished
from cxr_distill.screen.verdicts import Verdict, screen_files
from cxr_distill.site.evaluate import evaluate_films
from cxr_distill.site.labels import Labelled, read_labelled, with_headers
from cxr_distill.site.report import report, summary

EPILOG = """
LABELS is a CSV table with the columns file and label (NORMAL or 0, PNEUMONIA or 1), and if you have them patient and
any others; or a folder with the folders NORMAL and PNEUMONIA. File names are relative to the table.

The output folder gets report.md, evaluation.json, films.csv (one row per film: it has your file names), site.json (an
operating point for `cxr-screen --site`), and with `pip install '.[report]'` the picture evaluation.png.

exit status: 0 the films were evaluated; 2 they were not; 130 interrupted

No image leaves this computer. This is a research tool, not a medical device.
"""

RESULTS = REPORT, FIGURES, FILMS, SITE, PICTURE = (
    "report.md", "evaluation.json", "films.csv", "site.json", "evaluation.png"
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status: 0 if the films were evaluated, else 2."""
    options = _parser().parse_args(arguments)
    return finished(lambda: _evaluate(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-evaluate",
        description="Evaluate a released model on chest X-rays with labels.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("labels", type=Path, metavar="LABELS", help="a CSV table, or a folder with class folders")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        metavar="DIR",
        default=Path("cxr-evaluation"),
        help="where the results go (cxr-evaluation)",
    )
    parser.add_argument(
        "--by",
        action="append",
        default=[],
        metavar="COLUMN",
        type=str.lower,
        help="also gives the figures for each value of this column, or of age (in bands), sex, view or device in DICOM "
        "headers; may be repeated",
    )
    parser.add_argument(
        "--sensitivity",
        type=share,
        default=0.95,
        metavar="SHARE",
        help="the threshold in site.json finds this share of pneumonia (0.95)",
    )
    parser.add_argument(
        "--prevalence",
        type=share,
        metavar="SHARE",
        help="calculates predictive values for this share of pneumonia (that of the films)",
    )
    parser.add_argument("--name", default="this site", help="name of your site, for site.json (this site)")
    add_model_options(parser)
    return parser


def share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ValueError
    return value


def _evaluate(options: argparse.Namespace) -> int:
    if options.labels.resolve() in {(options.output / name).resolve() for name in RESULTS}:
        raise CxrError(f"{options.labels} would be overwritten by a result; name another folder with -o")
    model = chosen_model(options)
    films = with_headers(read_labelled(options.labels), options.by)
    if missing := [name for name in options.by if any(name not in film.columns for film in films)]:
        raise CxrError(f"{options.labels} has no column {missing[0]!r} whose values can be compared")
    if not options.name.isprintable():
        raise CxrError("--name must be one line of text")
    screened = screen_files([film.file for film in films], model, reject=False)
    verdicts = list(tqdm(screened, total=len(films), desc="films", unit="film", disable=None))
    result, site = evaluate_films(
        films,
        verdicts,
        model,
        by=options.by,
        sensitivity=options.sensitivity,
        prevalence=options.prevalence,
        name=options.name,
        date=datetime.now(UTC).astimezone().date().isoformat(),
    )
    out: Path = options.output
    drawn = _picture(films, verdicts, result)
    _write(
        out,
        {
            REPORT: report(result, site, own_prevalence=options.prevalence is not None).encode(),
            FIGURES: _json(result),
            FILMS: _table(films, verdicts, options.by).encode(errors="backslashreplace"),
            SITE: _json(site.to_dict()) if site else None,
            PICTURE: drawn,
        },
    )
    print(summary(result, site))
    print(f"\n{out}/report.md has all figures." + ("" if drawn else " For a picture: pip install '.[report]'"))
    return 0


def _table(films: Sequence[Labelled], verdicts: Sequence[Verdict], by: Sequence[str]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "label", "p_pneumonia", "reason", *by])
    for film, verdict in zip(films, verdicts, strict=True):
        probability: Any = "" if verdict.p_pneumonia is None else verdict.p_pneumonia
        cells = [film.columns[name] for name in by]
        writer.writerow([film.file, film.label, probability, verdict.reason or "", *cells])
    return text.getvalue()


def _json(content: dict[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def _write(folder: Path, files: Mapping[str, bytes | None]) -> None:
    """Write all of `files` or, if the disk is full, none. One without content is removed: it is of an earlier
    evaluation."""
    if taken := [folder / name for name in files if (folder / name).is_dir()]:
        raise CxrError(f"cannot write {taken[0]}: it is a folder")
    with ExitStack() as stack:
        for name, content in files.items():
            if content is not None:
                stack.enter_context(whole_file(folder / name)).write_bytes(content)
    for name in (name for name, content in files.items() if content is None and (folder / name).exists()):
        try:
            (folder / name).unlink()
        except OSError as error:
            raise CxrError(
                f"cannot remove {folder / name}, which is of an earlier evaluation: {error.strerror}"
            ) from None
        print(f"{folder / name} was of an earlier evaluation and is removed", file=sys.stderr)


def _picture(films: Sequence[Labelled], verdicts: Sequence[Verdict], result: dict[str, Any]) -> bytes | None:
    """The PNG, if Matplotlib is installed."""
    try:
        from cxr_distill.site.picture import evaluation_picture
    except ModuleNotFoundError:
        return None
    read = [(f.label, v.p_pneumonia) for f, v in zip(films, verdicts, strict=True) if not v.unreadable]
    labels, probabilities = (np.array(column) for column in zip(*read, strict=True))
    return evaluation_picture(labels, probabilities, result)


if __name__ == "__main__":
    sys.exit(main())
