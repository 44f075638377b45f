from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import __main__ as bench
from benchmarks.settings import Settings, about, common, parser

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def read(*words: str) -> Settings:
    return Settings(**common(parser("x", "X.", quick="small", rounds=5).parse_args(words), rounds=5))


def test_what_is_not_said_is_as_for_the_other_benchmarks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path))
    found = read()
    assert (found.rounds, found.is_quick, found.cache) == (5, False, tmp_path)
    assert found.outputs == bench.default_outputs(tmp_path)
    assert found.results == bench.HERE


def test_a_quick_run_replaces_no_record(tmp_path: Path) -> None:
    found = read("--quick", "--cache", str(tmp_path))
    assert (found.rounds, found.is_quick, found.results) == (1, True, tmp_path / "small")


def test_what_is_said_counts(tmp_path: Path) -> None:
    words = ("--quick", "--rounds", "2", "--outputs", str(tmp_path / "o"), "--results", str(tmp_path / "r"))
    found = read(*words)
    assert (found.rounds, found.outputs, found.results) == (2, tmp_path / "o", tmp_path / "r")
    told = about(found, "durability")
    assert told["is_quick"] is True
    assert told["machine"]["outputs"] == "disk"
