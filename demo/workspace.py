"""A copy of this repository with other parameters, in which DVC can run without touching the original."""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ("dvc.lock", "metrics/", "plots/", "release/", "reports/")
# The study has its own params, of real schedules: whoever runs it on other data brings some.
LEFT_OUT = (*RESULTS, "study/")
# Git sets these for its hooks; a command in another repository must not see them.
OF_A_HOOK = ("GIT_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_WORK_TREE")


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
    kept = {name: value for name, value in os.environ.items() if name not in OF_A_HOOK}
    return {**kept, "PATH": path, "PYTHONUNBUFFERED": "1", "DVC_NO_ANALYTICS": "1"}


def changes(name: str, *, root: Path = ROOT) -> dict[str, Any]:
    """The changes to params.yaml in demo/NAME.yaml of the repository at `root`."""
    values: dict[str, Any] = yaml.safe_load((root / "demo" / f"{name}.yaml").read_text())
    return values


class Stage(NamedTuple):
    """A stage of dvc.yaml: its name as DVC prints it, its command, and what it does."""

    name: str
    command: str
    description: str


def stages_of(folder: Path) -> list[Stage]:
    """The stages of the workspace `folder` in the order of its dvc.yaml, which is one in which they can run."""
    definitions = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
    params = yaml.safe_load((folder / "params.yaml").read_text())
    stages = []
    for name, found in definitions.items():
        if "foreach" not in found:
            stages.append(Stage(name, found["cmd"], found["desc"]))
            continue
        entries, inner = found["foreach"], found["do"]
        for key in params[entries[2:-1]] if isinstance(entries, str) else entries:
            stages.append(Stage(f"{name}@{key}", inner["cmd"].replace("${key}", key), inner["desc"]))
    return stages


def make_workspace(target: Path, changed: Mapping[str, Any], *, root: Path = ROOT) -> list[str]:
    """Copy the repository at `root`, less its results and its study, into the folder `target`; with changed params.

    A param that is None in `changed` is left out. Return the names of all files of the copy. A file that is there
    already and has not changed is left alone.
    """
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
    names = [name for name in filter(None, listed) if not name.startswith(LEFT_OUT) and (root / name).is_file()]
    for name in names:
        copy = target / name
        if name == "params.yaml" or (copy.is_file() and filecmp.cmp(root / name, copy, shallow=False)):
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, copy)
    _write_params(target / "params.yaml", (root / "params.yaml").read_text(), changed)
    return names


def _write_params(path: Path, base: str, changed: Mapping[str, Any]) -> None:
    # With the comments of the original, which explain every parameter.
    yaml_file = YAML()
    yaml_file.width = 1 << 16
    params = yaml_file.load(base)
    _put(params, changed)
    with path.open("w") as file:
        yaml_file.dump(params, file)


def _put(params: Any, changed: Mapping[str, Any]) -> None:
    for key, value in changed.items():
        old = params.get(key)
        if value is None:
            if key in params:  # else it is left out already
                del params[key]
        elif isinstance(old, dict) and isinstance(value, Mapping):
            _put(old, value)
            if not old:
                params[key] = {}  # without the comments of what is gone, which would be written in its place
        elif isinstance(old, list) and isinstance(value, list):
            old[:] = value
        else:
            params[key] = value


def make_repository(folder: Path, changed: Mapping[str, Any], *, root: Path = ROOT) -> None:
    """Make or renew the workspace `folder` as a Git repository with an identity of its own, and commit what is new.

    Results, experiments and files that are not of the repository stay. Files that the repository no longer has go.
    Edits of copied files that no commit has are put into `git stash`.
    """
    if not (folder / ".git").is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        _git(folder, "init", "--quiet", "--initial-branch=main")
    for key, value in (("user.name", "demo"), ("user.email", "demo@localhost"), ("commit.gpgsign", "false")):
        _git(folder, "config", key, value)
    copied = folder / ".git" / "copied"
    before = copied.read_text().splitlines() if copied.exists() else []
    known = _git(folder, "ls-files", "-z").split("\0")
    # params.yaml is not among them: it differs after every experiment, which keeps its own.
    if edited := sorted({*_changed(folder)} & {*before} - {"params.yaml"}):
        _git(folder, "stash", "push", "--quiet", "-m", "edits that `make demo` put aside", "--", *edited)
        print(f"Your edits in {folder.name}/ are put aside: see `git stash show -p` there.", flush=True)
    names = make_workspace(folder, changed, root=root)
    gone = sorted({*before} - {*names})
    for name in gone:
        (folder / name).unlink(missing_ok=True)
    copied.write_text("".join(f"{name}\n" for name in names))
    # By force: a user's own .gitignore may name some of them.
    commit(folder, "The repository's files, with the demo's params", *names, *({*gone} & {*known}), force=True)


def _changed(folder: Path) -> list[str]:
    if subprocess.run(["git", "rev-parse", "--quiet", "--verify", "HEAD"], cwd=folder, capture_output=True).returncode:
        return []
    return _git(folder, "diff", "--name-only", "-z", "HEAD").split("\0")


def commit(folder: Path, message: str, *names: str, force: bool = False) -> None:
    """Commit these files of the repository `folder`, if any differs from the last commit; `force`: ignored ones too."""
    _git(folder, "add", "--all", *(["--force"] if force else []), "--", *names)
    if _git(folder, "status", "--porcelain", "--untracked-files=no", "--", *names):
        _git(folder, "commit", "--quiet", "--no-verify", "-m", message, "--", *names)


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=folder, env=environment(), check=True, stdout=subprocess.PIPE, text=True
    ).stdout
