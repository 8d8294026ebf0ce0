"""The tests themselves: each in one target of the Makefile, none that leans on another."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COLLECTED, ROOT, TIERS


def selections() -> dict[str, str]:
    """The `-m` of each target of the Makefile that runs pytest."""
    found = {}
    for target, recipe in re.findall(r"^([a-z-]+):.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.M):
        for quoted, word in re.findall(r'-m pytest .*?-m (?:"([^"]+)"|(\w+))', recipe):
            found[target] = quoted or word
    return found


def test_every_test_is_in_exactly_one_target(request: pytest.FixtureRequest) -> None:
    chosen = selections()
    assert {*chosen} == {"test", "test-all", "page-test", "proof"}
    collected = request.config.stash[COLLECTED]
    assert collected
    for marks in {frozenset(marks) for marks in collected.values()}:
        known = {tier: tier in marks for tier in TIERS}
        # A selection by markers is an expression that Python reads too.
        assert [eval(expression, {}, known) for expression in chosen.values()].count(True) == 1, marks


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (node.module or "", *(alias.name for alias in node.names))


def test_no_test_module_is_imported() -> None:
    tests = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    importers = [path.name for path in (ROOT / "tests").rglob("*.py") if tests & {*imported(path)}]
    assert len(tests) > 20 and importers == []
