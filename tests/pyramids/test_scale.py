"""What must not grow with the raster, at sizes at which growing would show (FAULTS.md, B25)."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from obstore.store import MemoryStore

from benchmarks.contenders import simulation
from benchmarks.contenders.simulation import Simulation
from geozarr import store as store_module
from pyramids import journal, walk
from pyramids.journal import Journal, Ledger
from pyramids.walk import Subtree

if TYPE_CHECKING:
    from geozarr import Window

FOLDER = ".build/abc"
MIB = 2**20


def everywhere(window: Window) -> bool:
    """Data lie everywhere."""
    return not window.is_empty


def simulated(side: int, folder: Path, *, a_segment: int = 50) -> tuple[int, Simulation]:
    """Run a coordinator over a square of subtrees of 2048 px; return the most memory that it held, in bytes."""
    plan, _ = simulation.square(side * 2048, chunk=512, shard=2048)
    store = store_module.open_store(folder / str(side), create=True)  # one in memory would be counted too
    run = Simulation(plan, store, FOLDER, everywhere)
    writing = Journal(store, FOLDER, interval=1.0, clock=lambda: run.units / a_segment)
    tracemalloc.start()
    try:
        run.run(journal=writing)
        return tracemalloc.get_traced_memory()[1], run
    finally:
        tracemalloc.stop()


@pytest.mark.slow
def test_b25_what_a_coordinator_holds_does_not_grow_with_the_raster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Sixteen times the units, and two levels more, of which it remembers some blocks each."""
    monkeypatch.setattr(journal, "MERGE", 4)
    simulated(8, tmp_path)  # what is made once, on first use
    small, few = simulated(32, tmp_path)
    large, many = simulated(128, tmp_path)
    assert (few.units, many.units) == (1365, 21845)
    assert few.objects == few.plan.predicted["objects"]
    assert many.objects == many.plan.predicted["objects"]
    found = Ledger.read(journal.segments(many.store, FOLDER))
    assert (len(found), found.objects, found.covered) == (many.units, many.objects, many.plan.work)
    # Of 20 480 units more, one byte each would be 20 KB.
    assert large < small + 20_000


def stopped(side: int, share: float) -> tuple[simulation.Plan, Ledger]:
    """A build that was stopped, of a square of so many subtrees of 2048 px along a side."""
    plan, _ = simulation.square(side * 2048, chunk=512, shard=2048)
    return plan, Ledger.read(simulation.done_share(plan, share, a_segment=1792))


def test_a_journal_that_was_made_up_is_what_a_coordinator_writes() -> None:
    """So that the tests below are about real ones."""
    plan, made_up = stopped(16, 0.9)
    store = store_module.open_store(MemoryStore())
    run = Simulation(plan, store, FOLDER, everywhere, most=len(made_up))
    with pytest.raises(simulation.Enough):
        run.run()
    real = Ledger.read(journal.segments(store, FOLDER))
    for level in range(plan.cut, walk.apex(plan).level + 1):
        for row in range(16):
            for col in range(16):
                block = Subtree(level, row, col)
                assert (real.handed(0, block) is None) == (made_up.handed(0, block) is None), block
    assert (real.pixels, real.objects) == (made_up.pixels, made_up.objects)


@pytest.mark.slow
def test_b25_what_is_left_of_a_million_units_is_found_at_once() -> None:
    """Going on asks for a few blocks of each level, not for each that is done, and the ledger is 16 bytes a unit."""
    tracemalloc.start()
    try:
        plan, ledger = stopped(1024, 0.99)
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(ledger) > 1_380_000
    assert kept < 17 * len(ledger) + MIB
    assert most < 500 * MIB
    asked: list[object] = []

    def may_hold(window: Window) -> bool:
        asked.append(window)
        return True

    def is_done(block: Subtree) -> bool:
        asked.append(block)
        return ledger.handed(0, block) is not None

    steps = walk.itinerary(plan, may_hold=may_hold, is_done=is_done)
    passed = list(takewhile(lambda step: not isinstance(step, Subtree), steps))
    levels = walk.apex(plan).level - plan.cut
    assert all(isinstance(step, walk.Passed) for step in passed)
    assert len(passed) <= 3 * levels
    assert len(asked) <= 2 * 4 * levels


PLANNING = """
from pathlib import Path
from benchmarks.contenders import simulation
from pyramids import Options
plan, _ = simulation.globe(2_004_000, options=Options(max_zoom=13))
assert plan.predicted["objects"] > 1_000_000
assert len(str(plan)) > 1000 and plan.identity
print([line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")][0])
"""


@pytest.mark.slow
@pytest.mark.faults
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell a process's peak")
def test_b25_a_million_shards_are_planned_in_500_mib() -> None:
    """In a process of its own, with all that it imports."""
    project = Path(__file__).resolve().parents[2]
    told = subprocess.run([sys.executable, "-c", PLANNING], cwd=project, capture_output=True, text=True, check=True)
    assert 0 < int(told.stdout) * 1024 < 500 * MIB
