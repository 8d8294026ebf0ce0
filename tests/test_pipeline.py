"""Real DVC in a temporary repository on tiny phantoms: what runs, what does not, and what it leaves behind."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from conftest import edit, put_back, ran, run

from cxr_distill.base.tables import read_csv
from cxr_distill.base.tensors import read_tensors
from cxr_distill.evaluation.predictions import COLUMNS, scored_split
from cxr_distill.evaluation.scores import threshold_for_sensitivity

REPORT = ("reports/comparison.md", "reports/comparison.png", "release/MODEL_CARD.md")
FILES = {name: f"models/{name}.safetensors" for name in ("baseline", "distilled", "blog_best")}


@pytest.fixture
def repo(finished: Path) -> Path:
    """The finished repository as committed; what a test changes in it is put back by the next one."""
    put_back(finished)
    return finished


def test_the_pipeline_makes_every_result_and_is_then_up_to_date(repo: Path) -> None:
    gathered = json.loads((repo / "reports/evaluation.json").read_text())
    sensitivity = yaml.safe_load((repo / "params.yaml").read_text())["evaluate"]["sensitivity_target"]
    for name in ("teacher", "baseline", "distilled", "blog_best"):
        model, shown = gathered["models"][name], json.loads((repo / f"metrics/{name}.json").read_text())
        test, interval = model["test"], model["test"]["ci95"]["auroc"]
        assert test["n"] == 50 and interval["low"] <= test["auroc"] <= interval["high"]
        for split, full, keys, of_moved in (
            ("test", test, ("accuracy", "auroc", "sensitivity", "specificity"), ("accuracy", "auroc")),
            ("val", model["validation"], ("auroc", "log_loss"), ("auroc",)),
        ):
            moved = {f"{key}_reframed": full["frames"]["reframed"][key]["value"] for key in of_moved}
            assert shown[split] == {key: full[key] for key in keys} | moved
        assert set(model["trained"]) == {"precision", "processor"}
        val = scored_split(read_csv(repo / f"evaluation/{name}.csv", COLUMNS), "val")
        threshold = threshold_for_sensitivity(val, sensitivity)  # of validation patients, never of test
        assert [model[split]["at_validation_threshold"]["threshold"] for split in ("validation", "test")] == [
            threshold
        ] * 2
    for name in ("gain", "gap"):
        shown = json.loads((repo / f"metrics/{name}.json").read_text())["test"]
        assert shown == {key: gathered["comparison"][name][key]["value"] for key in ("accuracy", "auroc")}
    assert "SYNTHETIC" in (repo / "reports/comparison.md").read_text()
    assert "up to date" in run(repo, "dvc", "repro", "-P", "--dry", "--allow-missing")
    assert ran(run(repo, "dvc", "repro")) == []
    assert run(repo, "git", "status", "--porcelain") == ""


@pytest.mark.slow
def test_another_alpha_runs_what_follows_distillation_alone_in_the_workspace_and_in_a_queue(repo: Path) -> None:
    output = run(repo, "dvc", "exp", "run", "-S", "distill.alpha=0.25")
    assert ran(output) == ["distill", "evaluate@distilled", "compare", "release", "report"]
    head, *rows = run(repo, "dvc", "metrics", "diff").splitlines()
    assert {row.split()[0] for row in rows} == {f"metrics/{name}.json" for name in ("distilled", "gain", "gap")}
    assert len([head, *rows]) <= 20
    columns = run(repo, "dvc", "exp", "show", "--only-changed", "--csv").splitlines()[0].split(",")
    assert "distill.alpha" in columns and "metrics/gain.json:test.auroc" in columns
    assert len(set(columns) - {"rev", "typ"}) <= 20  # which the table on the screen does not have
    before = (repo / FILES["distilled"]).read_bytes()
    # A queue with two workers runs each experiment in a temporary copy, with the copy's code: the same bytes.
    run(repo, "git", "checkout", "-q", "-f", "main")
    run(repo, "dvc", "checkout", "-f", "-q")
    run(repo, "dvc", "exp", "remove", "-A")
    shutil.rmtree(repo / ".dvc" / "cache" / "runs")
    alphas = ["-S", "distill.alpha=0.25,0.75", "evaluate@distilled"]
    run(repo, "dvc", "exp", "run", "--queue", "--name", "alpha", *alphas)
    run(repo, "dvc", "queue", "start", "-j", "2")
    for name in ("alpha-1", "alpha-2"):
        run(repo, "dvc", "queue", "logs", "-f", name, check=False)
    assert run(repo, "dvc", "queue", "status").count("Success") == 2
    run(repo, "dvc", "exp", "apply", "alpha-1")
    assert (repo / FILES["distilled"]).read_bytes() == before


@pytest.mark.slow
def test_a_new_metric_re_runs_evaluation_and_no_training(repo: Path) -> None:
    module = repo / "src/cxr_distill/evaluation/metrics.py"
    module.write_text(module.read_text().replace('"n": len(labels),', '"n": len(labels), "more": 1,'))
    sets = yaml.safe_load((repo / "params.yaml").read_text())["param_sets"]
    models = ["evaluate_teacher", "evaluate@baseline", "evaluate@distilled", *(f"evaluate_set@{name}" for name in sets)]
    assert sorted(ran(run(repo, "dvc", "repro", "--dry"))) == sorted([*models, "compare", "release"])
    assert ran(run(repo, "dvc", "repro", "evaluate@distilled")) == ["evaluate@distilled"]
    assert json.loads((repo / "evaluation/distilled.json").read_text())["test"]["more"] == 1


@pytest.mark.slow
def test_an_edited_sentence_of_the_model_card_runs_the_report_alone(repo: Path) -> None:
    edit(
        repo / "src/cxr_distill/report/templates/model_card.md.j2", "A small network that", "A very small network that"
    )
    assert ran(run(repo, "dvc", "repro")) == ["report"]
    assert "A very small network that" in (repo / "release/MODEL_CARD.md").read_text()


@pytest.mark.slow
def test_an_edited_message_or_runner_trains_nothing(repo: Path) -> None:
    edit(repo / "stages/running.py", "close other programs", "close all other programs")
    edit(repo / "stages/params.py", "has no section", "lacks the section")
    edit(repo / "src/cxr_distill/base/errors.py", "one line that says what to do", "a line that says what to do")
    assert ran(run(repo, "dvc", "repro", "--dry")) == []


def test_without_cache_or_data_the_report_is_made_of_what_git_has(repo: Path, tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "-q", str(repo), str(clone))
    made = {name: (clone / name).read_bytes() for name in REPORT}
    for name in REPORT:
        (clone / name).unlink()
    assert ran(run(clone, "dvc", "repro", "-s", "report")) == ["report"]
    assert {name: (clone / name).read_bytes() for name in REPORT} == made
    edit(clone / "src/cxr_distill/report/templates/comparison.md.j2", "What the networks read", "What networks read")
    assert ran(run(clone, "dvc", "repro", "-s", "report")) == ["report"]
    assert "What networks read" in (clone / "reports/comparison.md").read_text()
    assert "didn't change" in run(clone, "dvc", "repro", "-s", "--dry", "report")


@pytest.mark.slow
def test_a_teacher_of_both_learns_from_films_and_lungs_and_the_mean_of_its_probabilities_teaches(repo: Path) -> None:
    output = run(repo, "dvc", "exp", "run", "-S", "teacher.sees=[film,lungs]")
    stages = ran(output)
    assert {"train_teacher", "soft_targets", "evaluate_teacher", "distill"} <= {*stages}
    assert not {"cut_lungs", "train_baseline", "evaluate@baseline"} & {*stages}
    teacher = json.loads((repo / "evaluation/teacher.json").read_text())
    assert teacher["sees"] == ["film", "lungs"]
    # The film is reframed and its lungs are the same: the mean moves.
    assert teacher["test"]["frames"]["reframed"]["auroc"]["value"] != teacher["test"]["auroc"]
    assert "The teacher sees the film, and the lungs" in (repo / "reports/comparison.md").read_text()
    targets, made_of = read_tensors(repo / "data/soft_targets.safetensors")
    assert float(made_of["validation_auroc"]) == pytest.approx(teacher["validation"]["auroc"], abs=1e-6)
    assert targets["logits"].ndim == 3


@pytest.mark.slow
def test_an_edited_student_does_not_run_the_teacher(repo: Path) -> None:
    before = (repo / FILES["baseline"]).read_bytes()
    edit(repo / "src/cxr_distill/nets/student/network.py", "manual_seed(params.seed)", "manual_seed(params.seed + 1)")
    assert ran(run(repo, "dvc", "repro", "train_baseline", "soft_targets")) == ["train_baseline"]
    assert (repo / FILES["baseline"]).read_bytes() != before
    assert "distill" in run(repo, "dvc", "status")


def test_a_bad_alpha_fails_with_one_line_and_leaves_the_results_alone(repo: Path) -> None:
    results = [path for name in ("metrics", "release", "reports") for path in (repo / name).rglob("*.*")]
    before = {path: path.read_bytes() for path in results}
    output = run(repo, "dvc", "exp", "run", "-S", "distill.alpha=abc", check=False)
    errors = [line for line in output.splitlines() if line.startswith("error:")]
    assert len(errors) == 1 and errors[0].startswith("error: params.yaml: distill.alpha") and "Traceback" not in output
    assert before and before == {path: path.read_bytes() for path in results}


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_too_small_a_limit_of_addresses_is_said_before_any_work(repo: Path) -> None:
    output = run(repo, "bash", "-c", "ulimit -v 3000000; dvc repro --force --single-item compare", check=False)
    assert [line for line in output.splitlines() if line.startswith("error:")] == [
        "error: memory is limited to 2.9 GiB of addresses (ulimit -v), and a stage takes up to 5; raise that limit, or "
        "limit the memory itself (a cgroup)"
    ]


def test_a_stray_prediction_is_rejected(repo: Path) -> None:
    shutil.copy(repo / "evaluation/baseline.csv", repo / "evaluation/old.csv")
    assert "delete evaluation/old.csv" in run(repo, "dvc", "repro", check=False)
    (repo / "evaluation/old.csv").unlink()


def test_plots_open_offline(repo: Path) -> None:
    assert "failed" not in run(repo, "dvc", "plots", "show", "-o", "dvc_plots")
    page = (repo / "dvc_plots" / "index.html").read_text()
    assert re.search(r'<script[^>]+src=|<link[^>]+href="http', page) is None
    assert page.count("vegaEmbed") >= 7 and "static/" in page
