"""`make demo` as a newcomer meets it: no Git identity, a second run, an experiment of their own, a run that stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from conftest import ONE_SET, ROOT, put_back, ran, run

from cxr_distill.release.build import FP32, INT8
from demo.workspace import changes, make_workspace, merge


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this repository where `python -m demo tiny` has run once, from nothing."""
    folder = tmp_path_factory.mktemp("newcomer") / "repository"
    make_workspace(folder, {})
    change_tiny(folder, ONE_SET)
    run(folder, "git", "init", "-q")
    settings = folder.parent / "home" / ".config" / "dvc"
    settings.mkdir(parents=True)
    (settings / "config").write_text(f"[cache]\n    dir = {folder.parent / 'cache'}\n")
    (folder.parent / "first.txt").write_text(demo(folder))
    return folder


def newcomer(folder: Path, *command: str, status: int = 0) -> str:
    """Run as somebody who has a HOME without a Git identity, in the virtual environment or not."""
    env = {"HOME": str(folder.parent / "home"), "PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1"}
    if folder.name == ".demo":
        env["HOME"] = str(folder.parent.parent / "home")
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=400)
    assert result.returncode == status, result.stdout + result.stderr
    return result.stdout + result.stderr


def demo(folder: Path, *, status: int = 0) -> str:
    return newcomer(folder, sys.executable, "-m", "demo", "tiny", status=status)


def change_tiny(folder: Path, changed: Mapping[str, object]) -> None:
    (folder / "demo/tiny.yaml").write_text(yaml.safe_dump(merge(changes("tiny"), changed)))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))


def head(folder: Path) -> str:
    return newcomer(folder / ".demo", "git", "rev-parse", "HEAD")


def test_the_demo_leaves_a_repository_of_its_own_with_everything_committed(repository: Path) -> None:
    workspace, said = repository / ".demo", (repository.parent / "first.txt").read_text()
    gain = json.loads((workspace / "reports/evaluation.json").read_text())["comparison"]["gain"]["auroc"]
    assert (
        "SYNTHETIC" in said and f"{gain['value']:+.3f}" in said and f"[{gain['low']:+.3f}, {gain['high']:+.3f}]" in said
    )
    assert newcomer(workspace, "git", "status", "--porcelain") == ""
    assert newcomer(workspace, "git", "log", "--format=%an <%ae>").splitlines() == ["demo <demo@localhost>"] * 2
    assert "dvc.lock" in newcomer(workspace, "git", "ls-files").splitlines()
    assert "# weight of the teacher" in (workspace / "params.yaml").read_text()
    assert ".demo" not in newcomer(repository, "git", "status", "--porcelain", "--untracked-files=normal")


def test_two_runs_end_in_the_same_bytes(repository: Path, finished: Path) -> None:
    results = [f"models/{name}.safetensors" for name in ("teacher", "baseline", "distilled", "sets/blog_best")]
    results += ["data/soft_targets.safetensors", "reports/evaluation.json", "reports/release.json"]
    results += ["metrics/teacher.json", "metrics/gain.json"]
    results += [f"release/{name}" for name in (FP32, INT8, "MODEL_CARD.md")]
    put_back(finished)
    for name in results:
        assert (repository / ".demo" / name).read_bytes() == (finished / name).read_bytes(), name


def test_what_it_says_to_type_next_works_and_a_second_demo_keeps_it(repository: Path) -> None:
    said = (repository.parent / "first.txt").read_text()
    lines = re.findall(r"^  (\S.*?)  +# ", said.partition("Now ask")[2], re.M)
    assert [line.split(" -S ")[0] for line in lines[1:]] == [
        "dvc exp run", "dvc metrics diff", "dvc exp show --only-changed", "dvc plots show",
    ]  # fmt: skip
    before, metrics = head(repository), (repository / ".demo/metrics/distilled.json").read_bytes()
    output = newcomer(repository, "bash", "-ec", "\n".join(lines))
    assert ran(output) == ["distill", "evaluate@distilled", "compare", "release"]
    assert "metrics/gain.json" in output and "distill.alpha" in output and "0.25" in output
    assert (repository / ".demo/dvc_plots/index.html").exists()
    assert (repository / ".demo/metrics/distilled.json").read_bytes() != metrics
    experiments = newcomer(repository / ".demo", "dvc", "exp", "list")

    # Back at the demo's alpha: trained and evaluated results come from the run cache, which these two stages have not.
    assert ran(demo(repository)) == ["compare", "release"]
    assert (repository / ".demo/metrics/distilled.json").read_bytes() == metrics
    assert head(repository) == before and newcomer(repository / ".demo", "git", "status", "--porcelain") == ""
    assert newcomer(repository / ".demo", "dvc", "exp", "list") == experiments


def test_a_second_demo_runs_what_changed_and_loses_nothing_of_the_users(repository: Path) -> None:
    workspace = repository / ".demo"
    template = "src/cxr_distill/report/templates/comparison.md.j2"
    edit(repository / template, "Each model is one training run", "Every model is one training run")
    (repository / "CONTRIBUTING.md").unlink()
    (workspace / "notes.txt").write_text("mine")
    edit(workspace / "dvc.yaml", "# The DAG.", "# My DAG.")
    output = demo(repository)
    assert ran(output) == ["compare"] and "git stash" in output
    assert "Every model is one training run" in (workspace / "reports/comparison.md").read_text()
    assert not (workspace / "CONTRIBUTING.md").exists() and (workspace / "notes.txt").read_text() == "mine"
    assert "My DAG." in newcomer(workspace, "git", "stash", "show", "-p")
    assert newcomer(workspace, "git", "status", "--porcelain") == "?? notes.txt\n"
    (workspace / "notes.txt").unlink()


def test_a_demo_that_stopped_goes_on(repository: Path) -> None:
    stage = repository / "stages/compare.py"
    edit(stage, 'if __name__ == "__main__":', 'if __name__ == "__main__":\n    raise SystemExit("stop")')
    more = {"alpha": 0.5, "temperature": 2.0, "loss": "hinton"}
    change_tiny(repository, merge(ONE_SET, {"param_sets": {"more": more}}))
    stopped = demo(repository, status=1)
    assert ran(stopped) == ["distill_set@more", "evaluate_set@more", "compare"]
    assert [line for line in stopped.splitlines() if line.startswith("error:")] == [
        "error: the demo's pipeline failed; the stage's own message is above"
    ]
    edit(stage, '\n    raise SystemExit("stop")', "")
    assert ran(demo(repository)) == ["compare"]
    assert "| more |" in (repository / ".demo/reports/comparison.md").read_text()
    assert newcomer(repository / ".demo", "git", "status", "--porcelain") == ""


def test_a_workspace_that_is_no_repository_is_made_anew(repository: Path) -> None:
    shutil.rmtree(repository / ".demo" / ".git")
    (repository / ".demo" / "left.txt").write_text("of an older demo")
    demo(repository)
    assert not (repository / ".demo" / "left.txt").exists()
    assert newcomer(repository / ".demo", "git", "status", "--porcelain") == ""


def test_what_the_demo_cannot_do_is_said_in_one_line(tmp_path: Path) -> None:
    make_workspace(tmp_path / "zip", {})  # as somebody has it who loads the repository without Git
    for words, status, reason in ((["tiny"], 1, "a clone made by Git"), (["no"], 2, "there are demo and tiny")):
        command = [sys.executable, "-m", "demo", *words]
        failed = subprocess.run(command, cwd=tmp_path / "zip", capture_output=True, text=True)
        lines = [line for line in failed.stderr.splitlines() if not line.startswith("fatal:")]
        assert failed.returncode == status and len(lines) == 1 and reason in lines[0], failed.stderr


def test_param_sets_that_the_demo_does_not_want_are_left_out(tmp_path: Path) -> None:
    before = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert len(before["param_sets"]) > 1
    for unwanted in (["no_labels"], list(before["param_sets"])):
        make_workspace(tmp_path, {"param_sets": dict.fromkeys(unwanted)})
        kept = {name: values for name, values in before["param_sets"].items() if name not in unwanted}
        assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == {**before, "param_sets": kept}
