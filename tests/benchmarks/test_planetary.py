"""The arithmetic of large builds is the plan's, and docs/scale.md shows what the script prints."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import planetary
from benchmarks.contenders import simulation
from benchmarks.contenders.simulation import Simulation
from benchmarks.planetary import CASES, Assumptions
from geozarr import store as store_module
from pyramids import Options
from pyramids.journal import Journal

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_shows_the_tables() -> None:
    page = (DOCS / "scale.md").read_text(encoding="utf-8")
    assert planetary.table(Assumptions()) in page
    assert planetary.hours(Assumptions()) in page


def test_each_number_has_a_row() -> None:
    assert [name for _, name, _, _ in planetary.ROWS if name not in planetary.Numbers.__dataclass_fields__] == []
    assert set(planetary.Numbers.__dataclass_fields__) == {name for _, name, _, _ in planetary.ROWS}


def test_counts_are_those_of_a_build_of_all_units(tmp_path: Path) -> None:
    """A coordinator over the same plan, smaller: units, objects, and bytes of the journal but for its headers."""
    case = planetary.Case("small", 125_250, 9, "uint8", "nearest", 0.5, 1e6, 1000)
    found = planetary.numbers(case, Assumptions(share=1.0, cores=1))
    plan, _ = simulation.globe(case.width, case.dtype, options=Options(max_zoom=case.zoom, resampling="nearest"))
    store = store_module.open_store(tmp_path, create=True)
    run = Simulation(plan, store, ".build/abc", lambda window: not window.is_empty)
    run.run(journal=Journal(store, ".build/abc", interval=1e9))
    assert (found.units, found.objects) == (run.units, run.objects)
    (segment,) = store.listed(".build/abc")
    # One segment, whose header says 250 bytes more or less.
    assert segment.size == pytest.approx(found.journal_bytes - 250 * found.segments, abs=300)


def test_the_plans_are_planetary() -> None:
    """10 m at zoom 14 is 2**22 pixels of 9.55 m around; a zoom further four times as many."""
    first, _, last = (planetary.numbers(case, Assumptions(share=1.0)) for case in CASES)
    assert first.pixels == 2**44
    assert first.tiles == pytest.approx(2**28 * 4 / 3, rel=1e-6)
    assert last.units == pytest.approx(4 * first.units, rel=1e-6)
