"""What a reviewer relies on: CI re-runs the stages that a change reaches, no others, and believes no figure."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path
from secrets import token_hex

import pytest
import yaml
from conftest import ROOT, program, ran, run
from kaggle_server import Kaggle, serving

pytestmark = pytest.mark.ci

AFTER_DISTILL = ["distill", "evaluate@distilled", "compare", "release", "report"]
EVALUATION = ["evaluate_teacher", "evaluate@baseline", "evaluate@distilled"]
RESULTS = ("dvc.lock", "metrics", "plots", "release", "reports")


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


def forge(clone: Path, name: str, pattern: bytes, new: bytes) -> None:
    """Change a result together with its hash in the lock."""
    path = clone / name
    old = path.read_bytes()
    path.write_bytes(re.sub(pattern, new, old))
    assert path.read_bytes() != old
    edit(clone / "dvc.lock", md5(old).hexdigest(), md5(path.read_bytes()).hexdigest())


def out_of_reach(clone: Path) -> None:
    """From here on neither data nor models can be had."""
    run(clone, "dvc", "remote", "remove", "team")


def accept(clone: Path) -> None:
    """Put the results that CI left in their places, to be committed."""
    for path in (clone / "ci-results").iterdir():
        if path.name in RESULTS:
            run(clone, "cp", "-r", str(path), ".")
    run(clone, "git", "add", "-A", *RESULTS)


def checked(clone: Path, what: str) -> tuple[int, str, str]:
    """Exit status, log and summary of .ci/pipeline.py."""
    log = run(clone, "bash", "-c", f"python .ci/pipeline.py {what}; echo exit status $?")
    assert "Traceback" not in log, log
    found = re.search(r"^exit status (\d)$", log, re.M)
    assert found
    return int(found[1]), log, (clone / "ci-results" / "summary.md").read_text()


@pytest.fixture(scope="module")
def rows() -> Iterator[list[str]]:
    """What each case did, for the report that `make proof` leaves."""
    rows: list[str] = []
    yield rows
    if report := os.environ.get("CXR_CI_REPORT"):
        head = "# What CI re-runs\n\nPull requests on phantoms, as `make proof` saw them.\n\n"
        (ROOT / report).write_text(head + "| case | stages that ran | CI says |\n|---|---|---|\n" + "".join(rows))


Proposed = Callable[[], tuple[int, str, list[str]]]


@pytest.fixture
def proposed(request: pytest.FixtureRequest, clone: Path, rows: list[str]) -> Proposed:
    """Commits the clone's changes, runs CI: exit status, summary, and the stages that ran."""

    def propose() -> tuple[int, str, list[str]]:
        run(clone, "git", "commit", "-qam", "change")
        status, log, summary = checked(clone, "HEAD~")
        stages = ran(log)
        verdict = re.search(r"\*\*(Refused|Not checked|Not comparable):\*\* ([^:;]+)", summary)
        assert (verdict is None) == (status == 0)
        said = "phantoms alone; " * ("phantoms alone" in summary) + (
            f"{verdict[1]}: {verdict[2]}" if verdict else "passes"
        )
        case = request.node.name.removeprefix("test_").replace("_", " ")
        on_phantoms = re.search(r"Stages that run: ([^.]*)", summary)
        rows.append(f"| {case} | {on_phantoms[1] if on_phantoms else ', '.join(stages) or 'none'} | {said} |\n")
        return status, summary, stages

    return propose


def test_a_change_of_the_readme_runs_nothing_and_passes(clone: Path, proposed: Proposed) -> None:
    edit(clone / "README.md", "# cxr-distill", "# cxr-distill!")
    status, summary, stages = proposed()
    assert status == 0 and stages == [] and "The study has not been run." in summary


def test_a_change_of_evaluation_runs_evaluation_alone(clone: Path, proposed: Proposed) -> None:
    edit(clone / "src/cxr_distill/evaluation/metrics.py", '"test": ("accuracy",', '"test": ("accuracy", "f1",')
    status, summary, stages = proposed()
    sets = yaml.safe_load((clone / "params.yaml").read_text())["param_sets"]
    assert stages == [*EVALUATION, *(f"evaluate_set@{name}" for name in sets), "compare", "release"]
    assert status == 1 and "commit these" in summary and "test.f1" in summary
    assert "f1" in json.loads((clone / "ci-results/metrics/teacher.json").read_text())["test"]


def test_a_changed_alpha_without_its_lock_is_run_shown_and_asked_for(clone: Path, proposed: Proposed) -> None:
    edit(clone / "params.yaml", "distill:\n  alpha: 0.5", "distill:\n  alpha: 0.25")
    status, summary, stages = proposed()
    assert status == 1 and stages == AFTER_DISTILL and "commit these" in summary
    assert "distill.alpha" in summary and "## Metrics" in summary
    # What CI made is what passes once it is committed: it is run again, and gives the same bytes.
    accept(clone)
    run(clone, "rm", "-rf", ".dvc/cache", "models", "data", "evaluation")
    run(clone, "git", "reset", "-q", "--soft", "HEAD~")
    status, _, stages = proposed()
    assert status == 0 and stages == AFTER_DISTILL


def test_a_change_of_the_teacher_retrains_the_teacher_and_what_hangs_on_it(clone: Path, proposed: Proposed) -> None:
    edit(clone / "src/cxr_distill/nets/teacher/network.py", "manual_seed(params.seed)", "manual_seed(params.seed + 1)")
    _, summary, stages = proposed()
    assert "commit these" in summary
    assert stages[:2] == ["train_teacher", "soft_targets"] and "train_baseline" not in stages and "distill" in stages


def test_a_figure_that_is_not_the_locks_is_refused(clone: Path, proposed: Proposed) -> None:
    path = clone / "metrics/distilled.json"
    path.write_text(re.sub(r'"accuracy": [0-9.]+', '"accuracy": 0.999', path.read_text()))
    status, summary, stages = proposed()
    assert status == 1 and stages == [] and "not what dvc.lock names: metrics/distilled.json" in summary


def test_a_figure_forged_together_with_its_lock_is_refused(clone: Path, proposed: Proposed) -> None:
    forge(clone, "metrics/distilled.json", rb'"accuracy": [0-9.]+', b'"accuracy": 0.999')
    status, summary, stages = proposed()
    assert status == 1 and "evaluate@distilled" in stages and "distill" not in stages
    assert "does not give what was committed" in summary and "metrics/distilled.json" in summary


def test_a_figure_that_no_stage_makes_is_named(clone: Path, proposed: Proposed) -> None:
    (clone / "metrics" / "invented.json").write_text('{"test": {"accuracy": 0.999}}')
    run(clone, "git", "add", "metrics")
    status, summary, _ = proposed()
    assert status == 0 and "made by no stage and so not checked: metrics/invented.json" in summary


def test_what_another_kind_of_processor_trained_is_not_comparable(
    clone: Path, proposed: Proposed, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(clone, "dvc", "pull")
    edit(clone / "params.yaml", "distill:\n  alpha: 0.5", "distill:\n  alpha: 0.25")
    with monkeypatch.context() as other:
        other.setenv("ATEN_CPU_CAPABILITY", "default")  # PyTorch takes the processor for an old one
        run(clone, "dvc", "repro")
    status, summary, stages = proposed()
    assert status == 3 and "distill" in stages and "Refused" not in summary
    assert re.search(r"\*\*Not comparable:\*\* trained on \S+ DEFAULT.*, run again on .*dvc.lock", summary)


def test_lungs_found_by_another_kind_of_processor_are_not_comparable(
    clone: Path, proposed: Proposed, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(clone, "dvc", "pull")
    edit(
        clone / "params.yaml",
        "batch_size: 16\n  learning_rate: 2.0e-3\n  weight_decay: 0.05\n  seed: 0\n\nteacher",
        "batch_size: 12\n  learning_rate: 2.0e-3\n  weight_decay: 0.05\n  seed: 0\n\nteacher",
    )
    assert "distill" not in ran(run(clone, "dvc", "repro"))
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    status, summary, stages = proposed()
    assert status == 3 and "find_lungs" in stages and "Not comparable" in summary


def test_without_a_cache_the_scope_is_shown_on_phantoms(clone: Path, proposed: Proposed) -> None:
    out_of_reach(clone)
    edit(clone / "params.yaml", "distill:\n  alpha: 0.5", "distill:\n  alpha: 0.25")
    status, summary, _ = proposed()
    assert f"on phantoms alone. Stages that run: {', '.join(AFTER_DISTILL)}." in summary
    assert status == 1 and "dvc.lock is older than the code" in summary


def test_without_a_cache_what_changes_no_result_passes(clone: Path, proposed: Proposed) -> None:
    out_of_reach(clone)
    edit(clone / "README.md", "# cxr-distill", "# cxr-distill!")
    status, summary, _ = proposed()
    assert status == 0 and "Stages that run: none." in summary


def test_without_a_cache_a_figure_forged_together_with_its_lock_does_not_pass(clone: Path, proposed: Proposed) -> None:
    out_of_reach(clone)
    forge(clone, "metrics/distilled.json", rb'"accuracy": [0-9.]+', b'"accuracy": 0.999')
    status, summary, _ = proposed()
    assert status == 3 and "**Not checked:** these results cannot be checked here: evaluate@distilled" in summary


def test_without_a_cache_a_new_sentence_is_made_again_and_believed_and_a_forged_one_is_not(
    clone: Path, proposed: Proposed
) -> None:
    out_of_reach(clone)
    edit(clone / "src/cxr_distill/report/templates/comparison.md.j2", "What the networks read", "What networks read")
    run(clone, "dvc", "repro", "-s", "report")
    status, summary, _ = proposed()
    assert status == 0 and "Run again, because they are made of committed files alone: report." in summary
    run(clone, "git", "clean", "-fdxq", "-e", ".dvc")  # each run of CI has its own checkout
    forge(clone, "reports/comparison.md", rb"What networks read", b"That networks read")
    status, summary, _ = proposed()
    (refused,) = re.findall(r"running report again does not give what was committed: (.*)", summary)
    assert status == 1 and refused.split(", ") == ["dvc.lock", "reports/comparison.md"]


def test_a_base_without_a_lock_is_one_in_which_every_result_is_new(clone: Path, proposed: Proposed) -> None:
    run(clone, "git", "rm", "-rq", "--cached", *RESULTS)
    run(clone, "git", "commit", "-qm", "no results yet")
    run(clone, "git", "add", *RESULTS)
    status, summary, stages = proposed()
    assert status == 0 and stages == [*ran(run(clone, "dvc", "repro", "--dry", "--force"))]
    assert "Refused" not in summary


def test_warnings_of_git_are_no_part_of_a_lock(clone: Path) -> None:
    assert "trace: built-in" in run(clone, "env", "GIT_TRACE=1", "git", "show", "HEAD:dvc.lock")
    stages = run(clone, "env", "GIT_TRACE=1", *program("count_stages"))
    assert int(stages) == len(yaml.safe_load((clone / "dvc.lock").read_text())["stages"])


def test_a_base_that_is_no_commit_is_one_line(clone: Path) -> None:
    status, log, _ = checked(clone, "nowhere")
    assert status == 1 and "error: `git rev-parse --verify nowhere^{commit}` failed: fatal" in log


STUDY = {
    "stages": {
        "sum": {
            "cmd": "cksum < ../models/teacher.safetensors | cut -d ' ' -f 1 > results.json",
            "deps": ["../models/teacher.safetensors", "../src/cxr_distill/base/errors.py"],
            "params": [{"../params.yaml": ["distill"]}],
            "outs": [{"results.json": {"cache": False}}],
        }
    }
}


@pytest.fixture(scope="module")
def studied(upstream: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished repository with a small study on top, run and committed: one number about the teacher."""
    folder = tmp_path_factory.mktemp("studied") / "repository"
    run(upstream, "git", "clone", "-q", str(upstream), str(folder))
    run(folder, "dvc", "pull", "--run-cache")
    (folder / "study").mkdir(exist_ok=True)
    (folder / "study" / "dvc.yaml").write_text(yaml.safe_dump(STUDY))
    run(folder / "study", "dvc", "init", "-q", "--subdir")
    run(folder / "study", "dvc", "repro")
    run(folder, "git", "add", "study/.dvc", "study/dvc.yaml", "study/dvc.lock", "study/results.json")
    run(folder, "git", "commit", "-qm", "study")
    return folder


@pytest.fixture
def study_clone(studied: Path, tmp_path: Path) -> Path:
    """A checkout of it, without data."""
    run(studied, "git", "clone", "-q", str(studied), str(tmp_path / "clone"))
    return tmp_path / "clone"


def held(checkout: Path) -> str:
    """What the check of the study says, alone; nothing if it passes."""
    said = run(checkout, *program("check_study")).splitlines()
    return next((line for line in said if line.startswith(("Refused", "Not"))), "")


def test_a_study_in_line_passes_without_data(study_clone: Path) -> None:
    assert held(study_clone) == ""
    edit(study_clone / "README.md", "# cxr-distill", "# cxr-distill!")
    run(study_clone, "git", "commit", "-qam", "change")
    run(study_clone, "dvc", "remote", "add", "--local", "-d", "-f", "team", str(study_clone / "nothing"))
    status, _, summary = checked(study_clone, "HEAD~")
    assert status == 0 and "phantoms alone" in summary and "The networks of the study never run here" in summary


def test_a_study_of_another_teacher_is_refused_where_dvc_sees_nothing(studied: Path, tmp_path: Path) -> None:
    retrained, checkout = tmp_path / "retrained", tmp_path / "checkout"
    run(studied, "git", "clone", "-q", str(studied), str(retrained))
    run(retrained, "dvc", "pull", "--run-cache")
    edit(
        retrained / "src/cxr_distill/nets/teacher/network.py",
        "manual_seed(params.seed)",
        "manual_seed(params.seed + 1)",
    )
    run(retrained, "dvc", "repro", "train_teacher")
    run(retrained, "git", "commit", "-qam", "another teacher")
    run(retrained, "git", "clone", "-q", str(retrained), str(checkout))
    assert "up to date" in run(checkout / "study", "dvc", "repro", "--dry", "--allow-missing")
    assert held(checkout).startswith("Refused: the study is older than models/teacher.safetensors;")


def test_a_study_older_than_code_or_params_is_refused(study_clone: Path) -> None:
    errors = study_clone / "src/cxr_distill/base/errors.py"
    old = errors.read_text()
    errors.write_text(old + "# changed\n")
    assert held(study_clone).startswith("Refused: the study is older than src/cxr_distill/base/errors.py;")
    errors.write_text(old)
    edit(study_clone / "params.yaml", "distill:\n  alpha: 0.5", "distill:\n  alpha: 0.25")
    assert held(study_clone).startswith("Refused: the study is older than its code or params;")


def test_a_figure_of_the_study_is_its_locks_and_a_new_one_is_not_believed(study_clone: Path) -> None:
    figure, lock = study_clone / "study" / "results.json", study_clone / "study" / "dvc.lock"
    old = figure.read_bytes()
    figure.write_text("999\n")
    assert held(study_clone).startswith("Refused: not what dvc.lock names: study/results.json;")
    edit(lock, md5(old).hexdigest(), md5(figure.read_bytes()).hexdigest())
    edit(lock, f"size: {len(old)}", f"size: {figure.stat().st_size}")
    assert held(study_clone).startswith("Not checked: the study's results are new and it never runs here: sum;")
    lock.unlink()
    assert held(study_clone).startswith(
        "Refused: study/dvc.lock is missing, yet there are results: study/results.json;"
    )


def test_the_main_branch_fills_the_cache_and_a_pull_request_finds_it(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive, token = "data/raw/chest-xray-pneumonia.zip", f"KGAT_{token_hex(16)}"
    run(clone, "dvc", "pull", archive)
    content = (clone / archive).read_bytes()
    run(clone, "rm", "-rf", ".dvc/cache", "data")
    out_of_reach(clone)
    edit(clone / "params.yaml", "source: phantom", "source: kaggle")
    run(clone, "git", "commit", "-qam", "real data")
    for name in [name for name in os.environ if "proxy" in name.lower()]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("KAGGLE_API_TOKEN", token)
    with serving(Kaggle(content)) as kaggle:
        for name, value in kaggle.environment().items():
            monkeypatch.setenv(name, value)
        status, log, summary = checked(clone, "--fill")
    assert kaggle.authorizations == [f"Bearer {token}"]
    assert status == 1 and "dvc.lock is older than the code; commit these" in summary and ran(log)[0] == "download"
    accept(clone)
    run(clone, "git", "commit", "-qm", "results")
    status, again, summary = checked(clone, "--fill")
    assert status == 0 and ran(again) == [] and "had it: none." in summary
    assert token not in log + again
    left = [path for path in clone.rglob("*") if path.is_file() and token.encode() in path.read_bytes()]
    assert left == []

    request = tmp_path / "request"
    run(clone, "git", "clone", "-q", str(clone), str(request))
    run(clone, "cp", "-r", ".dvc/cache", str(request / ".dvc"))
    forge(request, "metrics/distilled.json", rb'"accuracy": [0-9.]+', b'"accuracy": 0.999')
    run(request, "git", "commit", "-qam", "change")
    status, log, summary = checked(request, "HEAD~")
    assert status == 1 and "evaluate@distilled" in ran(log) and "does not give what was committed" in summary


def test_only_the_workflow_of_the_main_branch_has_the_token_and_saves_the_cache() -> None:
    flows = {path.stem: path.read_text() for path in (ROOT / ".github" / "workflows").glob("*.yml")}
    assert [name for name, text in flows.items() if "secrets." in text] == ["fill-cache"]
    assert [name for name, text in flows.items() if "actions/cache/save@" in text] == ["fill-cache"]
    on = yaml.safe_load(flows["fill-cache"])[True]  # YAML 1.1 takes the word `on` for true
    assert "pull_request" not in on and on["push"] == {"branches": ["main"]}
    keys = [re.findall(r"^ +key: (dvc-\$\{\{ hashFiles.*)$", flows[name], re.M) for name in ("fill-cache", "pipeline")]
    assert keys[0] == keys[1] and len(keys[0]) == 1
