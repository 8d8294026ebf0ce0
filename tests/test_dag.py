"""A change that DVC does not see is a result that nobody can trust: `deps` must name all that a stage reaches."""

import ast
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

STAGES = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
SOURCES = ("kaggle", "phantom")
TRAINING = ("train_teacher", "soft_targets", "train_baseline", "distill", "distill_set")


def definition(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def code_deps(stage: str) -> list[str]:
    return [dep for dep in definition(stage)["deps"] if dep.startswith(("src/", "stages/"))]


def files_of(dep: str) -> set[str]:
    """The Python files that a dep names: itself, all of a folder, or one for each source of data."""
    if "${" in dep:
        return set().union(*(files_of(dep.replace("${data.source}", source)) for source in SOURCES))
    path = ROOT / dep
    assert path.exists(), f"{dep} does not exist"
    return {str(file.relative_to(ROOT)) for file in ([path] if path.is_file() else path.rglob("*.py"))}


def source_of(module: str) -> Path | None:
    base = ROOT / ("src" if module.startswith("cxr_distill") else "") / module.replace(".", "/")
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.exists()), None)


def does_nothing(path: Path) -> bool:
    """Whether a file has a docstring and no code, as the `__init__.py` of every room."""
    return all(isinstance(node, ast.Expr) for node in ast.parse(path.read_text()).body)


def reached(module: str) -> set[str]:
    """Files of this project that importing `module` can run, imports inside functions included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = source_of(name)
        if path is None or str(path.relative_to(ROOT)) in seen:
            continue
        if not does_nothing(path):
            seen.add(str(path.relative_to(ROOT)))
        waiting += [name.rsplit(".", 1)[0]] if "." in name else []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return seen


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


@pytest.mark.parametrize("stage", STAGES)
def test_params_name_every_section_that_the_stage_loads(stage: str) -> None:
    calls = [
        node for node in ast.walk(ast.parse(source_of(module_of(stage)).read_text())) if isinstance(node, ast.Call)
    ]
    loaded = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "load_params"]
    sections = {name.value.split(".")[0] for name in loaded if isinstance(name, ast.Constant)}
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
