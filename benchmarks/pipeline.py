"""The time that DVC saves: `python -m benchmarks.pipeline ARCHIVE.zip`.

In one repository, one after the other: a `dvc repro` of all stages, one after a change of alpha, and some with nothing
to do. Epochs and views are a sixteenth of those in params.yaml, so that it takes minutes. Everything that does not
depend on epochs (download, preprocessing, evaluation, start of a stage) therefore weighs more than in a full run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml

from benchmarks import archive_argument, heading, progress, run
from cxr_distill.base.errors import CxrError
from demo.workspace import ROOT, environment, make_workspace

NO_OPS = 5


def timed(workspace: Path, *command: str) -> tuple[float, list[str]]:
    """Seconds of a command, and the stages that ran."""
    begun = time.perf_counter()
    done = subprocess.run(command, cwd=workspace, env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    lines = done.stdout.splitlines()
    return time.perf_counter() - begun, [line.split("'")[1] for line in lines if line.startswith("Running stage")]


def main() -> None:
    os.environ["CXR_ARCHIVE"] = str(archive_argument())
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    shorter = {
        section: {key: max(1, params[section][key] // 16)}
        for section, key in (("teacher", "epochs"), ("student", "epochs"), ("soft_targets", "count"))
    }
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "repo"
        make_workspace(workspace, shorter)
        (workspace / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n    autostage = false\n")
        cold, every = timed(workspace, "dvc", "repro")
        progress(f"cold: {cold:.0f} s")
        make_workspace(workspace, {**shorter, "distill": {"alpha": 1 - params["distill"]["alpha"] / 2}})
        alpha, ran = timed(workspace, "dvc", "repro")
        if "distill" not in ran:
            raise CxrError("another alpha trained no student")
        progress(f"changed alpha: {alpha:.0f} s")
        no_op = [timed(workspace, "dvc", "repro")[0] for _ in range(NO_OPS)]
    print(heading("Time that DVC saves, on a sixteenth of the epochs and views"))
    print(f"- cold `dvc repro`, {len(every)} stages: {cold:.0f} s")
    print(f"- with another alpha ({', '.join(ran)}): {alpha:.0f} s, {cold / alpha:.1f} times less")
    print(f"- with nothing to do: {np.median(no_op):.2f} s ({min(no_op):.2f} to {max(no_op):.2f})\n")


if __name__ == "__main__":
    run(main)
