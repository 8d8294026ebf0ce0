"""`make demo` as a newcomer meets it: no Git identity, a second run, an experiment of their own, a run that stopped."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from conftest import ONE_SET, ROOT, change_tiny, demo, edit, make_newcomer, newcomer, program, put_back, ran

from cxr_distill.release.build import FP32, INT8
from demo.command import COLUMNS, reason
from demo.workspace import make_workspace, merge

DEMO_LINES = 60
IMPORTING = b"IMPORTING"


@pytest.fixture(scope="module")
def own(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of that repository for tests that change it."""
    folder = tmp_path_factory.mktemp("own") / "newcomer"
    return Path(shutil.copytree(repository.parent, folder, symlinks=True)) / "repository"


def logged(folder: Path) -> str:
    return (folder / ".demo/demo.log").read_text()


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


def test_it_says_one_line_for_each_stage_and_fits_on_a_screen(repository: Path) -> None:
    said = (repository.parent / "first.txt").read_text().splitlines()
    assert len(said) <= DEMO_LINES and max(map(len, said)) <= COLUMNS
    told = [found for line in said if (found := re.match(r"\[ *(\d+)/(\d+)\] (\S+) +(\S.*?\S)  +\d+ s$", line))]
    names = newcomer(repository / ".demo", "dvc", "stage", "list", "--name-only").split()
    log = (repository.parent / "first.log").read_text()
    assert [found[3] for found in told] == names == ran(log)
    assert [(int(found[1]), int(found[2])) for found in told] == [(n, len(names)) for n in range(1, len(names) + 1)]
    assert "Epoch 0" in log and not any("Epoch" in line for line in said)
    (picture,) = re.findall(r"picture to open: (\S+)\.", "\n".join(said))
    assert (repository / picture).read_bytes().startswith(b"\x89PNG")


def test_a_second_run_finds_nothing_to_do_and_all_that_dvc_says_can_be_seen(repository: Path) -> None:
    shown = demo(repository, "--all")
    names = newcomer(repository / ".demo", "dvc", "stage", "list", "--name-only").split()
    assert re.findall(r"^Stage '(\S+)' didn't change, skipping", shown, re.M) == names and "[ 1/" not in shown
    assert logged(repository) in shown and "SYNTHETIC" in shown


def test_the_reason_does_not_promise_what_the_interval_leaves_open() -> None:
    params = {"data": {"phantom": {"wrong_labels": 0.15}}, "soft_targets": {"count": 1}}

    def said(value: float, low: float, high: float) -> str:
        return reason({"comparison": {"gain": {"auroc": {"value": value, "low": low, "high": high}}}}, params)

    assert "Why a teacher helps here: 15% of the training labels are wrong" in said(0.1, 0.05, 0.15)
    assert said(0.1, -0.01, 0.2) == said(0.1, 0.0, 0.2) == "In this run the 95% interval of the gain includes 0."
    assert said(-0.1, -0.2, -0.01) == "In this run the teacher lowered the student's AUROC."


@pytest.mark.slow
def test_two_runs_end_in_the_same_bytes(finished: Path, tmp_path: Path) -> None:
    results = [f"models/{name}.safetensors" for name in ("teacher", "baseline", "distilled", "blog_best")]
    results += ["data/soft_targets.safetensors", "reports/evaluation.json", "reports/release.json"]
    results += ["metrics/teacher.json", "metrics/gain.json"]
    results += [f"release/{name}" for name in (FP32, INT8, "MODEL_CARD.md")]
    make_newcomer(tmp_path / "again", settings=f"[cache]\n    dir = {tmp_path / 'cache'}\n")
    put_back(finished)
    for name in results:
        assert (tmp_path / "again/repository/.demo" / name).read_bytes() == (finished / name).read_bytes(), name


@pytest.mark.slow
def test_what_it_says_to_type_next_works_and_a_second_demo_keeps_it(own: Path) -> None:
    said = demo(own)
    lines = re.findall(r"^  (\S.*?)  +# ", said.partition("Now ask")[2], re.M)
    assert [line.split(" -S ")[0] for line in lines[1:]] == [
        "dvc exp run", "dvc metrics diff", "dvc exp show --only-changed", "dvc plots show",
    ]  # fmt: skip
    before, metrics = head(own), (own / ".demo/metrics/distilled.json").read_bytes()
    output = newcomer(own, "bash", "-ec", "\n".join(lines))
    assert ran(output) == ["distill", "evaluate@distilled", "compare", "release", "report"]
    assert "metrics/gain.json" in output and "distill.alpha" in output and "0.25" in output
    assert (own / ".demo/dvc_plots/index.html").exists()
    assert (own / ".demo/metrics/distilled.json").read_bytes() != metrics
    experiments = newcomer(own / ".demo", "dvc", "exp", "list")

    # Back at the demo's alpha: trained and evaluated results come from the run cache, which these three lack.
    told = demo(own)
    assert ran(logged(own)) == ["compare", "release", "report"]
    assert told.count("  done before\n") == 2
    assert (own / ".demo/metrics/distilled.json").read_bytes() == metrics
    assert head(own) == before and newcomer(own / ".demo", "git", "status", "--porcelain") == ""
    assert newcomer(own / ".demo", "dvc", "exp", "list") == experiments


@pytest.mark.slow
def test_a_second_demo_runs_what_changed_and_loses_nothing_of_the_users(own: Path) -> None:
    workspace = own / ".demo"
    template = "src/cxr_distill/report/templates/comparison.md.j2"
    edit(own / template, "Each model is one training run", "Every model is one training run")
    (own / "CONTRIBUTING.md").unlink()
    (workspace / "notes.txt").write_text("mine")
    edit(workspace / "dvc.yaml", "# The DAG.", "# My DAG.")
    output = demo(own)
    assert ran(logged(own)) == ["report"] and "git stash" in output
    assert "Every model is one training run" in (workspace / "reports/comparison.md").read_text()
    assert not (workspace / "CONTRIBUTING.md").exists() and (workspace / "notes.txt").read_text() == "mine"
    assert "My DAG." in newcomer(workspace, "git", "stash", "show", "-p")
    assert newcomer(workspace, "git", "status", "--porcelain") == "?? notes.txt\n"
    (workspace / "notes.txt").unlink()


@pytest.mark.slow
def test_a_demo_that_stopped_goes_on(own: Path) -> None:
    stage = own / "stages/compare.py"
    edit(stage, 'if __name__ == "__main__":', 'if __name__ == "__main__":\n    raise SystemExit("stop")')
    more = {"alpha": 0.5, "temperature": 2.0, "loss": "hinton"}
    change_tiny(own, merge(ONE_SET, {"param_sets": {"more": more}}))
    stopped = demo(own, status=1)
    assert ran(logged(own)) == ["distill_set@more", "evaluate_set@more", "compare"]
    (of_compare,) = [line for line in stopped.splitlines() if " compare " in line]
    assert of_compare.endswith("  failed") and "\nstop\n" in stopped and "Epoch" not in stopped
    assert [line for line in stopped.splitlines() if line.startswith("error:")] == [
        "error: the demo's pipeline failed; all that it said is in .demo/demo.log"
    ]
    edit(stage, '\n    raise SystemExit("stop")', "")
    demo(own)
    assert ran(logged(own)) == ["compare", "report"]
    assert "| more |" in (own / ".demo/reports/comparison.md").read_text()
    assert newcomer(own / ".demo", "git", "status", "--porcelain") == ""


@pytest.mark.slow
@pytest.mark.parametrize("words", [[], ["--all"]])
@pytest.mark.parametrize("doing", [b"Epoch 1", IMPORTING])
def test_ctrl_c_ends_in_one_line_and_leaves_nothing_running(own: Path, doing: bytes, words: list[str]) -> None:
    change_tiny(own, merge(ONE_SET, {"student": {"epochs": 500}}))
    stage = own / "stages/train_baseline.py"
    before = stage.read_text()
    if doing == IMPORTING:
        slow = f'import time\n\nprint("{IMPORTING.decode()}", flush=True)\ntime.sleep(60)\n\n\n'
        edit(stage, "def main() -> None:", f"{slow}def main() -> None:")
    said, log = own.parent / "said.txt", own / ".demo/demo.log"
    log.unlink(missing_ok=True)
    env = {"HOME": str(own.parent / "home"), "PATH": os.environ["PATH"]}
    with said.open("w") as file:
        command = program("demo_in_front", *words)
        process = subprocess.Popen(command, cwd=own, env=env, stdout=file, stderr=file, start_new_session=True)
    try:
        while not (log.exists() and doing in log.read_bytes()) and process.poll() is None:
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        assert process.wait(60) == 130
        with pytest.raises(ProcessLookupError):  # nobody of that session is left
            os.killpg(process.pid, 0)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    told = said.read_text()
    last = told.splitlines()[-2:]
    assert last[1] == "error: interrupted; the same command goes on" and "Traceback" not in told
    assert words or last[0].endswith("  stopped")
    stage.write_text(before)
    change_tiny(own, ONE_SET)


def test_ctrl_c_while_the_demo_itself_is_imported_is_one_line(tmp_path: Path) -> None:
    make_workspace(tmp_path, {})
    edit(
        tmp_path / "demo/workspace.py", "import filecmp\n", "import filecmp\nimport signal\n\nsignal.raise_signal(2)\n"
    )
    stopped = subprocess.run(program("demo_in_front"), cwd=tmp_path, capture_output=True, text=True)
    assert (stopped.returncode, stopped.stdout) == (130, "")
    assert stopped.stderr == "error: interrupted; the same command goes on\n"


@pytest.mark.slow
def test_a_workspace_that_is_no_repository_is_made_anew(own: Path) -> None:
    shutil.rmtree(own / ".demo" / ".git")
    (own / ".demo" / "left.txt").write_text("of an older demo")
    demo(own)
    assert not (own / ".demo" / "left.txt").exists()
    assert newcomer(own / ".demo", "git", "status", "--porcelain") == ""


def test_what_the_demo_cannot_do_is_said_in_one_line(tmp_path: Path) -> None:
    make_workspace(tmp_path / "zip", {})  # as somebody has it who loads the repository without Git
    for words, status, told in ((["tiny"], 1, "a clone made by Git"), (["no"], 2, "there are demo and tiny")):
        command = [sys.executable, "-m", "demo", *words]
        failed = subprocess.run(command, cwd=tmp_path / "zip", capture_output=True, text=True)
        lines = [line for line in failed.stderr.splitlines() if not line.startswith("fatal:")]
        assert failed.returncode == status and len(lines) == 1 and told in lines[0], failed.stderr


def test_param_sets_that_the_demo_does_not_want_are_left_out(tmp_path: Path) -> None:
    before = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert len(before["param_sets"]) > 1
    for unwanted in (["no_labels"], list(before["param_sets"])):
        make_workspace(tmp_path, {"param_sets": dict.fromkeys(unwanted)})
        kept = {name: values for name, values in before["param_sets"].items() if name not in unwanted}
        assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == {**before, "param_sets": kept}
    make_workspace(tmp_path, {"param_sets": {"never_there": None}})  # nothing to leave out
    assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == before
