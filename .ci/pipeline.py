"""What a pull request does to the results: `python .ci/pipeline.py BASE [RESULTS]`, from a clean checkout.

1. Every committed figure must be the one that dvc.lock names.
2. Stages whose entries in dvc.lock differ from BASE's are run again and must give what was committed.
3. Whatever else is out of date runs; if a tracked result changes, it waits in RESULTS and the check fails.
4. The study (study/dvc.yaml), which takes more than an hour, never runs here: its figures must be those of its lock,
   and its lock must agree with code, params and the pipeline's results.

Where data and models cannot be had (no remote, empty cache), which stages the change reaches is shown on phantoms.
RESULTS (default: ci-results) gets summary.md and the results that the code makes. Exit status 0: the commit holds.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from hashlib import md5
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from demo.workspace import changes, environment, make_workspace  # noqa: E402

TRACKED = ("dvc.lock", "metrics", "plots", "release", "reports")
STUDY = ROOT / "study" / "dvc.yaml"


class Refused(Exception):
    """Why the commit does not hold, in one line."""


def command(*words: str, cwd: Path = ROOT, check: bool = True) -> str:
    """Run, pass the output on to the log, and return it."""
    process = subprocess.Popen(
        words, cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        print(line, end="", flush=True)
        lines.append(line)
    if process.wait() and check:
        raise Refused(f"`{' '.join(words)}` failed; its message is in the log")
    return "".join(lines)


def stages_run(output: str) -> list[str]:
    """Stages that a `dvc repro` ran, in order."""
    return re.findall(r"^Running stage '([^']+)'", output, re.M)


def lock(text: str) -> dict[str, Any]:
    """The stages of a dvc.lock."""
    return (yaml.safe_load(text) or {}).get("stages", {})


def check_figures(entries: dict[str, Any]) -> None:
    """Raises Refused naming the committed results that are not those of the lock."""
    named = {out["path"]: out["md5"] for entry in entries.values() for out in entry.get("outs", [])}
    tracked = set(command("git", "ls-files", "--", *TRACKED).splitlines())
    wrong = [
        path for path in sorted(tracked & named.keys()) if md5((ROOT / path).read_bytes()).hexdigest() != named[path]
    ]
    if wrong:
        raise Refused(f"not what dvc.lock names: {', '.join(wrong)}; commit them as `dvc repro` writes them")


def fetch(entries: dict[str, Any]) -> bool:
    """Bring data, models and the run cache here; False if an output of `entries` cannot be had."""
    remote = command("dvc", "remote", "list").strip()
    command("dvc", *(["pull", "--run-cache"] if remote else ["checkout"]), "--force", check=False)
    return all((ROOT / out["path"]).exists() for entry in entries.values() for out in entry.get("outs", []))


def scope_on_phantoms(base: str) -> list[str]:
    """Stages that run on phantoms when BASE's tree becomes this one."""
    with tempfile.TemporaryDirectory() as folder:
        before, workspace = Path(folder) / "base", Path(folder) / "workspace"
        command("git", "worktree", "add", "--detach", str(before), base)
        try:
            make_workspace(workspace, changes("tiny"), root=before)
            (workspace / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
            command("dvc", "repro", cwd=workspace)
            make_workspace(workspace, changes("tiny"))
            return stages_run(command("dvc", "repro", cwd=workspace))
        finally:
            command("git", "worktree", "remove", "--force", str(before))


def save_results(results: Path) -> list[str]:
    """Copy what differs from the commit to `results`; its names."""
    changed = command("git", "status", "--porcelain", "--untracked-files=all", "--", *TRACKED).splitlines()
    names = [line[3:] for line in changed]
    for name in names:
        if (ROOT / name).exists():
            (results / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, results / name)
    return names


def check(base: str, results: Path, summary: list[str]) -> None:
    """The three steps; raises Refused if the commit does not hold."""
    entries = lock((ROOT / "dvc.lock").read_text())
    before = lock(command("git", "show", f"{base}:dvc.lock", check=False))
    in_order = command("dvc", "stage", "list", "--name-only").split()
    written = [stage for stage in in_order if stage in entries and entries[stage] != before.get(stage)]
    check_figures(entries)
    if STUDY.with_suffix(".lock").exists():
        check_figures(lock(STUDY.with_suffix(".lock").read_text()))
    if not fetch({stage: entry for stage, entry in entries.items() if stage not in written}):
        ran = scope_on_phantoms(base)
        summary.append(f"Data and models are out of reach: shown on phantoms alone. Stages that run: {listed(ran)}.")
        if not up_to_date("dvc.yaml"):
            raise Refused("dvc.lock is older than the code; run `dvc repro` and commit its results")
        check_study(summary)
        return
    again = (
        stages_run(command("dvc", "repro", "--force", "--single-item", "--no-run-cache", *written)) if written else []
    )
    summary.append(f"Run again, because dvc.lock has new entries for them: {listed(again)}.")
    if names := save_results(results):
        raise Refused(f"running it again does not give what was committed: {listed(names)}")
    ran = stages_run(command("dvc", "repro"))
    summary.append(f"Run, because they were out of date: {listed(ran)}.")
    for what in ("params", "metrics"):
        table = command("dvc", what, "diff", "--md", base)
        summary += ["", f"## {what.capitalize()}", "", table or "No change."]
    summary += ["", (ROOT / "reports" / "comparison.md").read_text()]
    if names := save_results(results):
        raise Refused(f"commit these, which wait in the results: {listed(names)}")
    check_study(summary)


def up_to_date(*what: str) -> bool:
    """Whether the locks of these pipeline files (or, with -P, of all) agree with code, params and results."""
    return "up to date" in command("dvc", "repro", *what, "--dry", "--allow-missing", check=False)


def check_study(summary: list[str]) -> None:
    """Raises Refused if the study's lock is older than what it is made from; it never runs here."""
    if not STUDY.exists():
        return
    summary += ["", "The study was not run again: its lock was held against code, params and results alone."]
    if not up_to_date("-P"):
        raise Refused("the study is older than the code; run `make study` and commit its results")


def listed(names: list[str]) -> str:
    """A readable list."""
    return ", ".join(names) or "none"


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print("usage: python .ci/pipeline.py BASE [RESULTS]; BASE is the commit to compare with", file=sys.stderr)
        return 2
    base = sys.argv[1]
    results = Path(sys.argv[2] if len(sys.argv) > 2 else "ci-results").absolute()
    results.mkdir(parents=True, exist_ok=True)
    summary: list[str] = []
    try:
        check(base, results, summary)
        status = 0
    except Refused as refused:
        summary.insert(0, f"**Refused:** {refused}\n")
        print(f"error: {refused}", file=sys.stderr)
        status = 1
    (results / "summary.md").write_text("\n".join(summary) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
