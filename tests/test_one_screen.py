"""What people read and edit stays small: DVC's tables fit a screen of 120 columns, its files can be reviewed.

tests/test_pipeline.py has the tables after an experiment.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from conftest import ROOT, run

COLUMNS = 120


def test_metrics_show_is_one_line_for_each_model_and_fits_the_screen(finished: Path) -> None:
    run(finished, "git", "checkout", "-q", "-f", "main")
    head, *rows = run(finished, "dvc", "metrics", "show").rstrip("\n").splitlines()
    keys = ["test.accuracy", "test.auroc", "test.sensitivity", "test.specificity", "val.auroc", "val.log_loss"]
    assert head.split() == ["Path", *keys] and len(head.split()) <= 8
    names = ["teacher", "baseline", "distilled", *yaml.safe_load((finished / "params.yaml").read_text())["param_sets"]]
    assert [row.split()[0] for row in rows] == [f"metrics/{name}.json" for name in (*names, "gain", "gap")]
    assert len(rows) <= 10
    assert [line for line in (head, *rows) if len(line) > COLUMNS] == []


def test_dag_draws_the_main_stages_alone(tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "-q", str(ROOT), str(tmp_path / "clone"))
    stages = yaml.safe_load((tmp_path / "clone" / "dvc.yaml").read_text())["stages"]
    drawn = re.findall(r'^"([^"]+)";?$', run(tmp_path / "clone", "dvc", "dag", "--dot"), re.M)
    assert {name.split("@")[0] for name in drawn} == set(stages)


def test_the_pipeline_files_can_be_reviewed() -> None:
    sizes = {name: len((ROOT / name).read_text().splitlines()) for name in ("dvc.yaml", "dvc.lock")}
    assert sizes["dvc.yaml"] <= 260 and sizes["dvc.lock"] <= 1450
