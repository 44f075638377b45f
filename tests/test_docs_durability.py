"""docs/durability.md speaks of tests that exist, and every promise has one whose name carries its id."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
TEXT = (PROJECT / "docs" / "durability.md").read_text(encoding="utf-8")


def _tests() -> set[str]:
    trees = (ast.parse(path.read_text(encoding="utf-8")) for path in (PROJECT / "tests").rglob("test_*.py"))
    functions = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))
    return {node.name for node in functions if node.name.startswith("test_")}


TESTS = _tests()


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_[a-z0-9_]+)[.*]*`", TEXT))))
def test_each_test_that_is_named_exists(name: str) -> None:
    files = {path.stem for path in (PROJECT / "tests").rglob("test_*.py")}
    assert name in files or any(test.startswith(name) for test in TESTS)


@pytest.mark.parametrize("number", range(1, 26))
def test_each_promise_has_a_test_and_a_row(number: int) -> None:
    assert any(re.search(rf"_b{number}_", name) for name in TESTS)
    assert re.search(rf"^\| B{number} ", TEXT, re.MULTILINE)
