"""Faults on purpose: stores that fail, die, tear a write, or forget what was not synced (FAULTS.md section 3)."""

from __future__ import annotations

import errno
import json
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import pytest
from obstore.store import MemoryStore

from geozarr import store as store_module
from pyramids import journal
from pyramids.sources import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import pyramids
    from geozarr.stores import Found, Listed, Store

T = TypeVar("T")

# Parts of keys that tell when or by whom something was built, and no more.
PASSING = ("/lease/", "/published.json", "/journal/", "/handover/")


@pytest.fixture
def at_every_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every unit is journalled at once, so that faults find builds at every stage though they are quick."""
    monkeypatch.setattr(journal, "INTERVAL", 0.0)
    monkeypatch.setattr(blocks, "CELL_PIXELS", 1)


class Death(BaseException):
    """Stands for the end of the process: no code of ours catches it, and the store answers nothing afterwards."""


@dataclass(frozen=True)
class Operation:
    """What a store was asked."""

    name: str
    key: str


class FaultStore:
    """Wraps a store; counts its operations and does something at one of them.

    Parameters
    ----------
    store : Store
        Where operations go.
    at : int
        Which operation, counted from 0; negative: none.
    how : str
        "before" dies instead of it, "after" dies when it is done, "torn" leaves half of a put and dies (where puts are
        not atomic), or "raise".
    error : exception
        For "raise": what is raised, once.
    """

    def __init__(self, store: Store, *, at: int = -1, how: str = "before", error: BaseException | None = None) -> None:
        self._store = store
        self._at = at
        self._how = how
        self._error = error
        self._lock = threading.Lock()
        self.operations: list[Operation] = []
        self.is_dead = False

    @property
    def location(self) -> str:
        """Where it is."""
        return self._store.location

    @property
    def is_remote(self) -> bool:
        """Whether puts go out many at a time."""
        return bool(getattr(self._store, "is_remote", False))

    @property
    def keys(self) -> list[str]:
        """Keys that were put, in their order."""
        return [operation.key for operation in self.operations if operation.name == "put"]

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read."""
        return self._do("get", key, lambda: self._store.get(key, first=first, length=length, last=last, most=most))

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Write."""

        def torn() -> bool:
            return self._store.put(key, data[: len(data) // 2])

        return self._do("put", key, lambda: self._store.put(key, data, create=create), torn)

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """List."""
        return self._do("list", prefix, lambda: iter(list(self._store.listed(prefix))))

    def children(self, prefix: str = "") -> list[str]:
        """List folders."""
        return self._do("children", prefix, lambda: self._store.children(prefix))

    def delete(self, key: str) -> None:
        """Delete."""
        self._do("delete", key, lambda: self._store.delete(key))

    def sync(self) -> None:
        """Sync."""
        self._do("sync", "", self._store.sync)

    def _do(self, name: str, key: str, act: Callable[[], T], torn: Callable[[], T] | None = None) -> T:
        with self._lock:
            if self.is_dead:
                raise Death
            number = len(self.operations)
            self.operations.append(Operation(name, key))
            is_now = number == self._at
            if is_now and self._how != "raise":
                self.is_dead = True
        if not is_now:
            return act()
        if self._how == "raise":
            assert self._error is not None
            raise self._error
        if self._how == "after":
            act()
        if self._how == "torn" and torn is not None:
            torn()
        raise Death


class VolatileStore(FaultStore):
    """Memory that forgets, when power is lost, every put that was not synced."""

    def __init__(self) -> None:
        super().__init__(memory())
        self._durable: dict[str, bytes] = {}

    def sync(self) -> None:
        """Make durable what was put."""
        super().sync()
        self._durable = contents(self._store)

    def after_power_loss(self) -> Store:
        """What is left."""
        return copied(self._durable)


def memory() -> Store:
    """An empty store."""
    return store_module.open_store(MemoryStore())


def copied(objects: dict[str, bytes]) -> Store:
    """A store that holds objects."""
    store = memory()
    for key, data in objects.items():
        store.put(key, data)
    return store


def lasting(store: Store) -> dict[str, bytes]:
    """All that a build leaves for good."""
    return {key: data for key, data in contents(store).items() if not any(part in key for part in PASSING)}


def files(folder: Path) -> dict[str, bytes]:
    """All files of a finished build, those that no list shows among them, but for those that tell when and by whom."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        place.as_posix(): path.read_bytes()
        for place, path in found.items()
        if not {"lease", "published.json"} & set(place.parts)
    }


def visible(store: Store) -> dict[str, bytes] | None:
    """What a reader sees: the root document and all below the levels that it names; None where there is none.

    Of Zarr v2 that is the `.zmetadata`, as far as it speaks of these levels.
    """
    found = contents(store)
    if "zarr.json" in found:
        root = {"zarr.json": found["zarr.json"]}
        attributes = json.loads(found["zarr.json"])["attributes"]
    elif ".zmetadata" in found:
        entries = json.loads(found[".zmetadata"])["metadata"]
        root = {f"{key} in .zmetadata": json.dumps(entry).encode() for key, entry in entries.items()}
        attributes = entries[".zattrs"]
    else:
        return None
    assets = [item["asset"] for item in attributes["multiscales"]["layout"]]
    below = {key: data for key, data in found.items() if is_of_any(key, assets)}
    return {key: data for key, data in root.items() if "/" not in key or is_of_any(key, assets)} | below


def is_of_any(key: str, assets: Iterable[str]) -> bool:
    """Tell whether an object lies below one of some groups."""
    return any(key.startswith(f"{asset}/") for asset in assets)


def stops_after(count: int) -> Callable[[pyramids.Report], None]:
    """A listener that interrupts a build when it has been told something so many times."""
    told = 0

    def listener(_: pyramids.Report) -> None:
        nonlocal told
        told += 1
        if told == count:
            raise KeyboardInterrupt

    return listener


def contents(store: Store) -> dict[str, bytes]:
    """All objects of a store."""
    found = {}
    for item in list(store.listed()):
        data = store.get(item.key)
        assert data is not None
        found[item.key] = data.data
    return found


class FullDisk:
    """Stands in for `os.write`: from one call on half of what is given fits, and then nothing, until there is room.

    Parameters
    ----------
    at : int
        Which call, counted from 0.
    """

    def __init__(self, at: int) -> None:
        self._at = at
        self._lock = threading.Lock()
        self._write = os.write
        self.calls = 0
        self.has_room = False

    def __call__(self, file: int, data: bytes) -> int:
        """Write, or fail as a full disk does."""
        with self._lock:
            number = self.calls
            self.calls += 1
        if number < self._at or self.has_room:
            return self._write(file, data)
        if number == self._at and len(data) > 1:
            return self._write(file, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
