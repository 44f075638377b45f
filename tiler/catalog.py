"""Datasets by name: opened when they are first asked for, and opened anew when their root document has changed.

A pyramid that is rebuilt is published by one put of its root document. Each opened dataset is one version; whoever
answers a request keeps to it to the end. Every `refresh` seconds, at the most, a dataset in use is looked at: where its
root document has another stamp, the new version is opened and takes its place. Nobody waits for that look unless the
dataset has not been asked for during the last interval.

Which datasets there are may change while requests are answered: what has begun goes on with the version that it has.
"""

from __future__ import annotations

import logging
import math
import time
from copy import copy
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

from geozarr import store as store_module
from geozarr.documents import DOCUMENT
from geozarr.errors import GeoZarrError, StoreError, UnknownNameError, in_one_line
from geozarr.stores import SERVICE, ObjectStoreAdapter, Stamped
from geozarr.zarr_v2 import CONSOLIDATED
from tiler.cache import BoundedCache
from tiler.meter import Tally, metered

if TYPE_CHECKING:
    from collections.abc import Callable

    from geozarr.stores import Store
    from tiler.service import Opened
    from tiler.settings import Dataset

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Refused:
    """A version that cannot be served, and when that was found."""

    error: GeoZarrError
    stamp: str | None
    found: float


@dataclass(eq=False)
class _Place:
    """A dataset as it is configured; another place for the same name is another one, whatever is kept of the former."""

    dataset: Dataset
    tally: Tally = field(default_factory=Tally)
    lock: Lock = field(default_factory=Lock)  # one look at a time
    looked: float = -math.inf
    was_open: bool = False
    is_lost: bool = False
    refused: _Refused | None = None


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
        self._places = {dataset.name: _Place(dataset) for dataset in datasets}
        self._make = make
        self._refresh = refresh
        self._clock = clock
        self._entries: BoundedCache[_Entry] = BoundedCache(most, lambda _: 1)

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """Datasets as they are configured now."""
        return tuple(place.dataset for place in self._places.values())

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the datasets."""
        return tuple(self._places)

    @property
    def open_count(self) -> int:
        """Number of datasets that are open."""
        return len(self._entries)

    @property
    def tallies(self) -> dict[str, Tally]:
        """What the stores of the datasets have been asked for, by name."""
        return {name: place.tally for name, place in self._places.items()}

    def take(self, datasets: tuple[Dataset, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Have other datasets from now on; those that stay where they are stay open.

        Parameters
        ----------
        datasets : tuple of Dataset
            All that there are.

        Returns
        -------
        tuple of str
            Names of those that are new, or elsewhere than before.
        tuple of str
            Names of those that there are no longer.
        """
        former, places = self._places, {}
        for dataset in datasets:
            place = former.get(dataset.name)
            if place is None or place.dataset.location != dataset.location:
                place = _Place(dataset, Tally() if place is None else place.tally)
            place.dataset = dataset
            places[dataset.name] = place
        self._places = places
        for name, place in former.items():
            if places.get(name) is not place:
                self._entries.drop(place)
        added = tuple(name for name, place in places.items() if former.get(name) is not place)
        return added, tuple(name for name in former if name not in places)

    def known(self, name: str) -> Opened | None:
        """Return a dataset that is open and was looked at lately, else None: then `open` has to be called.

        Raises
        ------
        UnknownNameError
            If there is no dataset of that name.
        """
        entry = self._entries.peek(self._place(name))
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
            If it cannot be served, and never could. What is wrong with its documents is told again for `refresh`
            seconds before they are read again.
        """
        place = self._place(name)
        entry = self._entries.get(place, lambda: self._open(place))
        if self._clock() - entry.looked > 2 * self._refresh:
            self._look(place)
            entry = self._entries.get(place, lambda: self._open(place))
        entry.used = True
        return entry.opened

    def due(self) -> list[str]:
        """Names of the datasets that have been asked for since they were last looked at, at least `refresh` ago."""
        now = self._clock()
        found = []
        for name, place in self._places.items():
            entry = self._entries.peek(place)
            if entry is not None and entry.used and now - entry.looked >= self._refresh:
                found.append(name)
        return found

    def unchecked(self) -> list[str]:
        """Names of the datasets that have ever been open and were not looked at during the last `refresh` seconds."""
        now = self._clock()
        places = self._places.items()
        return [name for name, place in places if place.was_open and now - place.looked >= self._refresh]

    @property
    def lost(self) -> tuple[str, ...]:
        """Names of the datasets that have been open, and of which the last look has found no root document."""
        return tuple(name for name, place in self._places.items() if place.was_open and place.is_lost)

    def look(self, name: str) -> bool:
        """Open a dataset anew if its root document has changed; one that cannot be read stays as it is.

        Returns
        -------
        bool
            True where there is a new version now.
        """
        place = self._places.get(name)
        return place is not None and self._look(place)

    def _look(self, place: _Place) -> bool:
        name = place.dataset.name
        with place.lock:
            entry = self._entries.peek(place)
            place.looked = self._clock()
            if entry is not None:
                entry.looked, entry.used = place.looked, False
            try:
                store = self._store(place)
                stamp = _stamp_of(store)
            except GeoZarrError as error:
                self._lose(place, f"cannot be looked at: {in_one_line(error)}")
                return False
            if stamp is None and isinstance(store, Stamped):
                self._lose(place, "has no root document")
                return False
            place.is_lost = False
            refused = self._lately_refused(place)
            if entry is None or stamp is None or stamp in (entry.stamp, refused.stamp if refused else None):
                return False
            try:
                opened = self._made(place, store, stamp)
            except GeoZarrError as error:
                words = in_one_line(error)
                _LOG.warning("dataset %s: its new version cannot be read; the last one is served on: %s", name, words)
                return False
            self._entries.put(place, _Entry(opened, stamp, entry.looked))
        _LOG.info("dataset %s has a new version", name)
        return True

    def _lose(self, place: _Place, reason: str) -> None:
        """Note that a dataset is not to be found; told once and not at each look."""
        if not place.is_lost:
            _LOG.warning("dataset %s %s; its last version is served on", place.dataset.name, reason)
        place.is_lost = True

    def _place(self, name: str) -> _Place:
        place = self._places.get(name)
        if place is None:
            raise UnknownNameError("dataset", name, self.names)
        return place

    def _open(self, place: _Place) -> _Entry:
        refused = self._lately_refused(place)
        if refused is not None:
            raise copy(refused.error)  # without what it has gathered on its way up: each raise adds to that
        looked = self._clock()
        store = self._store(place)
        stamp = _stamp_of(store)  # before the document is read: a change in between is seen at the next look
        entry = _Entry(self._made(place, store, stamp), stamp, looked)
        place.looked, place.was_open, place.is_lost = looked, True, False
        return entry

    def _made(self, place: _Place, store: Store, stamp: str | None) -> Opened:
        """Open a version; one that cannot be served is not parsed again for every request that asks for it."""
        try:
            return self._make(place.dataset.name, store, stamp)
        except StoreError:
            raise  # which may pass
        except GeoZarrError as error:
            place.refused = _Refused(copy(error), stamp, self._clock())
            raise

    def _lately_refused(self, place: _Place) -> _Refused | None:
        """Return what was found within the refresh time; None where nothing was."""
        refused = place.refused
        is_late = refused is not None and self._clock() - refused.found < self._refresh
        return refused if is_late else None

    def _store(self, place: _Place) -> Store:
        store = store_module.open_store(place.dataset.location, retries=SERVICE)
        return metered(store.confined() if isinstance(store, ObjectStoreAdapter) else store, place.tally)


def _stamp_of(store: Store) -> str | None:
    """Return the stamp of the document that publishes a pyramid, of Zarr v3 or else of v2."""
    return store.stamp(DOCUMENT) or store.stamp(CONSOLIDATED) if isinstance(store, Stamped) else None
