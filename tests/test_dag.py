"""A change that DVC does not see is a result that nobody can trust: `deps` must name all that a stage reaches."""

import ast
from pathlib import Path

import pytest
import yaml
from conftest import ROOT

FILES = ("dvc.yaml", "study/dvc.yaml")
STAGES = {n: stage for file in FILES for n, stage in yaml.safe_load((ROOT / file).read_text())["stages"].items()}


HASHED = ("alone", "taught")


def definition(stage: str) -> dict:
    return STAGES[stage].get("do", STAGES[stage])


def deps_of(stage: str) -> set[str]:
    """Its own, and those of the stage that hashes them for it."""
    deps = set(definition(stage)["deps"])
    return deps.union(*(definition(f"inputs_{kind}")["deps"] for kind in HASHED if f"study/inputs_{kind}.json" in deps))


def source_of(module: str) -> Path | None:
    base = ROOT / ("src" if module.startswith("cxr_distill") else "") / module.replace(".", "/")
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.exists()), None)


def reached(module: str) -> set[str]:
    """Files of this project that importing `module` can run, imports inside functions included."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = source_of(name)
        if path is None or str(path.relative_to(ROOT)) in seen:
            continue
        seen.add(str(path.relative_to(ROOT)))
        waiting += [name.rsplit(".", 1)[0]] if "." in name else []
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return seen


@pytest.mark.parametrize("stage", [stage for stage in STAGES if not stage.startswith("inputs_")])
def test_deps_name_every_file_that_the_stage_imports(stage: str) -> None:
    command = definition(stage)["cmd"].split()
    module = command[command.index("-m") + 1]
    named = {dep for dep in deps_of(stage) if dep.endswith(".py")}
    assert named - {"stages/study/inputs.py"} == reached(module)


@pytest.mark.parametrize("kind", HASHED)
def test_hashes_for_the_networks_of_the_study_need_no_file_beyond_theirs(kind: str) -> None:
    assert definition(kind)["deps"] == [f"study/inputs_{kind}.json"]
    assert reached("stages.study.inputs") <= deps_of(f"inputs_{kind}")


def test_training_does_not_depend_on_evaluation_or_download() -> None:
    for stage in ("train_teacher", "soft_targets", "train_baseline", "distill", "distill_set", "alone", "taught"):
        deps = " ".join(deps_of(stage))
        assert not any(word in deps for word in ("metrics.py", "compare", "report", "download", "phantom", "examples"))


def test_a_student_of_the_study_alone_depends_on_no_teacher() -> None:
    deps = " ".join(deps_of("alone"))
    assert not any(word in deps for word in ("distillation.py", "losses.py", "teacher", "targets"))


def test_a_plain_repro_reaches_nothing_of_the_study() -> None:
    main = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert not any("study" in dep for stage in main.values() for dep in stage.get("do", stage)["deps"])
