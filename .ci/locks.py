"""What .ci/pipeline.py asks of Git, of DVC and of its lock files, and the three ways in which a commit can fail."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from hashlib import md5
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from demo.workspace import environment  # noqa: E402

TRACKED = ("dvc.lock", "metrics", "plots", "release", "reports")  # where Git keeps what the pipeline makes
Stages = dict[str, Any]  # a dvc.lock's entries: what each stage ran with and what it made


class Refused(Exception):
    """Why the commit does not hold, in one line."""

    headline, status = "Refused", 1


class NotChecked(Refused):
    """Why this machine cannot check the commit."""

    headline, status = "Not checked", 3


class NotComparable(NotChecked):
    """Why the results of this machine say nothing about the committed ones."""

    headline = "Not comparable"


def command(*words: str, cwd: Path = ROOT, check: bool = True) -> str:
    """Run, pass all output on to the log, and return what went to stdout. Raises Refused if `check` and it fails."""
    process = subprocess.Popen(words, cwd=cwd, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait() and check:
        raise Refused(f"`{' '.join(words)}` failed; its message is in the log")
    return "".join(lines)


def git(*words: str, cwd: Path = ROOT) -> str:
    """What git prints on stdout, its warnings left out. Raises Refused with its message if it fails."""
    done = subprocess.run(["git", *words], cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        raise Refused(f"`git {' '.join(words)}` failed: {' '.join(done.stderr.split())}")
    return done.stdout


def listed(names: Iterable[str]) -> str:
    """A readable list."""
    return ", ".join(names) or "none"


def stages_run(output: str) -> list[str]:
    """Stages that a `dvc repro` ran, in order."""
    return re.findall(r"^Running stage '([^']+)'", output, re.M)


def up_to_date(folder: Path) -> bool:
    """Whether the lock in `folder` agrees with dvc.yaml, code, params, and such data as are here."""
    return "up to date" in command("dvc", "repro", "--dry", "--allow-missing", cwd=folder, check=False)


def lock(text: str) -> Stages:
    """The entries of a dvc.lock. Raises Refused if it is not one."""
    try:
        return dict((yaml.safe_load(text) or {}).get("stages", {}))
    except (yaml.YAMLError, AttributeError, TypeError, ValueError):
        raise Refused("a dvc.lock is damaged; commit it as `dvc repro` writes it") from None


def lock_in(folder: Path) -> Stages:
    """The entries of the dvc.lock in `folder`; none if there is no such file."""
    file = folder / "dvc.lock"
    return lock(file.read_text()) if file.exists() else {}


def lock_at(commit: str, path: str) -> Stages:
    """The entries of the dvc.lock at `path` in a commit; none if the commit has no such file."""
    return lock(git("show", f"{commit}:{path}")) if git("ls-tree", "--name-only", commit, path) else {}


def outputs(stages: Stages) -> dict[str, str]:
    """MD5 of every output, by path."""
    return {out["path"]: out["md5"] for entry in stages.values() for out in entry.get("outs", [])}


def light(folder: Path, stages: Stages) -> list[str]:
    """Those of `stages` whose deps are all in Git: they run anywhere, without data, models or a cache."""
    tracked = git("ls-files", "--full-name", str(ROOT)).splitlines()

    def committed(dep: dict[str, str]) -> bool:
        real = (folder / dep["path"]).resolve()  # study/src is a link
        path = real.relative_to(ROOT.resolve()).as_posix()
        return any(name == path or name.startswith(f"{path}/") for name in tracked)

    return [stage for stage, entry in stages.items() if all(map(committed, entry.get("deps", [{"path": ""}])))]


def run_again(folder: Path, stages: Iterable[str]) -> list[str]:
    """Run stages by themselves, whatever the cache has; the names of those that ran."""
    names = list(stages)
    command_line = ["dvc", "repro", "--force", "--single-item", "--no-run-cache", *names]
    return stages_run(command(*command_line, cwd=folder)) if names else []


def written(stages: Stages, before: Stages) -> list[str]:
    """Stages whose entries are not those of `before`."""
    return [stage for stage in stages if stages[stage] != before.get(stage)]


def md5_of(file: Path) -> str | None:
    """MD5 of a file, in hexadecimal; None if there is none."""
    return md5(file.read_bytes()).hexdigest() if file.is_file() else None


def check_figures(folder: Path, stages: Stages) -> None:
    """Raises Refused naming the outputs of `stages` that Git tracks, but not as the dvc.lock in `folder` names them."""
    named, tracked = outputs(stages), set(git("ls-files", cwd=folder).splitlines())
    wrong = [str(folder / path) for path in sorted(named.keys() & tracked) if md5_of(folder / path) != named[path]]
    if wrong:
        names = listed(str(Path(path).relative_to(ROOT)) for path in wrong)
        raise Refused(f"not what dvc.lock names: {names}; commit them as `dvc repro` writes them")
