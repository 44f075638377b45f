"""What stores are asked for: counted for each dataset, and for the work that a thread is doing.

A store is wrapped where a dataset is opened. Work that is measured sees what its own thread has asked for and how long
it has waited; chunks that another thread brings meanwhile are time, but no requests.
"""

from __future__ import annotations

import time
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from geozarr import hurry
from geozarr.hurry import NotAtHandError
from geozarr.stores import Stamped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from geozarr.stores import Found, Listed, Store


@dataclass
class Spent:
    """What some work has cost.

    Parameters
    ----------
    seconds : float
        In all.
    reading : float
        Seconds of these in which chunks were read and decoded, or awaited.
    requests : int
        Requests to stores.
    """

    seconds: float = 0.0
    reading: float = 0.0
    requests: int = 0

    @property
    def drawing(self) -> float:
        """Seconds that were not spent on reading."""
        return max(0.0, self.seconds - self.reading)


_SPENT: ContextVar[Spent | None] = ContextVar("spent", default=None)  # of the work that this thread does


@contextmanager
def measured() -> Iterator[Spent]:
    """Measure what the work within costs; `seconds` is set at its end."""
    spent = Spent()
    token = _SPENT.set(spent)
    begun = time.perf_counter()
    try:
        yield spent
    finally:
        spent.seconds = time.perf_counter() - begun
        _SPENT.reset(token)


@contextmanager
def reading() -> Iterator[None]:
    """Count the time within as reading."""
    spent = _SPENT.get()
    if spent is None:
        yield
        return
    begun = time.perf_counter()
    try:
        yield
    finally:
        spent.reading += time.perf_counter() - begun


class Tally:
    """Requests to the store of one dataset, and bytes that came of them. Safe to share among threads."""

    def __init__(self) -> None:
        self.requests = 0
        self.bytes = 0
        self.failures = 0
        self._lock = Lock()

    def add(self, size: int, *, failed: bool = False) -> None:
        """Count a request."""
        with self._lock:
            self.requests += 1
            self.bytes += size
            self.failures += failed
        spent = _SPENT.get()
        if spent is not None:
            spent.requests += 1


class MeteredStore:
    """A store whose requests are counted.

    Parameters
    ----------
    store : Store
        The store.
    tally : Tally
        Where they are counted.
    """

    def __init__(self, store: Store, tally: Tally) -> None:
        self._store = store
        self._tally = tally

    @property
    def location(self) -> str:
        """Where it is, for people."""
        return self._store.location

    @property
    def folder(self) -> str | None:
        """The folder on this machine; None for other stores."""
        folder: str | None = getattr(self._store, "folder", None)
        return folder

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read an object, or a range of it; raises `NotAtHandError` where this thread may not wait but must."""
        if hurry.is_hurrying() and not getattr(self._store, "can_hurry", False):
            raise NotAtHandError
        try:
            found = self._store.get(key, first=first, length=length, last=last, most=most)
        except NotAtHandError:
            raise  # it is asked for once more, and counted then
        except BaseException:
            self._tally.add(0, failed=True)
            raise
        self._tally.add(0 if found is None else len(found.data))
        return found

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Write an object whole."""
        return self._store.put(key, data, create=create)

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """List the objects below a prefix."""
        self._tally.add(0)
        return self._store.listed(prefix)

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix."""
        self._tally.add(0)
        return self._store.children(prefix)

    def delete(self, key: str) -> None:
        """Delete an object."""
        self._store.delete(key)

    def sync(self) -> None:
        """Return when all that was put is durable."""
        self._store.sync()


class _MeteredStampedStore(MeteredStore):
    """A store that tells whether an object has changed; these requests are counted too."""

    def stamp(self, key: str) -> str | None:
        """Return what changes with the object."""
        assert isinstance(self._store, Stamped), "`metered` has seen it"
        failed = True
        try:
            stamp = self._store.stamp(key)
            failed = False
        finally:
            self._tally.add(0, failed=failed)
        return stamp


def metered(store: Store, tally: Tally) -> MeteredStore:
    """Wrap a store so that its requests are counted."""
    return _MeteredStampedStore(store, tally) if isinstance(store, Stamped) else MeteredStore(store, tally)
