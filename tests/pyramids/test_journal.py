"""The journal keeps few objects however long a build takes, and says the same whether it was merged or not."""

from __future__ import annotations

import pytest
from obstore.store import MemoryStore

from faults import contents
from geozarr import store as store_module
from geozarr.manifest import Entry
from pyramids import journal
from pyramids.journal import Done, Journal, Ledger
from pyramids.objects import Record
from pyramids.sources.damaged import Damage
from pyramids.walk import Subtree

FOLDER = ".build/abc"


def done(number: int) -> Done:
    """A unit that stored two objects."""
    records = tuple(Record(1, 2 * number + more, 100 + number, 7 * number) for more in range(2))
    return Done(
        0, Subtree(0, number // 8, number % 8), Entry(10, number), records, 64, (Damage("x", f"{number}"),), number % 3
    )


def written(count: int, *, merge: int, monkeypatch: pytest.MonkeyPatch, runs: int = 1) -> store_module.Store:
    """Journal some units, one a segment and a second; `runs` of them take turns."""
    monkeypatch.setattr(journal, "MERGE", merge)
    store = store_module.open_store(MemoryStore())
    for run in range(runs):
        now = 0.0
        begun = Journal(store, FOLDER, interval=0.0, clock=lambda: now)  # noqa: B023 - called in this turn only
        begun.covered = run * count * 64
        for number in range(run * count, (run + 1) * count):
            now += 1.0
            begun.add(done(number))
    return store


def read(store: store_module.Store) -> Ledger:
    """What the journal says."""
    return Ledger.read(journal.segments(store, FOLDER))


def told(ledger: Ledger) -> tuple[object, ...]:
    """All that a ledger says but for the number of segments."""
    totals = ledger.pixels, ledger.covered, ledger.objects, ledger.size, ledger.damaged, ledger.undefined, ledger.rate
    return (*totals, [ledger.handed(0, done(number).block) for number in range(len(ledger))])


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("count", [1, 3, 4, 5, 8, 9, 31])
def test_a_merged_journal_says_what_its_segments_said(count: int, runs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = read(written(count, merge=10**6, monkeypatch=monkeypatch, runs=runs))
    merged = read(written(count, merge=4, monkeypatch=monkeypatch, runs=runs))
    assert told(merged) == told(plain)
    assert plain.segments == len(plain) == count * runs
    assert merged.segments == runs * (count // 4 + count % 4)


@pytest.mark.parametrize("cut", [0, 4, 60])
def test_a_merged_segment_that_is_not_whole_is_made_up_for_by_what_it_merged(
    cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = written(7, merge=4, monkeypatch=monkeypatch)
    (merged,) = (key for key in contents(store) if "-" in key)
    store.put(merged, contents(store)[merged][:cut])
    assert told(read(store)) == told(read(written(7, merge=10**6, monkeypatch=monkeypatch)))


def test_a_journal_stays_short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 1000 segments in merges of 10 there stay the 100 merges, and the last 10 and some that await their turn."""
    store = written(1000, merge=10, monkeypatch=monkeypatch)
    keys = contents(store)
    assert len([key for key in keys if "-" in key]) == 100
    assert len(keys) <= 100 + 2 * 10
    assert len(read(store)) == 1000


def test_segments_that_hold_much_are_merged_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits to be merged is kept in memory."""
    monkeypatch.setattr(journal, "MERGE_BYTES", 200)  # a segment of one unit and two objects takes 24 + 2 * 20
    store = written(9, merge=10**6, monkeypatch=monkeypatch)
    assert len([key for key in contents(store) if "-" in key]) == 2
    assert len(read(store)) == 9


def test_the_next_run_writes_behind_what_was_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    store = written(8, merge=4, monkeypatch=monkeypatch)
    for key in contents(store):
        if "-" not in key:
            store.delete(key)
    Journal(store, FOLDER, interval=0.0).add(done(8))
    assert sorted(key.rpartition("/")[2] for key in contents(store)) == [
        "00000001-00000004",
        "00000005-00000008",
        "00000009",
    ]
    assert len(read(store)) == 9


def test_whoever_reads_while_segments_are_merged_finds_what_was_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "MERGE", 20)
    monkeypatch.setattr(journal, "READERS", 1)
    store = store_module.open_store(MemoryStore())
    writing = Journal(store, FOLDER, interval=0.0)
    for number in range(19):
        writing.add(done(number))
    reading = journal.segments(store, FOLDER)
    found = [next(reading)]
    for number in range(19, 39):
        writing.add(done(number))
    found += reading
    assert len(found) == 19
    assert len(Ledger.read(found)) == 19


def test_what_was_written_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the put, so that whoever is told may rely on it."""
    monkeypatch.setattr(journal, "INTERVAL", 10.0)
    store = store_module.open_store(MemoryStore())
    now = 0.0
    seen: list[list[Done]] = []

    def tell(entries: object) -> None:
        assert len(read(store)) == sum(map(len, seen)) + len(entries)  # type: ignore[arg-type]
        seen.append(list(entries))  # type: ignore[call-overload]

    writing = Journal(store, FOLDER, clock=lambda: now, written=tell)
    for number in range(5):
        now += 4.0
        writing.add(done(number))
    writing.flush()
    assert seen == [[done(0), done(1), done(2)], [done(3), done(4)]]
