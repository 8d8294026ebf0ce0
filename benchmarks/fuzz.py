"""Fuzz what comes from outside, longer than the tests do: `python -m benchmarks.fuzz MINUTES [kind...]`.

Each target is a property of tests/test_fuzz.py, run with new seeds until its share of the minutes is over or something
is found.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time

from benchmarks import heading, progress
from demo.workspace import ROOT

KINDS = {
    "archive": {
        "damaged_archive": "bytes of the zip changed, cut, repeated",
        "any_names": "any names in the zip",
    },
    "decoder": {"damaged_picture": "bytes of JPEG, PNG, GIF, TIFF, BMP changed, cut, repeated"},
    "films": {
        "damaged_film": "bytes of JPEG, PNG, BMP, TIFF and DICOM films, compressed and plain, changed, cut, repeated"
    },
    "params": {
        "any_values": "any values in params.yaml",
        "any_text": "any text as params.yaml",
    },
}
EXAMPLES = 2000  # of the profile `fuzz` in tests/test_fuzz.py


def fuzz(target: str, minutes: float) -> tuple[int, str]:
    """Examples tried, and what was found ("" for nothing)."""
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
    minutes = float(sys.argv[1])
    kinds = sys.argv[2:] or list(KINDS)
    targets = {(kind, target): minutes / len(KINDS[kind]) for kind in kinds for target in KINDS[kind]}
    found = {(kind, target): fuzz(target, share) for (kind, target), share in targets.items()}
    heading(f"Fuzzing, {minutes:g} minutes each of {', '.join(kinds)}", level=1)
    print("| kind | what | examples | found |\n|---|---|---|---|")
    for (kind, target), (tried, what) in found.items():
        print(f"| {kind} | {KINDS[kind][target]} | {tried:,} | {what or 'nothing'} |")
    return 1 if any(what for _, what in found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
