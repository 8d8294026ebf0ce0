"""What a `deps` entry of dvc.yaml names, and what a stage's module really reaches."""

from __future__ import annotations

import ast

from conftest import ROOT

from cxr_distill.base import imports

CHOICES = {  # parameters that name a module
    "data.source": ("kaggle", "phantom", "films"),
    "student.init": ("random", "release"),
}
NO_RESULT = {
    "stages/__init__.py": "finds the library",
    "stages/running.py": "turns errors, Ctrl-C and too little memory into one line",
    "stages/resuming.py": "says where a checkpoint lies, and a run that goes on ends in the same bytes",
    "stages/params.py": "reads params.yaml, whose values are in the lock, or says what is wrong with it",
    "src/cxr_distill/base/errors.py": "an exception with a message",
    "src/cxr_distill/base/params.py": "lets a value of params.yaml pass, or says what is wrong with it",
    "src/cxr_distill/base/imports.py": "finds the code that a checkpoint and a cell depend on",
}
"""Files that cannot change a result, so that no stage names them: an edited message or runner trains nothing."""


def files_of(dep: str) -> set[str]:
    """The Python files that a dep names: itself, all of a folder, or one for each value of a parameter in it."""
    for name, values in CHOICES.items():
        if (variable := f"${{{name}}}") in dep:
            return set().union(*(files_of(dep.replace(variable, value)) for value in values))
    path = ROOT / dep
    assert path.exists(), f"{dep} does not exist"
    return {str(file.relative_to(ROOT)) for file in ([path] if path.is_file() else path.rglob("*.py"))}


def reached(module: str) -> set[str]:
    """Files of this project that importing `module` can run and that can change a result."""
    found = {str(path.relative_to(ROOT)) for path in imports.reached(module, ROOT / "src", ROOT)}
    return found - NO_RESULT.keys()


def loaded_sections(module: str) -> set[str]:
    """Sections of params.yaml that a stage's module loads."""
    files = [f"{module.replace('.', '/')}.py"]
    if "load_settings()" in (ROOT / files[0]).read_text():
        files.append("stages/settings.py")
    trees = [ast.parse((ROOT / file).read_text()) for file in files]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    readers = ("load_params", "read_section")
    loaded = [call.args[0] for call in calls if isinstance(call.func, ast.Name) and call.func.id in readers]
    return {name.value.split(".")[0] for name in loaded if isinstance(name, ast.Constant)}
