"""`cxr-screen`: screen chest X-rays for pneumonia on this machine. A research tool, not a medical device."""

from __future__ import annotations

import argparse
import csv
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from PIL import Image

from cxr_distill.base.errors import CxrError
from cxr_distill.films.pixels import MAX_PIXELS
from cxr_distill.screen.session import load_model
from cxr_distill.screen.verdicts import Verdict, find_files, screen_files

ALL_SCREENED, CANNOT_RUN, SOME_REFUSED, SOME_UNREADABLE, INTERRUPTED = 0, 2, 3, 4, 130
EPILOG = """
exit status:
  0    every file was screened
  2    nothing was screened: wrong usage, no files, no model, or an output that cannot be written
  3    some files were refused, because they do not look like an upright frontal chest X-ray
  4    some files could not be read (and others may have been refused)
  130  interrupted

No image leaves this computer. P is the network's probability of pneumonia; the calibrated one is for a place where
normal and pneumonia are equally common. A research tool, not a medical device: what it says is no diagnosis.
"""
PROGRESS_SECONDS = 5.0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = _parser().parse_args(arguments)
    warnings.simplefilter("ignore")  # decoders warn; what matters is in the verdicts
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice this, inside DICOM files too
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a file's name need not be text
    try:
        return _screen(options)
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        return CANNOT_RUN
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough; nothing is left to be flushed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CANNOT_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-screen",
        description="Screen chest X-rays for pneumonia: JPEG, PNG, BMP, TIFF and DICOM files, and folders of them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="FILE|FOLDER", help="folders are searched to the bottom")
    parser.add_argument("--json", action="store_true", help="print a JSON object per file instead of a line to read")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write a table")
    parser.add_argument("--heatmap", type=Path, metavar="DIR", help="also write where each film spoke for pneumonia")
    parser.add_argument("--no-refuse", action="store_true", help="a probability for whatever picture it is")
    parser.add_argument("--int8", action="store_true", help="the smaller model, with whole-number arithmetic")
    parser.add_argument(
        "--model", type=Path, metavar="FILE", help="another released model than the one that came along"
    )
    return parser


def _screen(options: argparse.Namespace) -> int:
    model = load_model(
        options.model or _installed_model("cxr-distill-int8.onnx" if options.int8 else "cxr-distill.onnx")
    )
    files = list(find_files(options.paths))
    if not files:
        raise CxrError(f"no files in {', '.join(map(_printable, options.paths))}")
    try:
        if options.heatmap:
            options.heatmap.mkdir(parents=True, exist_ok=True)
        with _table(options.csv) as table:
            verdicts = screen_files(files, model, refuse=not options.no_refuse, heatmaps=options.heatmap)
            return _report(verdicts, len(files), table, as_json=options.json)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise CxrError(f"cannot write {error.filename or 'the results'}: {error.strerror}") from None


def _installed_model(name: str) -> Path:
    here = Path(__file__).resolve().parent
    for folder in (here.parent / "released", here.parents[2] / "release"):  # a wheel's, a checkout's
        if (folder / name).is_file():
            return folder / name
    raise CxrError(f"{name} did not come with this installation; name a released model with --model")


@contextmanager
def _table(path: Path | None) -> Iterator[Any]:
    """A CSV writer, or None; rows are in the file as soon as they are known."""
    if path is None:
        yield None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace", buffering=1) as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Verdict)])
        yield writer


def _report(verdicts: Iterator[Verdict], count: int, table: Any, *, as_json: bool) -> int:
    refused = unreadable = sick = 0
    said = time.monotonic()
    for done, verdict in enumerate(verdicts, start=1):
        refused += verdict.refused
        unreadable += verdict.unreadable
        sick += verdict.decision == "pneumonia"
        print(json.dumps(asdict(verdict)) if as_json else _line(verdict), flush=count == 1)
        if table:
            table.writerow(asdict(verdict).values())
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            print(f"{done} of {count} files", file=sys.stderr)
    sys.stdout.flush()
    if count > 1:
        screened = count - refused - unreadable
        print(f"{screened} screened ({sick} pneumonia), {refused} refused, {unreadable} unreadable", file=sys.stderr)
    return SOME_UNREADABLE if unreadable else SOME_REFUSED if refused else ALL_SCREENED


def _line(verdict: Verdict) -> str:
    name = _printable(verdict.file)
    if verdict.unreadable:
        return f"{name}: unreadable: {_printable(verdict.reason)}"
    if verdict.refused:
        return f"{name}: refused: {verdict.reason}"
    doubt = f"; {verdict.reason}" if verdict.reason else ""
    return f"{name}: {verdict.decision}, P = {verdict.p_pneumonia:.3f} (calibrated {verdict.p_calibrated:.3f}){doubt}"


def _printable(name: object) -> str:
    text = str(name)
    return text if text.isprintable() else ascii(text)


if __name__ == "__main__":
    sys.exit(main())
