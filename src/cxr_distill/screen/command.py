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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from PIL import Image

from cxr_distill.base.errors import CxrError
from cxr_distill.films.pixels import MAX_PIXELS
from cxr_distill.screen.session import Model, load_model
from cxr_distill.screen.site_file import read_site
from cxr_distill.screen.verdicts import Verdict, find_files, screen_files

ALL_SCREENED, CANNOT_RUN, SOME_REJECTED, SOME_UNREADABLE, INTERRUPTED = 0, 2, 3, 4, 130
EPILOG = """
exit status:
  0    every file was screened
  2    stopped: wrong usage, no files, no model, or an output that cannot be written
  3    some files were rejected: no upright frontal chest X-ray, or unlike those that the model learned from
  4    some files could not be read (and others may have been rejected)
  130  interrupted

No image leaves this computer. P is the network's probability of pneumonia. The calibrated probability assumes 50%
prevalence, or with --site the prevalence of that place. This is a research tool, not a medical device: its answers are
not diagnoses.
"""
PROGRESS_SECONDS = 5.0
COLUMNS = [field.name for field in fields(Verdict)]
HEAD = ",".join(COLUMNS).encode()
FORMER_HEAD = HEAD.replace(b"rejected", b"refused")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns the exit status."""
    options = _parser().parse_args(arguments)
    return finished(lambda: _screen(options))


def finished(action: Callable[[], int]) -> int:
    """The exit status of a command: what `action` returns, or that of an error, which is one line on stderr."""
    quieten()
    try:
        return action()
    except CxrError as error:
        print(f"error: {error}", file=sys.stderr)
        return CANNOT_RUN
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader closed the pipe, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CANNOT_RUN
    except OSError as error:  # such as a full disk behind a redirected output
        print(f"error: {error.filename or 'the output'}: {error.strerror}", file=sys.stderr)
        return CANNOT_RUN


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="cxr-screen",
        description="Screen chest X-rays for pneumonia: JPEG, PNG, BMP, TIFF and DICOM files, and folders of them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "paths", nargs="+", type=Path, metavar="FILE|FOLDER", help="folders are searched with their subfolders"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object per file instead of text")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write the results to FILE")
    parser.add_argument(
        "--heatmap",
        type=Path,
        metavar="DIR",
        help="also write a picture of each film to DIR: red is evidence for pneumonia, blue against it",
    )
    parser.add_argument(
        "--no-reject",
        action="store_true",
        help="give every picture a probability, also one that is not like a chest X-ray",
    )
    parser.add_argument("--no-refuse", dest="no_reject", action="store_true", help=argparse.SUPPRESS)  # its former name
    add_model_options(parser)
    parser.add_argument(
        "--site", type=Path, metavar="FILE", help="use the operating point in this site.json, which cxr-evaluate writes"
    )
    return parser


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Which model to use; `chosen_model` reads the answer."""
    parser.add_argument("--int8", action="store_true", help="use the smaller model, with 8-bit arithmetic")
    parser.add_argument("--model", type=Path, metavar="FILE", help="use this released model, not the installed one")


def chosen_model(options: argparse.Namespace) -> Model:
    """The model that the command line names, or the installed one. Raises CxrError."""
    name = "cxr-distill-int8.onnx" if options.int8 else "cxr-distill.onnx"
    return load_model(options.model or _installed_model(name))


def quieten() -> None:
    """Decoders say nothing, and file names that are not text can be printed."""
    warnings.simplefilter("ignore")  # of decoders; the verdicts say what matters
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS // 2  # Pillow refuses twice this number, inside DICOM files too
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _screen(options: argparse.Namespace) -> int:
    model = chosen_model(options)
    site = read_site(options.site, model_sha256=model.sha256) if options.site else None
    if site:
        print(site.whose(), file=sys.stderr)
    files = [file for file in find_files(options.paths) if not _is_table(file, options.csv)]
    if not files:
        raise CxrError(f"no files in {', '.join(map(_printable, options.paths))}")
    try:
        if options.heatmap:
            options.heatmap.mkdir(parents=True, exist_ok=True)
        with _table(options.csv) as table:
            verdicts = screen_files(files, model, reject=not options.no_reject, heatmaps=options.heatmap, site=site)
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
    raise CxrError(f"this installation has no {name}; give a released model with --model FILE")


def _is_table(file: Path, table: Path | None) -> bool:
    """Whether a file is the table of an earlier run, which lies in a folder that is searched."""
    return table is not None and table.is_file() and os.path.realpath(file) == os.path.realpath(table)


@contextmanager
def _table(path: Path | None) -> Iterator[Any]:
    """A CSV writer that writes every row at once, or None if there is no `path`."""
    if path is None:
        yield None
        return
    if path.is_file():
        with path.open("rb") as file:
            start = file.read(len(HEAD))
        if start and not start.startswith((HEAD, FORMER_HEAD)):
            raise CxrError(f"{_printable(path)} exists and is no table of cxr-screen; name another file with --csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace", buffering=1) as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        yield writer


def _report(verdicts: Iterator[Verdict], count: int, table: Any, *, as_json: bool) -> int:
    rejected = unreadable = pneumonia = 0
    said = time.monotonic()
    for done, verdict in enumerate(verdicts, start=1):
        rejected += verdict.rejected
        unreadable += verdict.unreadable
        pneumonia += verdict.decision == "pneumonia"
        print(json.dumps(asdict(verdict)) if as_json else _line(verdict), flush=count == 1)
        if table:
            table.writerow(asdict(verdict).values())
        if time.monotonic() - said > PROGRESS_SECONDS:
            said = time.monotonic()
            print(f"{done} of {count} files", file=sys.stderr)
    sys.stdout.flush()
    if count > 1:
        screened = count - rejected - unreadable
        print(
            f"{screened} screened ({pneumonia} pneumonia), {rejected} rejected, {unreadable} unreadable",
            file=sys.stderr,
        )
    return SOME_UNREADABLE if unreadable else SOME_REJECTED if rejected else ALL_SCREENED


def _line(verdict: Verdict) -> str:
    name = _printable(verdict.file)
    if verdict.unreadable:
        return f"{name}: unreadable: {_printable(verdict.reason)}"
    if verdict.rejected:
        return f"{name}: rejected: {verdict.reason}"
    doubt = f"; {verdict.reason}" if verdict.reason else ""
    return f"{name}: {verdict.decision}, P = {verdict.p_pneumonia:.3f} (calibrated {verdict.p_calibrated:.3f}){doubt}"


def _printable(name: object) -> str:
    text = str(name)
    return text if text.isprintable() else ascii(text)


if __name__ == "__main__":
    sys.exit(main())
