"""Which files of this project a module can run: what its results depend on, besides data and libraries."""

from __future__ import annotations

import ast
from pathlib import Path


def reached(module: str, *roots: Path) -> set[Path]:
    """Files under `roots` that importing `module` can run, imports inside functions included.

    Files without code, such as an `__init__.py` with a docstring, are left out.
    """
    seen: dict[Path, bool] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _source_of(name, roots)
        if path is None or path in seen:
            continue
        tree = ast.parse(path.read_text())
        seen[path] = not all(isinstance(node, ast.Expr) for node in tree.body)
        waiting += [name.rpartition(".")[0]] if "." in name else []
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                waiting += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
    return {path for path, has_code in seen.items() if has_code}


def _source_of(module: str, roots: tuple[Path, ...]) -> Path | None:
    bases = [root / module.replace(".", "/") for root in roots]
    files = [file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py")]
    return next((file for file in files if file.exists()), None)
