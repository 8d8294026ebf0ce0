"""Fuzz everything that comes from outside, for longer than the tests do: `python -m benchmarks.fuzz MINUTES [KIND...]`.

Each target is a test of tests/test_fuzz.py. It runs with new seeds until its share of the minutes is over or it fails.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

from benchmarks import heading, progress, run
from cxr_distill.base.errors import CxrError
from demo.workspace import ROOT

KINDS = {
    "archive": {
        "damaged_archive": "bytes of the zip changed, cut, repeated",
        "any_names": "any names in the zip",
    },
    "decoder": {"damaged_picture": "bytes of JPEG, PNG, GIF, TIFF, BMP changed, cut, repeated"},
    "films": {
        "damaged_film": "bytes of JPEG, PNG, BMP, TIFF and DICOM films (compressed or not) changed, cut, repeated"
    },
    "params": {
        "any_values": "any values in params.yaml",
        "any_text": "any text as params.yaml",
    },
}
EXAMPLES = 2000  # per run, as in the profile `fuzz` of tests/test_fuzz.py


def fuzz(target: str, minutes: float) -> tuple[int, str]:
    """Number of examples tried, and the seed that failed ("" if none did)."""
    end, tried = time.monotonic() + 60 * minutes, 0
    while time.monotonic() < end:
        seed = random.randrange(1 << 32)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "tests/test_fuzz.py", "-k", target, f"--hypothesis-seed={seed}"],
            cwd=ROOT,
            env={**os.environ, "CXR_FUZZ": "fuzz"},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            progress(done.stdout[-4000:])
            return tried, f"seed {seed}"
        tried += EXAMPLES
        progress(f"{target}: {tried} examples")
    return tried, ""


def main() -> int:
    try:
        minutes = float(sys.argv[1])
    except (IndexError, ValueError):
        raise CxrError("say for how many minutes: python -m benchmarks.fuzz MINUTES [KIND...]") from None
    kinds = sys.argv[2:] or list(KINDS)
    if unknown := set(kinds) - set(KINDS):
        raise CxrError(f"no kind {', '.join(sorted(unknown))}; there are {', '.join(KINDS)}")
    targets = {(kind, target): minutes / len(KINDS[kind]) for kind in kinds for target in KINDS[kind]}
    found = {(kind, target): fuzz(target, share) for (kind, target), share in targets.items()}
    print(heading(f"Fuzzing: {minutes:g} minutes for each of {', '.join(kinds)}", level=1))
    print("| kind | input | examples | found |\n|---|---|---|---|")
    for (kind, target), (tried, what) in found.items():
        print(f"| {kind} | {KINDS[kind][target]} | {tried:,} | {what or 'nothing'} |")
    return 1 if any(what for _, what in found.values()) else 0


if __name__ == "__main__":
    run(main)
