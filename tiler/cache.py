"""A bounded cache that fetches each key at most once at a time.

A lookup of a key that is absent runs the caller's function, outside the lock; whoever asks for the same key
meanwhile waits for that one result. An error reaches everyone who waits and is not kept, so that the next lookup tries
again.
"""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future
from threading import Lock
from typing import TYPE_CHECKING, Generic, TypeVar

from geozarr import hurry
from geozarr.errors import ParameterError
from geozarr.hurry import NotAtHandError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

V = TypeVar("V")


class BoundedCache(Generic[V]):
    """Least recently used values, bounded by the sum of their sizes. Safe to share among threads.

    Parameters
    ----------
    capacity : int
        Largest sum of sizes, in the unit of `size`; 0 keeps nothing and still shares what is under way.
    size : callable
        Size of a value, usually bytes, at least 1.

    Raises
    ------
    ParameterError
        If `capacity` is negative.
    """

    def __init__(self, capacity: int, size: Callable[[V], int]) -> None:
        if capacity < 0:
            raise ParameterError("capacity", found=capacity, expected="at least 0")
        self._capacity = capacity
        self._size = size
        self._lock = Lock()
        self._kept: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self._under_way: dict[Hashable, Future[V]] = {}
        self._total = 0

    @property
    def total(self) -> int:
        """Sum of the sizes of what is kept."""
        return self._total

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: Hashable, load: Callable[[], V]) -> V:
        """Return the value of a key, from the cache or by `load`.

        Parameters
        ----------
        key : hashable
            Everything that the value depends on.
        load : callable
            Makes the value; called in this thread, or not at all. It must not ask for the same key.

        Raises
        ------
        BaseException
            Whatever `load` raises, in each of the threads that wait for it.
        NotAtHandError
            If this thread may not wait, and another one is at it.
        """
        with self._lock:
            kept = self._kept.get(key)
            if kept is not None:
                self._kept.move_to_end(key)
                return kept[0]
            waited = self._under_way.get(key)
            if waited is None:
                future = self._under_way[key] = Future()
        if waited is not None:
            return self._awaited(key, waited, load)
        try:
            value = load()
            size = self._size(value)
        except BaseException as error:
            self._finish(key, None)
            future.set_exception(error)
            raise
        self._finish(key, (value, size))
        future.set_result(value)
        return value

    def _awaited(self, key: Hashable, waited: Future[V], load: Callable[[], V]) -> V:
        """Return what another thread is loading, or load it where that one could not wait for it."""
        if hurry.is_hurrying():
            raise NotAtHandError
        try:
            return waited.result()
        except NotAtHandError:
            return self.get(key, load)

    def peek(self, key: Hashable) -> V | None:
        """Return the value of a key where it is kept, else None; never waits for what is under way."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            self._kept.move_to_end(key)
            return kept[0]

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value in place of the former one; what is under way for its key takes its place again."""
        size = self._size(value)
        with self._lock:
            self._keep(key, value, size)

    def drop(self, key: Hashable) -> None:
        """Forget a value where it is kept; what is under way for its key is kept all the same once it is there."""
        with self._lock:
            _, size = self._kept.pop(key, (None, 0))
            self._total -= size

    def _finish(self, key: Hashable, loaded: tuple[V, int] | None) -> None:
        """Forget that a key is under way, and keep its value where there is one that fits."""
        with self._lock:
            del self._under_way[key]
            if loaded is not None:
                self._keep(key, *loaded)

    def _keep(self, key: Hashable, value: V, size: int) -> None:
        _, former = self._kept.pop(key, (None, 0))
        self._total -= former
        if size > self._capacity:
            return
        self._kept[key] = value, size
        self._total += size
        while self._total > self._capacity:
            _, (_, dropped) = self._kept.popitem(last=False)
            self._total -= dropped
