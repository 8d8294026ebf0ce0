"""Does the demo teach on other synthetic films? `python -m demo.seeds 10 11 12 13`: a table, one row a seed.

Each seed draws its own films; all else is as in demo/demo.yaml. No DVC, no release.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import stages  # noqa: F401  # by which cxr_distill is found
from demo.in_process import run_stages
from demo.workspace import changes, make_workspace, merge

HEAD = "| seed | teacher | baseline | distilled | distilled minus baseline | distilled minus teacher |"


def score(seed: int) -> dict[str, Any]:
    """reports/evaluation.json of the demo on the films of `seed`."""
    with TemporaryDirectory() as folder:
        make_workspace(Path(folder), merge(changes("demo"), {"data": {"phantom": {"seed": seed}}}))
        run_stages(Path(folder), wanted=lambda stage: stage.name not in ("release", "report"))
        evaluation: dict[str, Any] = json.loads((Path(folder) / "reports/evaluation.json").read_text())
        return evaluation


def row(seed: int, evaluation: Mapping[str, Any]) -> str:
    """Test AUROC of the three models, and both differences with their 95% intervals over patients."""
    from cxr_distill.base.templates import signed

    models, compared = evaluation["models"], evaluation["comparison"]
    cells = [f"{models[name]['test']['auroc']:.3f}" for name in ("teacher", "baseline", "distilled")]
    return " | ".join([f"| {seed}", *cells, *(signed(compared[name]["auroc"]) for name in ("gain", "gap"))]) + " |"


def main(*seeds: str) -> int:
    """Print the table of these seeds."""
    if not seeds or not all(seed.isdecimal() for seed in seeds):
        print("error: name the seeds of the synthetic films: python -m demo.seeds 10 11 12 13", file=sys.stderr)
        return 2
    rows = []
    for seed in map(int, seeds):
        begun = time.monotonic()
        with redirect_stdout(sys.stderr):  # what the stages say
            rows.append(row(seed, score(seed)))
        print(f"seed {seed}: {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    print("\n".join([HEAD, "|---" * 6 + "|", *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
