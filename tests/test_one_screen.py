"""What people read and edit stays small: a line for each model in DVC's table, files that can be reviewed.

tests/test_pipeline.py has the tables after an experiment.
"""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from conftest import ROOT, run


def test_metrics_show_is_one_line_for_each_model_and_fits_the_screen(finished: Path) -> None:
    run(finished, "git", "checkout", "-q", "-f", "main")
    head, *rows = run(finished, "dvc", "metrics", "show").rstrip("\n").splitlines()
    test = {"accuracy", "auroc", "sensitivity", "specificity", "accuracy_reframed", "auroc_reframed"}
    val = {"auroc", "log_loss", "auroc_reframed"}
    assert set(head.split()) == {"Path", *(f"test.{key}" for key in test), *(f"val.{key}" for key in val)}
    assert len(head.split()) <= 14
    names = ["teacher", "baseline", "distilled", *yaml.safe_load((finished / "params.yaml").read_text())["param_sets"]]
    assert [row.split()[0] for row in rows] == [f"metrics/{name}.json" for name in (*names, "gain", "gap")]
    assert len(rows) <= 10


def test_dag_draws_the_main_stages_alone(tmp_path: Path) -> None:
    run(tmp_path, "git", "clone", "-q", str(ROOT), str(tmp_path / "clone"))
    stages = yaml.safe_load((tmp_path / "clone" / "dvc.yaml").read_text())["stages"]
    drawn = re.findall(r'^"([^"]+)";?$', run(tmp_path / "clone", "dvc", "dag", "--dot"), re.M)
    assert {name.split("@")[0] for name in drawn} == set(stages)


def test_the_pipeline_files_can_be_reviewed() -> None:
    sizes = {name: len((ROOT / name).read_text().splitlines()) for name in ("dvc.yaml", "dvc.lock")}
    assert sizes["dvc.yaml"] <= 300 and sizes["dvc.lock"] <= 1900
