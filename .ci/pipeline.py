"""What a pull request does to the results: `python .ci/pipeline.py BASE [RESULTS]`, from a clean checkout.

1. Every committed figure must be the one that its lock names.
2. Stages whose entries in dvc.lock differ from BASE's are run again and must give what was committed. Those that read
   committed files alone run everywhere, in study/ too.
3. Whatever else is out of date runs; if a tracked result changes, it waits in RESULTS and the check fails.
4. The networks of the study (study/dvc.yaml) take more than an hour and never run here: its lock must agree with code,
   params and the pipeline's results.

Where data and models cannot be had (no remote, empty cache), phantoms show which stages the change reaches, and new
results do not pass. `python .ci/pipeline.py --fill [RESULTS]`, on the main branch, makes or fetches all that dvc.lock
names, for the cache in which pull requests find it.

RESULTS (default: ci-results) gets summary.md and the results that the code makes. Exit status 0: the commit holds.
1: it does not. 3: this machine cannot tell, and the summary says why.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml
from locks import (
    ROOT,
    TRACKED,
    NotChecked,
    NotComparable,
    Refused,
    Stages,
    check_figures,
    command,
    git,
    light,
    listed,
    lock_at,
    lock_in,
    outputs,
    run_again,
    stages_run,
    up_to_date,
    written,
)
from study_lock import check_study

from demo.workspace import changes, make_workspace


def fetch(stages: Stages) -> bool:
    """Bring data, models and the run cache here; False if an output of these stages cannot be had."""
    remote = command("dvc", "remote", "list").strip()
    command("dvc", *(["pull", "--run-cache"] if remote else ["checkout"]), "--force", check=False)
    return all((ROOT / path).exists() for path in outputs(stages))


def scope_on_phantoms(base: str) -> list[str]:
    """Stages that run on phantoms when BASE's tree becomes this one."""
    with tempfile.TemporaryDirectory() as folder:
        before, workspace = Path(folder) / "base", Path(folder) / "workspace"
        git("worktree", "add", "--detach", str(before), base)
        try:
            had = make_workspace(workspace, changes("tiny", root=before), root=before)
            (workspace / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
            command("dvc", "repro", cwd=workspace)
            for gone in set(had) - set(make_workspace(workspace, changes("tiny"))):
                (workspace / gone).unlink()  # or a folder that a stage depends on would look as before
            return stages_run(command("dvc", "repro", cwd=workspace))
        finally:
            git("worktree", "remove", "--force", str(before))


def save_results(results: Path) -> list[str]:
    """Copy what differs from the commit to `results`; its names."""
    changed = git("status", "--porcelain", "--untracked-files=all", "--", *TRACKED).splitlines()
    names = [line[3:] for line in changed]
    for name in names:
        if (ROOT / name).exists():
            (results / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, results / name)
    return names


def trained_on() -> dict[str, str]:
    """The kind of processor that trained each model, as committed; empty where that is not recorded."""
    try:
        models = json.loads((ROOT / "reports" / "evaluation.json").read_text())["models"]
        return {name: str(model["trained"]["processor"]) for name, model in models.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def processor_here() -> str:
    """The kind of processor that trains on this machine."""
    from cxr_distill.nets.common.params import TrainerParams  # these import PyTorch, which takes seconds
    from cxr_distill.nets.common.precision import device_of, processor

    return processor(
        device_of(TrainerParams.model_validate(yaml.safe_load((ROOT / "params.yaml").read_text())["trainer"]))
    )


def models_of(entry: dict[str, Any]) -> set[str]:
    """The models that a stage trains, else those that it reads."""
    for part in ("outs", "deps"):
        if names := {Path(item["path"]).stem for item in entry.get(part, []) if item["path"].startswith("models/")}:
            return names
    return set()


def disagreement(names: list[str], again: list[str], committed: Stages, trained: dict[str, str]) -> Refused:
    """Why `names` differ from the commit, whose lock and processors are given, after the stages `again` ran here."""
    here, there = (stages.get("download", {}).get("outs") for stages in (lock_in(ROOT), committed))
    if here and there and here != there:
        return NotComparable(f"made from another archive than the one at hand; these differ: {listed(names)}")
    models = set().union(*(models_of(committed.get(stage, {})) for stage in again)) & trained.keys() or set(trained)
    others = {trained[model] for model in models if model in trained} - {kind := processor_here()}
    if others:
        kinds = " and ".join(sorted(others))
        return NotComparable(f"trained on {kinds}, run again on {kind}; these differ: {listed(names)}")
    return Refused(f"running it again does not give what was committed: {listed(names)}")


def check(base: str, results: Path, summary: list[str]) -> None:
    """The four steps. Raises Refused, NotChecked or NotComparable unless the commit holds."""
    base = git("rev-parse", "--verify", f"{base}^{{commit}}").strip()
    locked = lock_in(ROOT)
    entries = {name: locked[name] for name in command("dvc", "stage", "list", "--name-only").split() if name in locked}
    check_figures(ROOT, entries)
    changed = git("diff", "--name-only", base, "--", *TRACKED).splitlines()
    if unmade := [path for path in changed if path != "dvc.lock" and path not in outputs(entries)]:
        summary.append(f"Changed, made by no stage and so not checked: {listed(unmade)}.")
    new = written(entries, lock_at(base, "dvc.lock"))
    current = up_to_date(ROOT)  # asked first: a fetch that fails leaves folders empty, which DVC takes for a change
    if fetch({stage: entry for stage, entry in entries.items() if stage not in new}):
        check_with_data(base, new, entries, results, summary)
    else:
        check_without_data(base, new, entries, results, summary, current=current)
    check_study(base, entries, summary)


def check_with_data(base: str, new: list[str], entries: Stages, results: Path, summary: list[str]) -> None:
    """Run again what the commit claims, then what it leaves out of date. Raises Refused if a tracked file changes."""
    trained = trained_on()
    again = run_again(ROOT, new)
    summary.append(f"Run again, because dvc.lock has new entries for them: {listed(again)}.")
    if names := save_results(results):
        raise disagreement(names, again, entries, trained)
    ran = stages_run(command("dvc", "repro"))
    summary.append(f"Run, because they were out of date: {listed(ran)}.")
    for what in ("params", "metrics"):
        table = command("dvc", what, "diff", "--md", base)
        summary += ["", f"## {what.capitalize()}", "", table or "No change."]
    summary += ["", (ROOT / "reports" / "comparison.md").read_text()]
    if names := save_results(results):
        raise Refused(f"commit these, which wait in the results: {listed(names)}")


def check_without_data(
    base: str, new: list[str], entries: Stages, results: Path, summary: list[str], *, current: bool
) -> None:
    """Show what the change reaches, and run again what is made of committed files alone.

    Raises Refused unless the lock is `current` and these agree, NotChecked if it has other new results.
    """
    ran = scope_on_phantoms(base)
    summary.append(f"Data and models are out of reach: shown on phantoms alone. Stages that run: {listed(ran)}.")
    if not current:
        raise Refused("dvc.lock is older than the code; run `dvc repro` and commit its results")
    deleted = set(git("diff", "--diff-filter=D", "--name-only", base).splitlines()) & outputs(entries).keys()
    if deleted:
        raise Refused(f"deleted, although dvc.lock names them: {listed(sorted(deleted))}")
    again = run_again(ROOT, light(ROOT, {stage: entries[stage] for stage in new}))
    summary.append(f"Run again, because they are made of committed files alone: {listed(again)}.")
    if names := save_results(results):
        raise Refused(f"running {listed(again)} again does not give what was committed: {listed(names)}")
    if new := [stage for stage in new if stage not in again]:
        raise NotChecked(
            f"these results cannot be checked here: {listed(new)}; fill the cache (workflow `fill cache`) "
            "or run `python .ci/pipeline.py` where the data are"
        )


def fill(results: Path, summary: list[str]) -> None:
    """Make or fetch all that dvc.lock names. Raises Refused or NotComparable if it is not what the commit has."""
    entries, trained, current = lock_in(ROOT), trained_on(), up_to_date(ROOT)
    fetch(entries)
    ran = stages_run(command("dvc", "repro"))
    summary.append(f"Run, because neither the cache nor a remote had it: {listed(ran)}.")
    names = save_results(results)
    if names and not current:
        raise Refused(f"dvc.lock is older than the code; commit these, which wait in the results: {listed(names)}")
    if names:
        raise disagreement(names, ran, entries, trained)


def main() -> int:
    if len(sys.argv) not in (2, 3):
        print(
            "usage: python .ci/pipeline.py BASE|--fill [RESULTS]; BASE is the commit to compare with", file=sys.stderr
        )
        return 2
    results = Path(sys.argv[2] if len(sys.argv) > 2 else "ci-results").absolute()
    results.mkdir(parents=True, exist_ok=True)
    summary: list[str] = []
    status = 0
    try:
        if sys.argv[1] == "--fill":
            fill(results, summary)
        else:
            check(sys.argv[1], results, summary)
    except Refused as refused:
        summary.insert(0, f"**{refused.headline}:** {refused}\n")
        print(f"error: {refused}", file=sys.stderr)
        status = refused.status
    (results / "summary.md").write_text("\n".join(summary) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
