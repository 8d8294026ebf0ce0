"""Speed and faults, measured from outside: run each as `python -m benchmarks.NAME`.

What they find goes to stdout as Markdown, what they are at to stderr.
"""

import os
import platform
import sys
from importlib.metadata import version

import stages  # noqa: F401  (puts src/ on the path)


def heading(text: str, *, level: int = 2) -> None:
    """A heading, and the machine and versions that what follows was measured with."""
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "lightning", "dvc"))
    print(f"{'#' * level} {text}\n\n{machine}, {versions}.\n")


def progress(text: str) -> None:
    """A line for whoever waits."""
    print(text, file=sys.stderr, flush=True)
