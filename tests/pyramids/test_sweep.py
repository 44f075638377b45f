"""What blocks handed on goes as soon as it is used and journalled, and a build that died still goes on."""

from __future__ import annotations

import dataclasses
import time

import pytest
from obstore.store import MemoryStore

import builds
import pyramids
from builds import FakeSource, scene
from faults import FaultStore, contents
from geozarr import StoreError
from geozarr import store as store_module
from pyramids import journal, sweep, walk
from pyramids.sweep import Sweeper


class Watched(FaultStore):
    """Counts what was handed over and lies in the store; optionally deletes none of it."""

    def __init__(self, *, deletes: bool = True) -> None:
        self.inner = store_module.open_store(MemoryStore())
        super().__init__(self.inner)
        self.deletes = deletes
        self.slowly = ""
        self.most = 0
        self.at_the_end = -1

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Count after each put."""
        done = super().put(key, data, create=create)
        if "/handover/" in key:
            self.most = max(self.most, self._count())
        if key == "zarr.json":
            self.at_the_end = self._count()
        return done

    def delete(self, key: str) -> None:
        """Fail, or take time, if told to."""
        if "/handover/" in key and not self.deletes:
            raise StoreError("delete", key)
        if self.slowly and self.slowly in key:
            time.sleep(0.05)
        super().delete(key)

    def _count(self) -> int:
        return sum("/handover/" in item.key for item in self.inner.listed(".build"))


def plan_of(given: FakeSource) -> pyramids.Plan:
    """16 x 16 subtrees, and 85 blocks to put together."""
    plan = builds.plan_for(given, tms="native", chunk=32, levels=5, workers=1)
    return dataclasses.replace(plan, block=64, cut=0)


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    """A square of 1024 px; each unit is journalled at once."""
    monkeypatch.setattr(journal, "INTERVAL", 0.0)
    return FakeSource(scene("uint8", (1, 1024, 1024)), block_shape=(64, 64))


def test_what_was_handed_over_lies_there_as_long_as_it_waits(
    given: FakeSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At most three of each level wait for the fourth, four are in use, and some are ahead, of 341 in all."""
    monkeypatch.setattr(sweep, "BEHIND", 0)
    store = Watched()
    plan = plan_of(given)
    pyramids.execute(plan, given, store)
    assert walk.apex(plan).level == 4
    assert 4 < store.most <= 4 * 4 + 3 * (plan.workers + 2)


def test_when_a_build_is_published_only_the_apex_is_left(given: FakeSource) -> None:
    """It holds the statistics. Those below are slow to go."""
    store = Watched()
    store.slowly = "/handover/0/3/"
    pyramids.execute(plan_of(given), given, store)
    assert store.at_the_end == 1


def test_a_store_that_does_not_delete_does_not_stop_a_build(given: FakeSource) -> None:
    store = Watched(deletes=False)
    with pytest.raises(StoreError) as caught:
        pyramids.execute(plan_of(given), given, store)
    assert caught.value.operation == "delete"
    assert store.at_the_end == 341, "it was published; only then the store was asked in earnest"


def test_deleting_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweep, "BEHIND", 3)
    store = store_module.open_store(MemoryStore())
    keys = [f"a/{number}" for number in range(500)]
    for key in keys:
        store.put(key, b"x")
    with Sweeper(store) as sweeper:
        for start in range(0, 500, 25):
            sweeper.forget(keys[start : start + 25])
            assert len(sweeper._waiting) <= 3
        sweeper.finish()
        assert contents(store) == {}
        sweeper.forget([])
