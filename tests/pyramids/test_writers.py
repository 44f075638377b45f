"""Puts that are on their way while a unit goes on, and what becomes of them when one fails."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from obstore.store import MemoryStore

import builds
import pyramids
from builds import FakeSource, scene
from faults import FaultStore, contents
from geozarr import StoreError
from geozarr import store as store_module
from pyramids import journal, writers
from pyramids.writers import Budget, Writers


class FarStore(FaultStore):
    """Memory that calls itself remote; puts wait while it is shut, and count what is on its way."""

    is_remote = True

    def __init__(self, *, bad: str = "") -> None:
        super().__init__(store_module.open_store(MemoryStore()))
        self.open = threading.Event()
        self.open.set()
        self.bad = bad
        self.most = self._now = 0
        self._counting = threading.Lock()
        self.began = threading.Semaphore(0)

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        with self._counting:
            self._now += len(data)
            self.most = max(self.most, self._now)
        self.began.release()
        try:
            assert self.open.wait(30)
            if self.bad and self.bad in key:
                raise StoreError("put", key, 3, reason="full")
            return super().put(key, data, create=create)
        finally:
            with self._counting:
                self._now -= len(data)


def test_a_unit_goes_on_while_its_puts_wait_and_ends_when_they_are_confirmed() -> None:
    store = FarStore()
    store.open.clear()
    with Writers(store) as outgoing, ThreadPoolExecutor(1) as other:
        left = threading.Event()

        def unit() -> None:
            with outgoing.batch() as sink:
                for number in range(20):
                    sink.put(str(number), b"x")
                left.set()

        done = other.submit(unit)
        assert left.wait(30), "puts did not keep the unit"
        assert not done.done()
        store.open.set()
        done.result(30)
        assert set(contents(store)) == {str(number) for number in range(20)}


def test_an_error_in_a_put_fails_the_unit_as_it_is() -> None:
    with Writers(FarStore(bad="7")) as outgoing:

        def unit() -> None:
            with outgoing.batch() as sink:
                for number in range(9):
                    sink.put(str(number), b"x")

        with pytest.raises(StoreError) as caught:
            unit()
        assert (caught.value.key, caught.value.attempts, caught.value.reason) == ("7", 3, "full")
        with outgoing.batch() as sink:
            sink.put("another unit", b"x")


def test_nothing_is_written_after_a_unit_has_failed() -> None:
    store = FarStore()
    store.open.clear()
    with Writers(store) as outgoing:

        def fail() -> None:
            with outgoing.batch() as sink:
                for number in range(writers.THREADS + 50):
                    sink.put(f"{number:03d}", b"x")
                for _ in range(writers.THREADS):
                    assert store.began.acquire(timeout=30)
                threading.Timer(0.05, store.open.set).start()
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        written = set(contents(store))
        assert written == {f"{number:03d}" for number in range(writers.THREADS)}, "what had not begun was dropped"
    assert set(contents(store)) == written


@pytest.mark.parametrize("capacity", [0, 3 * 12048, 10**9])
def test_bytes_on_their_way_are_bounded(capacity: int) -> None:
    """An object larger than the bound goes alone."""
    store = FarStore()
    with Writers(store, capacity=capacity) as outgoing, ThreadPoolExecutor(3) as units:

        def unit(name: int) -> None:
            with outgoing.batch() as sink:
                for number in range(50):
                    sink.put(f"{name}/{number}", bytes(10_000))

        list(units.map(unit, range(3)))
    assert store.most <= max(10_000, capacity)
    assert len(contents(store)) == 150


def test_a_budget_lets_a_large_piece_go_alone() -> None:
    budget = Budget(10)
    budget.take(4)
    large = threading.Thread(target=budget.take, args=(100,))
    large.start()
    budget.give(4)
    large.join(30)
    assert not large.is_alive()
    budget.give(100)


def test_a_store_on_this_machine_is_written_by_the_thread_that_has_the_bytes() -> None:
    store = store_module.open_store(MemoryStore())
    with Writers(store) as outgoing, outgoing.batch() as sink:
        assert sink is store
    assert outgoing.pool is None


def test_memory_on_its_way_comes_out_of_the_plans() -> None:
    plan = builds.plan_for(FakeSource(scene("int16", (1, 300, 260))), tms="native")
    near, far = store_module.open_store(MemoryStore()), FarStore()
    assert writers.shares(near, plan) == (0, plan.cache)
    free = dataclasses.replace(plan, memory=plan.peak + 10**6)
    assert writers.shares(far, free) == (10**6, plan.cache)
    tight = dataclasses.replace(plan, memory=plan.peak, cache=8000)
    assert writers.shares(far, tight) == (1000, 7000)


def test_b7_the_journal_names_no_object_that_was_not_confirmed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some puts of a unit succeed and one fails: none of them is journalled, and a resume does the unit again."""
    monkeypatch.setattr(journal, "INTERVAL", 0.0)
    given = FakeSource(scene("int16", (1, 300, 260)), block_shape=(64, 64))
    plan = builds.plan_for(given, tms="native", chunk=32, shard="none", levels=4, workers=2)
    plan = dataclasses.replace(plan, block=64, cut=1)
    store = FarStore(bad="0/v0/c/5/5")
    with pytest.raises(StoreError) as caught:
        pyramids.execute(plan, given, store)
    assert caught.value.key == "0/v0/c/5/5"
    (name,) = (name for name in store.children(".build") if name != "lease")
    stored = contents(store)
    assert "zarr.json" not in stored
    journalled = [
        number
        for segment in journal.segments(store, f".build/{name}")
        for array, number, _, _ in segment.objects.tolist()
        if array == 0
    ]
    assert journalled
    # Chunks lie nine along: all of the journal's are there, and none of the unit that failed (rows and columns 4 to 7).
    for number in journalled:
        row, col = divmod(number, 9)
        assert f"0/v0/c/{row}/{col}" in stored
        assert not (4 <= row < 8 and 4 <= col < 8)
    store.bad = ""
    pyramids.execute(plan, given, store, resume=True)
    whole, _ = builds.run(plan, given)
    assert builds.objects(whole) == {
        key: data for key, data in contents(store).items() if not key.startswith(".build/")
    }
