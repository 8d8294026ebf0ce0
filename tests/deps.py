"""What a `deps` entry of dvc.yaml names, and what a stage's module really reaches."""

from __future__ import annotations

import ast

from conftest import ROOT

from stages.params import STARTS
from study.cells import imports

CHOICES = {"data.source": ("kaggle", "phantom", "films"), "start": STARTS}  # parameters that name a module


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


def loaded_sections(module: str) -> set[str]:
    """Sections of params.yaml that a stage's module loads."""
    tree = ast.parse((ROOT / f"{module.replace('.', '/')}.py").read_text())
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loaded = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id == "load_params"]
    return {name.value.split(".")[0] for name in loaded if isinstance(name, ast.Constant)}
