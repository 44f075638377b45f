"""Where objects are kept: one small protocol, and its adapters for folders and for all that obstore reaches.

A put is whole and atomic: a reader sees the object or the former one. A put that is to *create* fails where there is
an object already, whoever else tries at the same time. `sync` returns when all that was put before is durable.

Requests that go over a network are tried again with growing pauses, inside a budget. What another try cannot mend ends
at once (`answers`): access refused, no such bucket, a name that the store cannot have.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import time
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, GenericError
from obstore.store import HTTPStore, LocalStore, MemoryStore

from geozarr import answers, files, hurry, targets
from geozarr.answers import CutBodyError
from geozarr.errors import StoreError, UnsupportedError
from geozarr.hurry import NotAtHandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from obstore.store import ObjectStore

    T = TypeVar("T")

# Keys that are paths as they are: no part is special to obstore, to a shell or to a file system.
_PLAIN_KEY = re.compile(r"(?!.*/$)(?:(?!\.\.?(?:/|$))[A-Za-z0-9_.-]+(?:/|$))+")
# ValueError: obstore refuses a key with empty or dotted parts, or one that is no text. All else that fails is its own.
FAILURES = (BaseError, OSError, ValueError)


class Found(NamedTuple):
    """Bytes of an object, or of a range of it, and the size of the whole."""

    data: bytes
    size: int


class Head(NamedTuple):
    """What a store says of an object without sending it."""

    size: int
    tag: str | None
    changed: datetime


class Listed(NamedTuple):
    """An object in a list."""

    key: str
    size: int


@dataclass(frozen=True)
class Retries:
    """How often a request is tried.

    Parameters
    ----------
    tries : int
        At most so often.
    within : float
        Seconds from the first try, after which no other begins; one that has begun ends by its own time limit.
    first, longest : float
        Seconds before the second try, which double from try to try, and their bound. Each pause is drawn between
        half of that and all of it, so that many workers do not come back together.
    """

    tries: int = 10
    within: float = 180.0
    first: float = 0.1
    longest: float = 15.0

    def pause(self, tries: int) -> float:
        """Seconds to wait after so many tries."""
        whole = min(self.longest, self.first * 2.0 ** (tries - 1))
        return whole * random.uniform(0.5, 1.0)


BUILDER = Retries()  # FAULTS.md section 6: store tries of the builder
SERVICE = Retries(tries=3, within=8.0, longest=2.0)  # the same of the tile service, whose clients wait
ONCE = Retries(tries=1)


@runtime_checkable
class Store(Protocol):
    """Objects by key, with `/` between the parts. Safe to use from many threads.

    All methods raise `StoreError` where the store fails.
    """

    @property
    def location(self) -> str:
        """Where it is, for people."""
        ...

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read an object, or a range of it; None where it does not exist.

        Parameters
        ----------
        key : str
            Key of the object.
        first, length : int
            First byte, and how many; an object that is shorter gives less.
        last : int, optional
            Instead of these: so many bytes from the end.
        most : int, optional
            More bytes than that are not read.

        Raises
        ------
        LimitError
            If there would be more bytes than `most`.
        """
        ...

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Write an object whole.

        Returns
        -------
        bool
            False where `create` is set and there is an object already, which stays.

        Raises
        ------
        UnsupportedError
            If `create` is set and the store says that it knows no such puts.
        """
        ...

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """List the objects below a prefix, in whatever order; `UnsupportedError` where a store has no lists."""
        ...

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix, sorted; `UnsupportedError` where a store has no lists."""
        ...

    def delete(self, key: str) -> None:
        """Delete an object; one that is gone already does not matter."""
        ...

    def sync(self) -> None:
        """Return when all that was put is durable."""
        ...


@runtime_checkable
class Stamped(Protocol):
    """A store that tells without reading it whether an object has changed."""

    def stamp(self, key: str) -> str | None:
        """Return what changes with the object; None where it does not exist.

        Whoever sees another stamp opens the store again: this one may go on to show what it has shown before.

        Raises
        ------
        StoreError
            If the store fails.
        """
        ...


@runtime_checkable
class Sweepable(Protocol):
    """A store in which a put that dies leaves something that no list shows."""

    def sweep(self, *, spare: str) -> int:
        """Delete what dead puts have left; return how many there were.

        Parameters
        ----------
        spare : str
            Prefix below which others may be putting now.

        Raises
        ------
        StoreError
            If the store fails.
        """
        ...


@runtime_checkable
class Transaction(Protocol):
    """What a store does beside, where nothing that is put is visible before all of it is committed.

    Such a store takes the document of an array before its chunks, and keeps nothing of what is not committed.
    """

    def clear(self) -> None:
        """Take away all that is published; readers see it until the commit. Raises `StoreError` if that fails."""
        ...

    def commit(self, message: str, *, metadata: Mapping[str, str]) -> str:
        """Make all that was put visible, and durable, as one; return the name of that state.

        Raises
        ------
        BuildConflictError
            If somebody else has done so since the store was opened; theirs is what readers see.
        StoreError
            If it fails.
        """
        ...

    def end(self) -> None:
        """Forget what is no part of what is committed: nothing more will be put."""
        ...


@runtime_checkable
class Target(Protocol):
    """What says where a store is, and opens it."""

    def to_store(self, *, create: bool = False) -> Store:
        """Open it, to be written where `create` is set; raises `StoreError` if that fails."""
        ...


class ObjectStoreAdapter:
    """Anything that obstore reaches.

    Parameters
    ----------
    store : obstore store
        Where.
    location : str
        For people.
    retries : Retries, optional
        By default those of a builder where the store is remote; a folder and memory fail for good.
    """

    def __init__(self, store: ObjectStore, location: str = "", *, retries: Retries | None = None) -> None:
        self._store = store
        self.is_remote = not isinstance(store, LocalStore | MemoryStore)
        self._retries = retries or (BUILDER if self.is_remote else ONCE)
        self._root = str(store.prefix) if isinstance(store, LocalStore) and store.prefix is not None else None
        self._beneath: str | None = None
        self.can_hurry = self._root is not None and files.CAN_TELL
        self._opened_by = location if "://" in location else None
        self.location = location or self._root or type(store).__name__

    @property
    def folder(self) -> str | None:
        """The folder on this machine; None for other stores."""
        return self._root

    def confined(self) -> ObjectStoreAdapter:
        """Return the same store, which fails to get what a link in a folder leads out of it to."""
        if self._root is None:
            return self
        found = ObjectStoreAdapter(self._store, self.location, retries=self._retries)
        found._beneath = os.path.join(os.path.realpath(self._root), "")  # noqa: PTH118 - ends with a separator
        return found

    def __reduce__(self) -> tuple[Any, ...]:
        if isinstance(self._store, MemoryStore):
            raise TypeError("a store in memory is that of one process")
        if self._root is not None:
            return _folder, (self._root, self.location)
        if self._opened_by is not None:
            # By its URL, and with the settings of that process: credentials do not travel.
            return open_url, (self._opened_by,)
        return ObjectStoreAdapter, (self._store, self.location)

    def __repr__(self) -> str:
        return f"ObjectStoreAdapter({self.location!r})"

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read an object, or a range of it; raises `NotAtHandError` where this thread may not wait but must."""
        if hurry.is_hurrying() and not self.can_hurry:
            raise NotAtHandError
        try:
            return self._tried("get", key, self._getting(key, first=first, length=length, last=last, most=most))
        except NotAtHandError as error:
            self.can_hurry = not error.is_for_good
            raise
        except FileNotFoundError:
            return None

    def _getting(
        self, key: str, *, first: int, length: int | None, last: int | None, most: int | None
    ) -> Callable[[], Found]:
        if self._root is not None and _PLAIN_KEY.fullmatch(key):
            path = f"{self._root}/{key}"
            beneath = self._beneath
            return lambda: Found(*files.read(path, first=first, length=length, last=last, most=most, beneath=beneath))
        wanted: Any = None
        if last is not None:
            wanted = {"range": {"suffix": last}}
        elif length is not None:
            wanted = {"range": (first, first + length)}
        elif first:
            wanted = {"range": {"offset": first}}

        def once() -> Found:
            if self._beneath is not None:
                files.require_beneath(os.path.realpath(self._beneath + key), self._beneath)
            result = obstore.get(self._store, key, options=wanted)
            start, stop = result.range
            files.require_at_most(stop - start, most)
            data = bytes(result.bytes())
            if len(data) != stop - start:
                raise CutBodyError(f"{len(data)} of {stop - start} bytes")
            return Found(data, int(result.meta["size"]))

        return once

    def stamp(self, key: str) -> str | None:
        """Return the entity tag of an object, or where there is none its time and size."""
        found = self.head(key)
        return found and (found.tag or f"{found.changed.isoformat()} {found.size}")

    def head(self, key: str) -> Head | None:
        """Ask for size, entity tag and time of an object; None where it does not exist.

        Raises
        ------
        StoreError
            If the store fails.
        """

        def once() -> Head:
            found = obstore.head(self._store, key)
            return Head(found["size"], found["e_tag"], found["last_modified"])

        try:
            return self._tried("head", key, once)
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Write an object whole."""
        if self._root is not None and _PLAIN_KEY.fullmatch(key):
            return self._tried("put", key, lambda: files.write(f"{self._root}/{key}", data, create=create))

        def once() -> bool:
            try:
                mode: Any = "create" if create else "overwrite"
                obstore.put(self._store, key, data, use_multipart=False, mode=mode)
            except AlreadyExistsError as error:
                if not create or answers.is_meeting(error):
                    raise
                return False
            return True

        try:
            return self._tried("put", key, once)
        except StoreError as error:
            cause = error.__cause__
            if create and isinstance(cause, Exception) and answers.is_missing_feature(cause):
                reason = f"{self.location} does not have it, and without it two builders cannot be kept apart"
                raise UnsupportedError("a put that only creates (If-None-Match: *)", reason) from cause
            raise

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """List the objects below a prefix; a list that fails goes on after the last key that it gave."""
        self._require_lists()
        last: str | None = None
        pages: Iterator[Any] | None = None

        def page() -> Any:
            nonlocal pages
            if pages is None:
                pages = iter(obstore.list(self._store, prefix or None, offset=last, chunk_size=1000))
            try:
                return next(pages, ())
            except FAILURES:
                pages = None
                raise

        while batch := self._tried("list", prefix, page):
            for item in batch:
                yield Listed(item["path"], item["size"])
            last = batch[-1]["path"]

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix, sorted."""
        self._require_lists()
        result = self._tried("list", prefix, lambda: obstore.list_with_delimiter(self._store, prefix or None))
        return sorted(PurePosixPath(path).name for path in result["common_prefixes"])

    def delete(self, key: str) -> None:
        """Delete an object."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if self._root is not None and _PLAIN_KEY.fullmatch(key):
                root = self._root
                self._tried("delete", key, lambda: files.delete(root, key))
            else:
                self._tried("delete", key, lambda: obstore.delete(self._store, key))

    def sync(self) -> None:
        """Bring a folder's files to the disk; what other stores have confirmed is durable."""
        if self._root is not None:
            root = self._root
            self._tried("sync", "", lambda: files.sync(root))

    def sweep(self, *, spare: str) -> int:
        """Delete the files of a folder that were staged by a process which died before it could move them."""
        if self._root is None:
            return 0
        root = self._root
        return self._tried("sweep", "", lambda: files.sweep(root, f"{root}/{spare}"))

    def _require_lists(self) -> None:
        """Refuse to list what is behind a plain HTTP server, without asking it."""
        if isinstance(self._store, HTTPStore):
            raise UnsupportedError("a list of objects", f"{self.location} is a plain HTTP server, which has none")

    def _tried(self, operation: str, key: str, once: Callable[[], T]) -> T:
        """Do something as often as it makes sense.

        Raises
        ------
        FileNotFoundError, NotADirectoryError
            As `once` does.
        StoreError
            If it fails otherwise.
        """
        started = time.monotonic()
        tries = 1
        while True:
            try:
                return once()
            except (FileNotFoundError, NotADirectoryError) as error:
                is_missing = operation == "delete" or isinstance(error, FileNotFoundError)
                if is_missing and operation in ("get", "head", "delete") and not answers.is_missing_container(error):
                    raise
                # Also where a folder of the key is a file: that is damage, as it is to obstore.
                raise _failed(operation, key, tries, error) from error
            except (GenericError, AlreadyExistsError, CutBodyError) as error:
                pause = self._retries.pause(tries)
                is_last = tries >= self._retries.tries or time.monotonic() + pause - started > self._retries.within
                if is_last or not answers.is_passing(error):
                    raise _failed(operation, key, tries, error) from error
                time.sleep(pause)
                tries += 1
            # TypeError: obstore's word for a bad key in a delete; NotImplementedError: for what a store cannot do.
            except (*FAILURES, TypeError, NotImplementedError) as error:
                raise _failed(operation, key, tries, error) from error


def _failed(operation: str, key: str, tries: int, error: Exception) -> StoreError:
    """Make the error that names what was asked; one from the network says on one line what was answered."""
    is_remote = isinstance(error, CutBodyError | NotImplementedError | BaseError) or answers.is_missing_container(error)
    return StoreError(operation, key, tries, reason=answers.reason(error) if is_remote else "")


def _folder(root: str, location: str) -> ObjectStoreAdapter:
    return ObjectStoreAdapter(LocalStore(root, automatic_cleanup=True), location)


def open_url(url: str, retries: Retries | None = None) -> ObjectStoreAdapter:
    """Open a place by a URL that obstore knows; raises as `targets.open_url`."""
    if url == "memory://":
        return ObjectStoreAdapter(MemoryStore(), url)
    return ObjectStoreAdapter(targets.open_url(url), url, retries=retries)
