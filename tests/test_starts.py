"""A stage loads what it needs and no more: on a slow machine PyTorch takes 4 s, torchvision 9, Lightning 10 to 14."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, program, put_back, with_path

from demo.workspace import stages_of

# Lightning needs torchmetrics, which imports torchvision and Matplotlib where they are installed.
TRAINS = "lightning matplotlib torch torchvision"
LOADS = {
    "download": "",
    "preprocess": "pandas sklearn",
    "find_lungs": f"{TRAINS} pandas",
    "cut_lungs": "pandas",
    "train_teacher": TRAINS,
    "train_baseline": TRAINS,
    "soft_targets": "torch",
    "distill": TRAINS,
    "distill_set": TRAINS,
    "evaluate_teacher": "matplotlib pandas sklearn torch",
    "evaluate": "matplotlib pandas sklearn torch",
    "evaluate_set": "matplotlib pandas sklearn torch",
    "compare": "pandas sklearn",
    "release": "onnx onnxruntime pandas sklearn torch",
    "report": "matplotlib",
}
"""Stage, or its name before @ -> the large packages that it loads from its first line to its last."""


@pytest.mark.slow
def test_every_stage_loads_the_packages_that_it_needs_and_no_other(finished: Path, tmp_path: Path) -> None:
    put_back(finished)
    folder = Path(shutil.copytree(finished, tmp_path / "finished", symlinks=True))
    found, wanted = {}, {}
    for stage in stages_of(folder):
        command = program("heavy", *stage.command.removeprefix("python -m ").split())
        ended = subprocess.run(command, cwd=folder, env=with_path("."), capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        found[stage.name] = sorted(ended.stdout.splitlines()[-1].split())
        wanted[stage.name] = sorted(LOADS.get(stage.name, LOADS[stage.name.split("@")[0]]).split())
    assert found == wanted


def test_checking_parameters_loads_none_of_them() -> None:
    code = "import sys, stages.distill, stages.evaluate; sys.exit(bool({'torch', 'pandas'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
