"""Datasets by name: opened when they are first asked for, and opened anew when their root document has changed.

A pyramid that is rebuilt is published by one put of its root document. Each opened dataset is one version; whoever
answers a request keeps to it to the end. Every `refresh` seconds, at the most, a dataset in use is looked at: where its
root document has another stamp, the new version is opened and takes its place. Nobody waits for that look unless the
dataset has not been asked for during the last interval.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from geozarr import store as store_module
from geozarr.documents import DOCUMENT
from geozarr.errors import GeoZarrError, UnknownNameError
from geozarr.stores import SERVICE, Stamped
from tiler.cache import BoundedCache

if TYPE_CHECKING:
    from collections.abc import Callable

    from geozarr.stores import Store
    from tiler.service import Opened
    from tiler.settings import Dataset

_LOG = logging.getLogger(__name__)


@dataclass
class _Entry:
    """An opened dataset, and when it was last known to be the latest."""

    opened: Opened
    stamp: str | None
    looked: float
    used: bool = field(default=True)


class Catalog:
    """Opened datasets. Safe to share among threads.

    Parameters
    ----------
    datasets : tuple of Dataset
        Names and places.
    make : callable
        Opens a dataset from its name, its store, and the stamp of its root document.
    refresh : float
        Seconds between two looks at a root document.
    most : int
        Datasets that are kept open.
    clock : callable, optional
        Seconds, for tests.
    """

    def __init__(
        self,
        datasets: tuple[Dataset, ...],
        make: Callable[[str, Store, str | None], Opened],
        *,
        refresh: float,
        most: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._locations = {dataset.name: dataset.location for dataset in datasets}
        self._make = make
        self._refresh = refresh
        self._clock = clock
        self._entries: BoundedCache[_Entry] = BoundedCache(most, lambda _: 1)
        self._looks: dict[str, Lock] = {name: Lock() for name in self._locations}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the datasets."""
        return tuple(self._locations)

    def known(self, name: str) -> Opened | None:
        """Return a dataset that is open and was looked at lately, else None: then `open` has to be called.

        Raises
        ------
        UnknownNameError
            If there is no dataset of that name.
        """
        if name not in self._locations:
            raise UnknownNameError("dataset", name, self.names)
        entry = self._entries.peek(name)
        if entry is None or self._clock() - entry.looked > 2 * self._refresh:
            return None
        entry.used = True
        return entry.opened

    def open(self, name: str) -> Opened:
        """Open a dataset, or look whether it is still the latest where nobody has for long.

        Raises
        ------
        UnknownNameError
            If there is no dataset of that name.
        StoreError, MetadataError, GridMismatchError, UnsupportedError, LimitError
            If it cannot be served, and never could.
        """
        if name not in self._locations:
            raise UnknownNameError("dataset", name, self.names)
        entry = self._entries.get(name, lambda: self._open(name))
        if self._clock() - entry.looked > 2 * self._refresh:
            self.look(name)
            entry = self._entries.get(name, lambda: self._open(name))
        entry.used = True
        return entry.opened

    def due(self) -> list[str]:
        """Names of the datasets that have been asked for since they were last looked at, at least `refresh` ago."""
        now = self._clock()
        found = []
        for name in self._locations:
            entry = self._entries.peek(name)
            if entry is not None and entry.used and now - entry.looked >= self._refresh:
                found.append(name)
        return found

    def look(self, name: str) -> bool:
        """Open a dataset anew if its root document has changed; one that cannot be read stays as it is.

        Returns
        -------
        bool
            True where there is a new version now.
        """
        with self._looks[name]:
            entry = self._entries.peek(name)
            if entry is None:
                return False
            entry.looked, entry.used = self._clock(), False
            try:
                store = self._store(name)
                stamp = _stamp_of(store)
                if stamp is None or stamp == entry.stamp:
                    return False
                opened = self._make(name, store, stamp)
            except GeoZarrError:
                _LOG.warning("dataset %s cannot be looked at; its last version is served on", name, exc_info=True)
                return False
            self._entries.put(name, _Entry(opened, stamp, entry.looked))
        _LOG.info("dataset %s has a new version", name)
        return True

    def _open(self, name: str) -> _Entry:
        looked = self._clock()
        store = self._store(name)
        stamp = _stamp_of(store)  # before the document is read: a change in between is seen at the next look
        return _Entry(self._make(name, store, stamp), stamp, looked)

    def _store(self, name: str) -> Store:
        return store_module.open_store(self._locations[name], retries=SERVICE)


def _stamp_of(store: Store) -> str | None:
    return store.stamp(DOCUMENT) if isinstance(store, Stamped) else None
