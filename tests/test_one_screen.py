"""What people read and edit stays small: DVC's tables fit a screen of 120 columns, its files can be reviewed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, run

COLUMNS = 120


@pytest.fixture
def repo(finished: Path) -> Path:
    """The finished repository as committed, on a screen of 120 columns."""
    run(finished, "git", "checkout", "-q", "-f", "main")
    run(finished, "git", "clean", "-fdq")
    run(finished, "dvc", "checkout", "-f", "-q")
    return finished


def on_screen(folder: Path, *command: str) -> list[str]:
    """The lines that a command prints on a screen of 120 columns."""
    return run(folder, "env", f"COLUMNS={COLUMNS}", *command).rstrip("\n").splitlines()


def test_metrics_show_is_one_line_for_each_model_and_fits_the_screen(repo: Path) -> None:
    head, *rows = on_screen(repo, "dvc", "metrics", "show")
    keys = ["test.accuracy", "test.auroc", "test.sensitivity", "test.specificity", "val.auroc", "val.log_loss"]
    assert head.split() == ["Path", *keys] and len(head.split()) <= 8
    names = ["teacher", "baseline", "distilled", *yaml.safe_load((repo / "params.yaml").read_text())["param_sets"]]
    assert [row.split()[0] for row in rows] == [f"metrics/{name}.json" for name in (*names, "gain", "gap")]
    assert len(rows) <= 10
    assert [line for line in (head, *rows) if len(line) > COLUMNS] == []


def test_another_alpha_is_compared_on_one_screen(repo: Path) -> None:
    run(repo, "dvc", "exp", "run", "-S", "distill.alpha=0.25")
    lines = on_screen(repo, "dvc", "metrics", "diff")
    assert 2 <= len(lines) <= 20
    assert {line.split()[0] for line in lines[1:]} <= {f"metrics/{name}.json" for name in ("distilled", "gain", "gap")}
    columns = on_screen(repo, "dvc", "exp", "show", "--only-changed", "--csv")[0].split(",")
    assert "distill.alpha" in columns and "metrics/gain.json:test.auroc" in columns
    assert len(columns) <= 20


def test_dag_draws_the_main_stages_alone(tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "-q", str(ROOT), str(tmp_path / "clone"))
    stages = yaml.safe_load((tmp_path / "clone" / "dvc.yaml").read_text())["stages"]
    drawn = re.findall(r'^"([^"]+)";?$', run(tmp_path / "clone", "dvc", "dag", "--dot"), re.M)
    assert {name.split("@")[0] for name in drawn} == set(stages)


def test_the_pipeline_files_can_be_reviewed() -> None:
    sizes = {name: len((ROOT / name).read_text().splitlines()) for name in ("dvc.yaml", "dvc.lock")}
    assert sizes["dvc.yaml"] <= 260 and sizes["dvc.lock"] <= 1450
