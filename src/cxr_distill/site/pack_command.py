"""`cxr-pack`: films with labels as one archive for the pipeline, without anything else that names a patient."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

from cxr_distill.base.errors import CxrError
from cxr_distill.films.files import is_folder
from cxr_distill.films.header import FACTS
from cxr_distill.screen.command import finished
from cxr_distill.site.command import share
from cxr_distill.site.labels import read_labelled, with_headers
from cxr_distill.site.pack import Packed, pack, read_key

LONGEST = 300
FEW = 400
"""Test patients: with as many, the 95% interval of an accuracy is at most 0.05 to each side."""
EPILOG = """
LABELS is a CSV table with the columns file and label (NORMAL or 0, PNEUMONIA or 1), and if you have them patient,
subtype (bacterial, viral) and split (train, val, test); or a folder with the folders NORMAL and PNEUMONIA.

The archive holds grey pictures at full size and a manifest. DICOM headers and file names do not travel. Patients become
keyed hashes. The key lies beside the archive: keep it secret, never send it with the archive, and do not lose it. Text
that is burned into the pixels is NOT removed.

exit status: 0 the archive was written; 2 it was not; 130 interrupted
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status: 0 if the archive was written, else 2."""
    options = _parser().parse_args(arguments)
    return finished(lambda: _pack(options))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-pack",
        description="Pack chest X-rays with labels into one archive for the pipeline.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("labels", type=Path, metavar="LABELS", help="a CSV table, or a folder with class folders")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", required=True, help="the archive: films.zip")
    parser.add_argument(
        "--keep", action="append", default=[], metavar="COLUMN", type=str.lower,
        help="also packs this column, or age (in bands), sex, view or device of DICOM headers; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--about", type=_line, default="", metavar="TEXT",
        help="where the films come from; the model card repeats it: 'adults, St. Ann, 2019 to 2024'",
    )  # fmt: skip
    parser.add_argument(
        "--key", type=Path, metavar="FILE", help="the key of the hashes (as films.key beside films.zip)"
    )
    parser.add_argument(
        "--test",
        type=share,
        default=0.2,
        metavar="SHARE",
        help="share of the patients for testing, if the table has no split (0.2)",
    )
    return parser


def _line(text: str) -> str:
    if not text.isprintable() or len(text) > LONGEST:
        raise argparse.ArgumentTypeError(f"not one line of at most {LONGEST} characters")
    return text


def _pack(options: argparse.Namespace) -> int:
    keep = [name for name in options.keep if name != "subtype"]  # which always travels
    films = with_headers(read_labelled(options.labels), keep)
    unknown = [name for name in keep if any(name not in film.columns for film in films)]
    if unknown:
        raise CxrError(f"{options.labels} has no column {unknown[0]!r}; DICOM headers give only {', '.join(FACTS)}")
    output: Path = options.output
    if not output.name or is_folder(output):
        raise CxrError(f"{output} is a folder; name a file, as in -o films.zip")
    beside: Path = options.key or output.with_suffix(".key")
    if beside.resolve() == output.resolve():
        raise CxrError(f"{output} would take the place of the key; give the archive another name, as films.zip")
    new = not beside.exists()
    key = read_key(beside, output)
    packed = pack(films, output, key=key, keep=keep, test_share=options.test, about=options.about)
    print(_summary(packed, output, named=all(film.patient is not None for film in films)))
    if new:
        print(f"{beside} is a new key. With it, patients have other hashes than with an earlier key: keep it.")
    return 0


def _summary(packed: Packed, output: Path, *, named: bool) -> str:
    lines = [f"{output}: {packed.films:,} films of {packed.patients:,} patients; SHA-256 {packed.sha256}"]
    lines += [f"  {place}: {count:,}" for place, count in packed.counts.items()]
    if 0 < packed.tested < FEW:
        error = 1.96 * math.sqrt(0.25 / packed.tested)
        lines.append(f"{packed.tested} patients for testing are few: an accuracy is uncertain by up to {error:.2f}.")
    if packed.copies:
        lines.append(f"{packed.copies:,} exact copies were left out.")
    if not named:
        lines.append("Films without a patient count as a patient each. If patients have several films, add the column.")
    lines.append("Text burned into the pixels was not removed. Look at the films before they go anywhere.")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
