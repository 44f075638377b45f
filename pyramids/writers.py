"""Puts to stores that are not on this machine, many at a time.

A put over a network takes milliseconds in which nothing is computed. So the puts of a unit of work go to a pool of
threads, and the unit goes on; it counts as done when all of its puts are confirmed, and fails with the first one that
fails. What is on its way is bounded in bytes: who puts more waits. A folder on this machine is written by the thread
that has the bytes, which is quicker than handing them over.
"""

from __future__ import annotations

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Protocol, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future

    from geozarr.stores import Store
    from pyramids.plan import Plan

    T = TypeVar("T")

THREADS = 32  # at 50 ms a put these are 640 a second, below what S3 takes for one prefix
FLIGHT = 64 * 2**20  # bytes on their way at most
UNITS = 4  # units of work whose puts may be on their way while others are computed
_OVERHEAD = 2048  # bytes that a put costs beside its object


class Sink(Protocol):
    """Takes objects."""

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Write an object whole; see `geozarr.stores.Store`."""
        ...


def is_remote(store: Store) -> bool:
    """Tell whether a store is not on this machine."""
    return bool(getattr(store, "is_remote", False))


def each(store: Store, act: Callable[[T], object], items: Iterable[T]) -> None:
    """Do something with each item, many at a time where the store is remote; raises what `act` raises."""
    if not is_remote(store):
        for item in items:
            act(item)
        return
    with ThreadPoolExecutor(THREADS, thread_name_prefix="store") as pool:
        for _ in pool.map(act, items):
            pass


def shares(store: Store, plan: Plan) -> tuple[int, int]:
    """Divide the memory of a plan.

    Returns
    -------
    flight, cache : int
        Bytes on their way to the store, and of decoded cells of the source. What is on its way takes what the plan
        leaves free, at least an eighth of what it means for cells; a store on this machine needs nothing.
    """
    if not is_remote(store):
        return 0, plan.cache
    free = max(0, plan.memory - plan.peak)
    flight = min(FLIGHT, max(free, plan.cache // 8))
    return flight, plan.cache - max(0, flight - free)


class Budget:
    """Bytes that may be in use at a time. Safe to use from many threads.

    Parameters
    ----------
    capacity : int
        So many; a piece that is larger goes when there is no other.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used = 0
        self._freed = threading.Condition()

    def take(self, size: int) -> None:
        """Take some, as soon as there is room."""
        with self._freed:
            self._freed.wait_for(lambda: not self._used or self._used + size <= self._capacity)
            self._used += size

    def give(self, size: int) -> None:
        """Give them back."""
        with self._freed:
            self._used -= size
            self._freed.notify_all()

    @contextlib.contextmanager
    def held(self, size: int) -> Iterator[None]:
        """Hold some while the context is entered."""
        self.take(size)
        try:
            yield
        finally:
            self.give(size)


class Writers:
    """Writes to a store. Safe to use from many threads.

    Parameters
    ----------
    store : Store
        Where.
    capacity : int
        Bytes on their way at most.
    """

    def __init__(self, store: Store, *, capacity: int = FLIGHT) -> None:
        self._store = store
        self._budget = Budget(capacity)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="store") if is_remote(store) else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    @contextlib.contextmanager
    def batch(self) -> Iterator[Sink]:
        """Take puts that belong together; on leaving they are all confirmed.

        Where the context is left by an error, puts that have not begun are dropped and the others awaited: nothing
        is written afterwards.

        Raises
        ------
        StoreError
            If one of them fails, from the next put or on leaving.
        """
        if self._pool is None:
            yield self._store
            return
        batch = _Batch(self._store, self._pool, self._budget)
        try:
            yield batch
            batch.settle()
        finally:
            batch.drop()

    def within(self, size: int) -> contextlib.AbstractContextManager[None]:
        """Hold so many bytes of what may be on its way, for something that reads."""
        return self._budget.held(size + _OVERHEAD)

    @property
    def units(self) -> int:
        """Units of work that may wait for their puts beside those that are computed."""
        return 0 if self._pool is None else UNITS

    @property
    def pool(self) -> ThreadPoolExecutor | None:
        """Threads that wait for the network; None where the store is on this machine."""
        return self._pool


class _Batch:
    """Puts of one thread that belong together."""

    def __init__(self, store: Store, pool: ThreadPoolExecutor, budget: Budget) -> None:
        self._store = store
        self._pool = pool
        self._budget = budget
        self._futures: set[Future[bool]] = set()
        self._failed: list[BaseException] = []

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Have an object written; what `create` finds is only known later, so it is not taken here."""
        assert not create, "whoever creates wants to know"
        self._raise()
        size = len(data) + _OVERHEAD
        self._budget.take(size)
        try:
            future = self._pool.submit(self._store.put, key, data)
        except BaseException:
            self._budget.give(size)
            raise
        self._futures.add(future)
        future.add_done_callback(lambda done: self._landed(done, size))
        return True

    def settle(self) -> None:
        """Wait for all puts; raise the error of one that failed."""
        for future in self._futures:
            future.result()

    def drop(self) -> None:
        """Drop puts that have not begun, and wait for the others."""
        for future in tuple(self._futures):
            future.cancel()
        wait(self._futures)

    def _landed(self, future: Future[bool], size: int) -> None:
        self._budget.give(size)
        error = None if future.cancelled() else future.exception()
        if error is not None:
            self._failed.append(error)

    def _raise(self) -> None:
        if self._failed:
            raise self._failed[0]
