"""docs/security.md speaks of tests, settings and limits that exist, and every promise has a test with its id."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tiler.settings import NAMES

PROJECT = Path(__file__).resolve().parents[1]
TEXT = (PROJECT / "docs" / "security.md").read_text(encoding="utf-8")


def _tests() -> dict[str, set[str]]:
    """Names of tests by file."""
    found = {}
    for path in (PROJECT / "tests").rglob("test_*.py"):
        functions = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        names = {node.name for node in functions if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        found[path.name] = {name for name in names if name.startswith("test_")}
    return found


TESTS = _tests()
ALL = {name for names in TESTS.values() for name in names}
ROWS = {int(number): row for number, row in re.findall(r"^\| T(\d+) (.*)$", TEXT, re.MULTILINE)}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_[a-z0-9_]+)\*?`", TEXT))))
def test_each_test_that_is_named_exists(name: str) -> None:
    assert any(test.startswith(name) for test in ALL)


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(test_[a-z0-9_]+\.py)`", TEXT))))
def test_each_file_that_is_named_has_tests(name: str) -> None:
    assert TESTS[name]


@pytest.mark.parametrize("number", range(1, 23))
def test_each_promise_has_a_row_and_a_test(number: int) -> None:
    assert ROWS[number]
    own = {file for file, names in TESTS.items() if any(f"_t{number}_" in name for name in names)}
    assert own
    for files, name in re.findall(r"((?:`test_\w+\.py`,? ?)+): `(test_t\d+_\w*)\*?`", ROWS[number]):
        for file in re.findall(r"`(test_\w+\.py)`", files):
            assert any(test.startswith(name) for test in TESTS[file]), (file, name)


def test_there_is_no_row_without_a_promise() -> None:
    assert sorted(ROWS) == list(range(1, 23))


def test_each_setting_that_is_named_exists() -> None:
    limits = TEXT.partition("## Limits")[2].partition("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+)`", limits))
    assert len(named) > 10
    assert named <= set(NAMES)
