"""Whether the study's lock is in line with code, params and the pipeline's results, in a checkout without data."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from hashlib import md5

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
RESULTS = ("metrics.json", "results.json", "gathered", "reports")


def folder_md5(files: Mapping[str, str | None]) -> str:
    """DVC's hash of a folder, from the MD5 of each file by its path in there."""
    entries = [{"md5": files[name], "relpath": name} for name in sorted(files)]
    return f"{md5(json.dumps(entries, sort_keys=True).encode()).hexdigest()}.dir"


def check_folders(study: Stages) -> None:
    """Raises Refused naming the folders among the outputs that Git tracks, but not as the study's lock names them."""
    for path, digest in outputs(study).items():
        tracked = git("ls-files", "--", path, cwd=STUDY).splitlines() if digest.endswith(".dir") else []
        files = {name.removeprefix(f"{path}/"): md5_of(STUDY / name) for name in tracked}
        if tracked and folder_md5(files) != digest:
            raise Refused(f"not what dvc.lock names: study/{path}; commit it as `dvc repro` writes it")


def stale_inputs(study: Stages, pipeline: Stages) -> list[str]:
    """Files outside study/ that are no longer those which the study's lock names.

    Without data, DVC in study/ notices no change of the pipeline's outputs: only the root's dvc.lock has their hashes.
    """
    made = outputs(pipeline)
    stale = set()
    for dep in (dep for entry in study.values() for dep in entry.get("deps", [])):
        path = posixpath.normpath(f"study/{dep['path']}")
        inside = {out.removeprefix(f"{path}/"): made[out] for out in made if out.startswith(f"{path}/")}
        if path.startswith("study/") or ((ROOT / path).is_dir() and not inside):
            continue  # all of it is in the commit, where DVC sees it
        if dep.get("md5") != (made.get(path) or (folder_md5(inside) if inside else md5_of(ROOT / path))):
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
    check_folders(study)
    if stale := stale_inputs(study, pipeline):
        raise Refused(f"the study is older than {listed(stale)}; run `make study` and commit its results")
    if not up_to_date(STUDY):
        raise Refused("the study is older than its code or params; run `make study` and commit its results")
    new = written(study, lock_at(base, "study/dvc.lock"))
    again = run_again(STUDY, light(STUDY, {stage: study[stage] for stage in new}))
    if again and (changed := git("diff", "--name-only", "--", "study").splitlines()):
        raise Refused(f"running {listed(again)} of the study again does not give what was committed: {listed(changed)}")
    if new := [stage for stage in new if stage not in again]:
        raise NotChecked(
            f"the study's results are new and it never runs here: {listed(new)}; run `make study` on this commit "
            "on a machine of your own and see that Git finds no change"
        )
