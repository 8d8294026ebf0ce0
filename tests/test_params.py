"""A wrong parameter must cost a second, not a night of training."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

from cxr_distill.nets.teacher.params import TeacherParams
from demo.workspace import merge
from stages.params import load_params

BAD = [
    ("train_teacher", {"balance": {"classes": False}}, "balance"),
    ("distill", {"distill": {"alpha": "abc"}}, "distill.alpha"),
    ("distill", {"distill": {"alpha": 1.5}}, "distill.alpha"),
    ("distill", {"distill": {"alpha": True}}, "distill.alpha"),
    ("distill", {"distill": {"temperature": 0}}, "distill.temperature"),
    ("distill", {"distill": {"temprature": 2}}, "distill.temprature"),
    ("distill", {"distill": None}, "distill"),
    ("preprocess", {"preprocess": {"image_size": 0}}, "preprocess.image_size"),
    ("train_teacher", {"teacher": {"epochs": 2.5}}, "teacher.epochs"),
    ("soft_targets", {"teacher": {"sees": ["lungs", "lungs"]}}, "teacher: Value error, sees names one of them twice"),
    ("evaluate teacher", {"teacher": {"sees": "lungs"}}, "teacher.sees"),
    ("train_teacher", {"views": {"flip": float("nan")}}, "views.flip"),
    ("download", {"data": {"source": "ftp"}}, "data.source"),
    ("find_lungs", {"lungs": {"channels": [16, 7]}}, "lungs.channels"),
    ("distill", {"student": {"init": "nothing"}}, "student.init"),
    ("distill", {"start": "release"}, "start is now student.init"),
    ("train_teacher", {"balance": {"widths": [1.0]}}, "balance.widths is now operating_point.widths"),
    ("train_teacher", {"balance": {"frames": 4}}, "balance.frames is now operating_point.frames"),
    ("release", {"release": {"refused": 0.006}}, "release.refused is now release.rejected"),
]


def run(stage: str, folder: Path, changes: dict) -> subprocess.CompletedProcess[str]:
    params = merge(yaml.safe_load((ROOT / "params.yaml").read_text()), changes)
    (folder / "params.yaml").write_text(yaml.safe_dump(params))
    command = [sys.executable, "-m", *f"stages.{stage}".split()]
    return subprocess.run(command, cwd=folder, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True)


@pytest.mark.parametrize(("stage", "changes", "key"), BAD, ids=[f"{s}-{k}-{i}" for i, (s, _, k) in enumerate(BAD)])
def test_bad_parameter_fails_at_once_with_one_line_naming_the_key(
    tmp_path: Path, stage: str, changes: dict, key: str
) -> None:
    begun = time.monotonic()
    result = run(stage, tmp_path, changes)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1 and f"{key}" in result.stderr
    assert "torch" not in result.stderr and time.monotonic() - begun < 30
    assert [path.name for path in tmp_path.iterdir()] == ["params.yaml"]


@pytest.mark.parametrize("written", ["1e-3", "1", "1.0e-3"])
def test_numbers_as_people_write_them_are_accepted(tmp_path: Path, written: str) -> None:
    committed = (ROOT / "params.yaml").read_text()
    path = tmp_path / "params.yaml"
    path.write_text(committed.replace("learning_rate: 1.0e-3", f"learning_rate: {written}", 1))
    assert load_params("teacher", TeacherParams, path=path).learning_rate == float(written)


def test_a_stage_whose_params_are_right_gets_as_far_as_its_inputs(tmp_path: Path) -> None:
    both = {"teacher": {"sees": ["film", "lungs"]}}
    assert "data/film/train.safetensors" in run("train_teacher", tmp_path, both).stderr
