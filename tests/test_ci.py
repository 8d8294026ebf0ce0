"""What a reviewer relies on: CI re-runs the stages that a change reaches, no others, and believes no figure."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path

import pytest
from conftest import ROOT, ran, run

AFTER_DISTILL = ["distill", "evaluate@distilled", "compare", "export"]
EVALUATION = ["evaluate@teacher", "evaluate@baseline", "evaluate@distilled"]


@pytest.fixture(scope="module")
def upstream(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished repository with its data, models and run cache on a remote."""
    folder = tmp_path_factory.mktemp("ci")
    run(finished, "git", "clone", "-q", str(finished), str(folder / "upstream"))
    run(finished, "dvc", "cache", "dir", "--local", str(finished / ".dvc" / "cache"))
    upstream = folder / "upstream"
    run(upstream, "dvc", "remote", "add", "-d", "team", str(folder / "remote"))
    run(upstream, "git", "commit", "-qam", "remote")
    run(upstream, "dvc", "cache", "dir", "--local", str(finished / ".dvc" / "cache"))
    run(upstream, "dvc", "push", "--run-cache")
    return upstream


@pytest.fixture
def clone(upstream: Path, tmp_path: Path) -> Path:
    """A pull request's checkout on a fresh machine."""
    run(upstream, "git", "clone", "-q", str(upstream), str(tmp_path / "clone"))
    return tmp_path / "clone"


def edit(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.fixture(scope="module")
def rows() -> Iterator[list[str]]:
    """What each case did, for the report that `make proof` leaves."""
    rows: list[str] = []
    yield rows
    if report := os.environ.get("CXR_CI_REPORT"):
        head = "# What CI re-runs\n\nPull requests on phantoms, as `make proof` saw them.\n\n"
        (ROOT / report).write_text(head + "| case | stages that ran | CI says |\n|---|---|---|\n" + "".join(rows))


Proposed = Callable[[], tuple[str, str, list[str]]]


@pytest.fixture
def proposed(request: pytest.FixtureRequest, clone: Path, rows: list[str]) -> Proposed:
    """Commits the clone's changes, runs CI: log, summary, and the stages that ran; refusal shows in the summary."""

    def propose() -> tuple[str, str, list[str]]:
        run(clone, "git", "commit", "-qam", "change")
        log = run(clone, "python", ".ci/pipeline.py", "HEAD~", check=False)
        assert "Traceback" not in log, log
        summary = (clone / "ci-results" / "summary.md").read_text()
        stages = ran(log)
        refused = re.search(r"\*\*Refused:\*\* ([^:;]+)", summary)
        said = "phantoms alone; " * ("phantoms alone" in summary) + (refused[1] if refused else "passes")
        case = request.node.name.removeprefix("test_").replace("_", " ")
        on_phantoms = re.search(r"Stages that run: ([^.]*)", summary)
        rows.append(f"| {case} | {on_phantoms[1] if on_phantoms else ', '.join(stages) or 'none'} | {said} |\n")
        return log, summary, stages

    return propose


def test_a_change_of_the_readme_runs_nothing_and_passes(clone: Path, proposed: Proposed) -> None:
    edit(clone / "README.md", "# cxr-distill", "# cxr-distill!")
    _, summary, stages = proposed()
    assert stages == [] and "Refused" not in summary


def test_a_change_of_evaluation_runs_evaluation_alone(clone: Path, proposed: Proposed) -> None:
    edit(clone / "src/cxr_distill/evaluation/metrics.py", '"n": len(labels),', '"n": len(labels), "more": 1,')
    _, summary, stages = proposed()
    assert stages == [*EVALUATION, "evaluate_set@blog_best", "evaluate_set@teacher_only", "compare", "export"]
    assert "commit these" in summary and "test.more" in summary
    assert json.loads((clone / "ci-results/metrics/teacher.json").read_text())["test"]["more"] == 1


def test_a_changed_alpha_without_its_lock_is_run_shown_and_asked_for(clone: Path, proposed: Proposed) -> None:
    edit(clone / "params.yaml", "distill:\n  alpha: 0.9", "distill:\n  alpha: 0.25")
    _, summary, stages = proposed()
    assert stages == AFTER_DISTILL and "commit these" in summary
    assert "distill.alpha" in summary and "## Metrics" in summary
    # What CI made is what passes once it is committed: it is run again, and gives the same bytes.
    for name in ("dvc.lock", "metrics", "plots", "release", "reports"):
        run(clone, "cp", "-r", f"ci-results/{name}", ".")
    run(clone, "git", "add", "-A", "dvc.lock", "metrics", "plots", "release", "reports")
    run(clone, "rm", "-rf", ".dvc/cache", "models", "data", "predictions")
    run(clone, "git", "reset", "-q", "--soft", "HEAD~")
    _, summary, stages = proposed()
    assert stages == AFTER_DISTILL and "Refused" not in summary


def test_a_change_of_the_teacher_retrains_the_teacher_and_what_hangs_on_it(clone: Path, proposed: Proposed) -> None:
    edit(clone / "src/cxr_distill/nets/teacher/network.py", "manual_seed(params.seed)", "manual_seed(params.seed + 1)")
    _, summary, stages = proposed()
    assert "commit these" in summary
    assert stages[:2] == ["train_teacher", "soft_targets"] and "train_baseline" not in stages and "distill" in stages


def test_a_figure_that_is_not_the_locks_is_refused(clone: Path, proposed: Proposed) -> None:
    path = clone / "metrics/distilled.json"
    path.write_text(re.sub(r'"accuracy": [0-9.]+', '"accuracy": 0.999', path.read_text()))
    _, summary, stages = proposed()
    assert stages == [] and "not what dvc.lock names: metrics/distilled.json" in summary


def test_a_figure_forged_together_with_its_lock_is_refused(clone: Path, proposed: Proposed) -> None:
    path = clone / "metrics/distilled.json"
    old = path.read_bytes()
    path.write_bytes(re.sub(rb'"accuracy": [0-9.]+', b'"accuracy": 0.999', old))
    edit(clone / "dvc.lock", md5(old).hexdigest(), md5(path.read_bytes()).hexdigest())
    _, summary, stages = proposed()
    assert "evaluate@distilled" in stages and "distill" not in stages
    assert "does not give what was committed" in summary and "metrics/distilled.json" in summary


def test_without_a_cache_the_scope_is_shown_on_phantoms(clone: Path, proposed: Proposed) -> None:
    run(clone, "dvc", "remote", "remove", "team")
    edit(clone / "params.yaml", "distill:\n  alpha: 0.9", "distill:\n  alpha: 0.25")
    _, summary, _ = proposed()
    assert f"on phantoms alone. Stages that run: {', '.join(AFTER_DISTILL)}." in summary
    assert "dvc.lock is older than the code" in summary
