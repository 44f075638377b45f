"""Deletes what a build needs no more while it goes on, beside the work.

A block that was put together and journalled makes what its children handed on worthless. Left until the end, these
would be a quarter more bytes than the pyramid itself, and millions of objects to delete one after the other.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from geozarr.errors import StoreError
from pyramids.writers import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from geozarr.stores import Store

THREADS = 32  # a request to an object store takes some 30 ms: so 1000 objects a second, what 80 cores use up
BATCH = 8  # objects that a thread deletes one after the other
BEHIND = 1000  # batches that may wait; then the caller does


class Sweeper:
    """Deletes objects, on threads of its own where each takes a journey. For one thread.

    Parameters
    ----------
    store : Store
        Where they are.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._is_remote = is_remote(store)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="sweep")
        self._waiting: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def forget(self, keys: Iterable[str]) -> None:
        """Delete objects, some time. One that the store does not delete stays until the build is published."""
        if not self._is_remote:
            self._delete(keys)
            return
        rest = iter(keys)
        while batch := tuple(itertools.islice(rest, BATCH)):
            self._waiting.append(self._pool.submit(self._delete, batch))
        while self._waiting and (self._waiting[0].done() or len(self._waiting) > BEHIND):
            self._waiting.popleft().result()

    def finish(self) -> None:
        """Return when all of it is deleted."""
        while self._waiting:
            self._waiting.popleft().result()

    def _delete(self, keys: Iterable[str]) -> None:
        for key in keys:
            with contextlib.suppress(StoreError):
                self._store.delete(key)
