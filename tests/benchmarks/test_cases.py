from __future__ import annotations

import pytest

from benchmarks import __main__ as bench
from benchmarks.cases import CASES, shrink
from benchmarks.environments import PEERS
from benchmarks.roster import ROSTER

BY_NAME = {case.name: case for case in CASES}


def test_a_smaller_square_keeps_its_cells() -> None:
    small = shrink(BY_NAME["elevation"], 2048)
    assert small.recipe.shape == (2048, 2048)
    assert (small.recipe.cell, small.max_zoom) == (30.0, 12)
    assert "2048 x 2048" in small.title


def test_a_smaller_globe_keeps_its_ground() -> None:
    small = shrink(BY_NAME["globe"], 2048)
    assert small.recipe.shape == (2048, 4096)
    assert small.recipe.cell * 4096 == 360
    assert small.max_zoom == 4  # from 8192 rows at zoom 6: a quarter, so two zooms less


def test_every_contender_has_its_script_environment_and_cases() -> None:
    for one in ROSTER:
        assert (bench.HERE / "contenders" / one.script).is_file()
        assert one.environment == "main" or (PEERS / f"{one.environment}.txt").is_file()
        assert set(one.cases) <= set(BY_NAME)


def test_every_case_has_ours_a_floor_and_a_peer() -> None:
    for name in BY_NAME:
        present = [one for one in ROSTER if name in one.cases]
        assert [one.name for one in present[:2]] == ["ours", "floor"]
        assert any(one.is_peer for one in present)


def test_a_quick_run_installs_nothing() -> None:
    settings = bench.parse(["--quick"])
    assert {one.environment for one in settings.contenders} == {"main"}
    assert {one.name for one in settings.contenders} == {"ours", "floor", "gdal-cog"}
    assert all(max(case.recipe.shape) <= 8192 for case in settings.cases)
    assert settings.results != bench.HERE


def test_a_full_run_writes_beside_the_code() -> None:
    settings = bench.parse([])
    assert settings.results == bench.HERE
    assert (settings.rounds, settings.with_scale) == (3, True)
    assert len(settings.cases) == len(CASES)


@pytest.mark.parametrize(("side", "levels"), [(512, 1), (513, 2), (16384, 6)])
def test_native_levels_are_those_until_one_chunk_holds_all(side: int, levels: int) -> None:
    assert bench.native_levels((side, side // 2)) == levels
