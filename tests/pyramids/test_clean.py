"""What readers do not see goes, and nothing else (FAULTS.md sections 2.5 and 3)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from obstore.store import MemoryStore

import builds
import conformance
import pyramids
from builds import FakeSource, scene
from faults import Death, FaultStore, contents, copied, memory, stops_after
from geozarr import BuildConflictError, TargetExistsError
from geozarr import store as store_module
from pyramids import lease
from pyramids.clean import GRACE, Leftover, clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from geozarr.stores import Store


def built(store: Store, seed: int, *, listener: Callable[[pyramids.Report], None] | None = None) -> str:
    """Build a scene, in place of what is there; return the name of the build."""
    given = FakeSource(scene("int16", (1, 100, 90), seed=seed), nodata=-9999)
    given.fingerprint = f"scene {seed}"
    plan = builds.plan_for(given, tms="native", chunk=32, levels=2, workers=1)
    return pyramids.execute(plan, given, store, overwrite=True, listener=listener).build


def stopped(store: Store, seed: int) -> None:
    """Begin a build and leave it."""
    with pytest.raises(KeyboardInterrupt):
        built(store, seed, listener=stops_after(1))


def test_a_former_build_goes_when_its_grace_is_over() -> None:
    store = memory()
    first = built(store, 1)
    alone = {key.rpartition("/")[2] for key in contents(store)}
    second = built(store, 2)
    before = contents(store)
    (left,) = clean(store, now=time.time() + GRACE - 60)
    assert (left.build, left.state) == (first, "former")
    assert 0 < left.wait <= 61
    assert contents(store) == before
    (left,) = clean(store, dry_run=True, grace=0)
    assert left.wait == 0
    assert contents(store) == before
    (left,) = clean(store, now=time.time() + GRACE)
    after = contents(store)
    gone = {key: data for key, data in before.items() if key not in after}
    assert (left.objects, left.size) == (len(gone), sum(map(len, gone.values())))
    assert after.items() <= before.items()
    assert all(key == "zarr.json" or key.startswith((f"{second[:8]}/", f".build/{second}/")) for key in after)
    assert {key.rpartition("/")[2] for key in after} == alone, "as if it were the first"
    assert conformance.check(store).exit_status == 0
    assert clean(store, grace=0) == []


def test_each_build_counts_from_its_own_replacement(monkeypatch: pytest.MonkeyPatch) -> None:
    store = memory()
    names = []
    for number in range(3):
        monkeypatch.setattr("pyramids.publish.time.time", lambda number=number: 1000.0 * (number + 1))
        names.append(built(store, number))
    monkeypatch.undo()
    found = {item.build: item for item in clean(store, grace=1500.0, now=4000.0)}
    assert set(found) == set(names[:2])
    assert found[names[0]].wait == 0  # replaced at 2000
    assert found[names[1]].wait == 500.0  # replaced at 3000
    assert store.children(".build") == sorted([names[1], names[2]])


def test_what_is_published_again_is_current_again() -> None:
    store = memory()
    first = built(store, 1)
    second = built(store, 2)
    assert built(store, 1) == first
    (left,) = clean(store, grace=0)
    assert left.build == second
    assert conformance.check(store).exit_status == 0


def test_unfinished_builds_stay_unless_asked_for() -> None:
    store = memory()
    built(store, 1)
    published = contents(store)
    stopped(store, 2)
    assert clean(store, grace=0) == []
    (left,) = clean(store, grace=0, unfinished=True)
    assert left.state == "unfinished"
    assert contents(store) == published


def test_one_that_died_before_its_root_document_is_unfinished() -> None:
    """The note of the time is there, the root document is not."""
    store = memory()
    built(store, 1)
    counted = FaultStore(store_module.open_store(MemoryStore()))
    for key, data in contents(store).items():
        counted.put(key, data)
    copied = len(counted.operations)
    built(counted, 2)
    at = next(
        number
        for number, item in enumerate(counted.operations)
        if number >= copied and (item.name, item.key) == ("put", "zarr.json")
    )
    with pytest.raises(Death):
        built(FaultStore(store, at=at - copied), 2)
    assert clean(store, grace=0) == []
    (left,) = clean(store, grace=0, unfinished=True)
    assert left.state == "unfinished"


def test_work_that_a_published_build_has_left_goes() -> None:
    """It died between its root document and the end."""
    store = memory()
    name = built(store, 1)
    expected = contents(store)
    store.put(f".build/{name}/journal/000009", b"x")
    store.put(f".build/{name}/handover/0/1/0/0", b"xy")
    assert clean(store) == [Leftover(name, "published", 2, 3, 0.0)]
    assert contents(store) == expected


@pytest.mark.slow
def test_death_while_cleaning_leaves_what_another_run_finishes() -> None:
    first = memory()
    built(first, 1)
    built(first, 2)
    start = contents(first)
    clean(first, grace=0)
    expected = contents(first)
    counted = FaultStore(copied(start))
    clean(counted, grace=0)
    for at in range(len(counted.operations)):
        store = copied(start)
        with pytest.raises(Death):
            clean(FaultStore(store, at=at), grace=0)
        clean(store, grace=0)
        assert {key: data for key, data in contents(store).items() if "/lease/" not in key} == expected


def test_b23_what_is_not_ours_is_refused() -> None:
    store = memory()
    store.put("zarr.json", b'{"zarr_format": 3, "node_type": "group"}')
    store.put("0/zarr.json", b"{}")
    before = contents(store)
    with pytest.raises(TargetExistsError):
        clean(store, grace=0, unfinished=True)
    assert contents(store) == before


def test_b5_nothing_is_cleaned_while_somebody_builds() -> None:
    store = memory()
    built(store, 1)
    built(store, 2)
    before = contents(store)
    with lease.Lease(store), pytest.raises(BuildConflictError):
        clean(store, grace=0)
    assert contents(store) == before


def test_an_empty_target_has_nothing_to_clean() -> None:
    assert clean(memory()) == []
