"""A change that DVC does not see is a result that nobody can trust: `deps` must name all that a stage reaches."""

import ast

import pytest
import yaml
from conftest import ROOT

from cxr_distill.study.cells import imports
from stages import STARTS

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
CHOICES = {"data.source": ("kaggle", "phantom", "films"), "start": STARTS}  # parameters that name a module
TRAINING = ("train_teacher", "soft_targets", "train_baseline", "distill", "distill_set")


def definition(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def code_deps(stage: str) -> list[str]:
    return [dep for dep in definition(stage)["deps"] if dep.startswith(("src/", "stages/"))]


def files_of(dep: str) -> set[str]:
    """The Python files that a dep names: itself, all of a folder, or one for each value of a parameter in it."""
    for name, values in CHOICES.items():
        if (variable := f"${{{name}}}") in dep:
            return set().union(*(files_of(dep.replace(variable, value)) for value in values))
    path = ROOT / dep
    assert path.exists(), f"{dep} does not exist"
    return {str(file.relative_to(ROOT)) for file in ([path] if path.is_file() else path.rglob("*.py"))}


def reached(module: str) -> set[str]:
    """Files of this project that importing `module` can run, imports inside functions included."""
    return {str(path.relative_to(ROOT)) for path in imports.reached(module, ROOT / "src", ROOT)}


def module_of(stage: str) -> str:
    command = definition(stage)["cmd"].split()
    return command[command.index("-m") + 1]


@pytest.mark.parametrize("stage", STAGES)
def test_deps_name_every_file_that_the_stage_imports_and_nothing_else(stage: str) -> None:
    named = {dep: files_of(dep) for dep in code_deps(stage)}
    needed = reached(module_of(stage))
    assert needed <= set().union(*named.values())
    assert [dep for dep, files in named.items() if not files & needed] == []
    assert len(named) <= 8


def loaded_sections(module: str) -> set[str]:
    """Sections of params.yaml that a stage's module loads."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loaded = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "load_params"]
    return {name.value.split(".")[0] for name in loaded if isinstance(name, ast.Constant)}


@pytest.mark.parametrize("stage", STAGES)
def test_params_name_every_section_that_the_stage_loads(stage: str) -> None:
    sections = loaded_sections(module_of(stage))
    assert sections and sections <= {str(name).split(".")[0] for name in definition(stage)["params"]}


def test_training_depends_on_no_evaluation_report_or_download() -> None:
    for stage in TRAINING:
        deps = " ".join(code_deps(stage))
        assert not any(room in deps for room in ("/evaluation", "/report", "/release", "/study", "/data/"))


def test_the_teacher_does_not_depend_on_the_student() -> None:
    for stage in ("train_teacher", "soft_targets"):
        assert not any("student" in file for dep in code_deps(stage) for file in files_of(dep))


def test_a_plain_repro_reaches_nothing_of_the_study() -> None:
    assert not any("study" in dep for stage in STAGES for dep in definition(stage)["deps"])
