"""Whether the study's lock is in line with code, params and the pipeline's results, in a checkout without data."""

from __future__ import annotations

import posixpath

from locks import (
    ROOT,
    NotChecked,
    Refused,
    Stages,
    check_figures,
    git,
    light,
    listed,
    lock_at,
    lock_in,
    md5_of,
    outputs,
    run_again,
    up_to_date,
    written,
)

STUDY = ROOT / "study"
RESULTS = ("metrics.json", "results.json", "reports")


def stale_inputs(study: Stages, pipeline: Stages) -> list[str]:
    """Files outside study/ that are no longer those which the study's lock names.

    Without data, DVC in study/ notices no change of the pipeline's outputs: only the root's dvc.lock has their hashes.
    """
    made = outputs(pipeline)
    stale = set()
    for dep in (dep for entry in study.values() for dep in entry.get("deps", [])):
        path = posixpath.normpath(f"study/{dep['path']}")
        holds_outputs = any(output.startswith(f"{path}/") for output in made)
        if path.startswith("study/") or ((ROOT / path).is_dir() and not holds_outputs):
            continue  # all of it is in the commit, where DVC sees it
        if dep.get("md5") != (made.get(path) or md5_of(ROOT / path)):
            stale.add(path)
    return sorted(stale)


def check_study(base: str, pipeline: Stages, summary: list[str]) -> None:
    """Raises Refused if the study's lock is out of date, or its texts are not those of its figures.

    Raises NotChecked if entries of its networks differ from BASE's: these never run here.
    """
    study = lock_in(STUDY)
    if not study:
        left = git("ls-files", "--", *(f"study/{name}" for name in RESULTS)).splitlines()
        if left:
            raise Refused(f"study/dvc.lock is missing, yet there are results: {listed(left)}; run `make study`")
        summary += ["", "The study has not been run."]
        return
    summary += [
        "",
        "The networks of the study never run here: its lock was held against code, params and the pipeline's results.",
    ]
    check_figures(STUDY, study)
    if stale := stale_inputs(study, pipeline):
        raise Refused(f"the study is older than {listed(stale)}; run `make study` and commit its results")
    if not up_to_date(STUDY):
        raise Refused("the study is older than its code or params; run `make study` and commit its results")
    new = written(study, lock_at(base, "study/dvc.lock"))
    again = run_again(STUDY, light(STUDY, {stage: study[stage] for stage in new}))
    if changed := git("diff", "--name-only", "--", "study").splitlines():
        raise Refused(f"running {listed(again)} of the study again does not give what was committed: {listed(changed)}")
    if new := [stage for stage in new if stage not in again]:
        raise NotChecked(
            f"the study's results are new and it never runs here: {listed(new)}; run `make study` on this commit "
            "on a machine of your own and see that Git finds no change"
        )
