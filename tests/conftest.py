"""Tests import the library and the stages from this checkout; those of DVC share one finished pipeline on phantoms."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]
os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # tests run side by side, as stages may: see stages/common.py

from demo.workspace import changes, environment, make_workspace  # noqa: E402


def run(folder: Path, *command: str, check: bool = True) -> str:
    env = environment() | {"HOME": str(folder / ".home"), "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_TERMINAL_PROMPT": "0"}
    for role in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{role}_NAME": "tester", f"GIT_{role}_EMAIL": "tester@example.org"}
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=400)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def ran(output: str) -> list[str]:
    return re.findall(r"Running stage '([^']+)'", output)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A Git and DVC repository in which the whole pipeline has run on phantoms and is committed; each worker's own."""
    own = tmp_path_factory.getbasetemp()
    made = (own if worker_id == "master" else own.parent) / "pipeline"
    with FileLock(made.with_suffix(".lock")):
        if not made.exists():
            make_finished(own / "making")
            (own / "making").rename(made)
    shutil.copytree(made, own / "finished", symlinks=True)
    return own / "finished"


def make_finished(folder: Path) -> None:
    make_workspace(folder, changes("tiny"))
    run(folder, "git", "init", "-q", "-b", "main")
    run(folder, "dvc", "repro")
    run(folder, "git", "add", "-A")
    run(folder, "git", "commit", "-qm", "phantoms")
