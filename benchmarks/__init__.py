"""Speed and faults, measured from outside: run each as `python -m benchmarks.NAME`.

Results go to stdout as Markdown, progress to stderr.
"""

import os
import platform
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import stages  # noqa: F401  (puts src/ on the path)
from cxr_distill.base.errors import CxrError


def heading(text: str, *, level: int = 2) -> str:
    """A heading, and the machine and versions that the figures below it were measured with."""
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning", "dvc"))
    return f"{'#' * level} {text}\n\n{machine}, {versions}.\n"


def progress(text: str) -> None:
    """A line for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def archive_argument() -> Path:
    """The archive named on the command line. Raises CxrError if it is missing."""
    if len(sys.argv) < 2:
        raise CxrError("name an archive of films, a zip in Kaggle's layout, on the command line")
    path = Path(sys.argv[1]).resolve()
    if not path.is_file():
        raise CxrError(f"no archive {sys.argv[1]}")
    return path


def run(main: Callable[[], int | None]) -> NoReturn:
    """Run a benchmark and exit; errors that a person can put right end in one line."""
    try:
        sys.exit(main())
    except CxrError as error:
        sys.exit(f"error: {error}")
