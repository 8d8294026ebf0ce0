"""`make demo`: make synthetic films, train a teacher and its students on them, print how they compare.

`python -m demo NAME` takes the params of demo/NAME.yaml in place of demo/demo.yaml. `--all` (`make demo V=1`) shows all
that DVC and the stages say, not one line a stage.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import yaml

from demo.lines import run_dvc
from demo.workspace import RESULTS, ROOT, changes, commit, make_repository

COLUMNS = 100
LOG, PICTURE = "demo.log", "reports/comparison.png"
NEXT = (
    ("dvc exp run -S distill.alpha=0.25", "the same student with a lower weight of the teacher"),
    ("dvc metrics diff", "what that changed"),
    ("dvc exp show --only-changed", "all experiments in a table"),
    ("dvc plots show", "curves and pictures, in dvc_plots/index.html"),
)


def main(name: str = "demo", *, show_all: bool = False) -> int:
    """Make or renew the workspace .demo/, run what changed, print the result and what to type next."""
    folder = ROOT / ".demo"
    begun = time.monotonic()
    make_repository(folder, changes(name))
    log = f"{folder.name}/{LOG}"
    print(f"The whole pipeline on SYNTHETIC chest films. What the stages say is in {log}.\n", flush=True)
    if (last := run_dvc(folder, folder / LOG, show_all=show_all)) is not None:
        print(f"{last}\nerror: the demo's pipeline failed; all that it said is in {log}", file=sys.stderr)
        return 1
    commit(folder, "The demo's results", *(path for path in RESULTS if (folder / path).exists()))
    evaluation = json.loads((folder / "reports" / "evaluation.json").read_text())
    params = yaml.safe_load((folder / "params.yaml").read_text())
    print(f"\n{table(evaluation)}\n\n{textwrap.fill(reason(evaluation, params), COLUMNS)}\n\n{next_lines(folder)}")
    print(f"\nA picture to open: {folder.name}/{PICTURE}. All that the stages said: {log}.")
    print(f"The demo took {time.monotonic() - begun:.0f} s. `make clean` removes {folder.name}/.")
    return 0


def table(evaluation: dict[str, Any]) -> str:
    """Test AUROC of teacher, baseline and distilled student, and the gain with its interval."""
    models, gain = evaluation["models"], evaluation["comparison"]["gain"]["auroc"]
    films = models["teacher"]["test"]["n"]
    rows = [f"SYNTHETIC: test AUROC on {films:,} synthetic films, which says nothing about real pneumonia."]
    for name in ("teacher", "baseline", "distilled"):
        rows.append(f"  {name:<10}{models[name]['test']['auroc']:.3f}   {models[name]['parameters']:>10,} parameters")
    interval = f"[{gain['low']:+.3f}, {gain['high']:+.3f}]"
    rows.append(f"  {'gain':<9}{gain['value']:+.3f}   distilled minus baseline, 95% interval {interval}")
    return "\n".join(rows)


def reason(evaluation: dict[str, Any], params: dict[str, Any]) -> str:
    """Why a teacher helps here, or that it did not."""
    gain = evaluation["comparison"]["gain"]["auroc"]
    if gain["high"] < 0:
        return "In this run the teacher lowered the student's AUROC."
    if gain["low"] <= 0:
        return "In this run the 95% interval of the gain includes 0."
    wrong, views = params["data"]["phantom"]["wrong_labels"], params["soft_targets"]["count"]
    return (
        f"Why a teacher helps here: {wrong:.0%} of the training labels are wrong. The student alone sees {views} "
        f"view{'s' * (views > 1)} of each film and memorises its label. The teacher saw a new view in every epoch, so "
        "it memorised less. The distilled student learns from the labels and from the teacher's probabilities."
    )


def next_lines(folder: Path) -> str:
    """What to type next, a comment beside each."""
    activate = Path(os.path.relpath(sys.prefix, folder)) / "bin" / "activate"
    lines = [(f"cd {os.path.relpath(folder)} && . {activate}", "once in a terminal"), *NEXT]
    return "\n".join(["Now ask your own question:", *(f"  {command:<40}  # {what}" for command, what in lines)])


def run(*words: str) -> int:
    """`main`, its errors in one line; returns the exit status. Raises KeyboardInterrupt."""
    names = [word for word in words if word != "--all"]
    known = sorted(file.stem for file in (ROOT / "demo").glob("*.yaml") if "data" in yaml.safe_load(file.read_text()))
    if len(names) > 1 or not {*names} <= {*known}:
        print(f"error: no demo {' '.join(names)}; there are {' and '.join(known)}", file=sys.stderr)
        return 2
    try:
        return main(*names, show_all="--all" in words)
    except subprocess.CalledProcessError as error:
        print(
            f"error: `{' '.join(error.cmd[:2])}` failed, its message is above; the demo needs a clone made by Git",
            file=sys.stderr,
        )
    except OSError as error:
        print(f"error: {error.filename or 'a file'}: {error.strerror or error}", file=sys.stderr)
    return 1
