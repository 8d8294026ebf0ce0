"""A copy of this repository with other parameters, in which DVC can run without touching the original."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
# The study has its own params, of real schedules: whoever runs it on other data brings some.
LEFT_OUT = ("dvc.lock", "metrics/", "plots/", "release/", "reports/", "study/")


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the leaves of `changes` put in its place."""
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


def environment() -> dict[str, str]:
    """The environment in which `dvc` and the `python` of its stages are those that run now."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}


def changes(name: str) -> dict[str, Any]:
    """The changes to params.yaml in demo/NAME.yaml."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "demo" / f"{name}.yaml").read_text())
    return values


def make_workspace(target: Path, changed: Mapping[str, Any], *, root: Path = ROOT) -> None:
    """Copy the repository at `root`, less its results and its study, into the folder `target`; with changed params."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root, check=True, capture_output=True, text=True,
    ).stdout.split("\0")  # fmt: skip
    for name in filter(None, listed):
        if name.startswith(LEFT_OUT) or not (root / name).is_file():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, target / name)
    params = merge(yaml.safe_load((root / "params.yaml").read_text()), changed)
    (target / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
