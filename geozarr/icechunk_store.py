"""Icechunk repositories as stores: all that is put becomes visible by one commit, or not at all.

A repository holds Zarr nodes and their chunks and nothing else. Keys of another kind, which begin with a dot (plan,
journal, lease, what waits to be put together), are kept in a temporary folder of this machine as long as the store is
used: a run needs them, nobody after it. They may be larger than the memory that a build is given.

A chunk can be put only after the document of its array, and the session that takes it lives in this process.

Addresses are `icechunk://PATH` for a folder and `icechunk+s3://BUCKET/PREFIX`. After a `?` may stand `branch=`, `tag=`
or `snapshot=`, and for S3 `region=`, `endpoint=` and `anonymous=true`.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
import threading
import weakref
from dataclasses import dataclass
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar
from urllib.parse import parse_qsl

from obstore.store import LocalStore

from geozarr.documents import DOCUMENT
from geozarr.errors import (
    CommitConflictError,
    LimitError,
    ParameterError,
    StoreError,
    TargetExistsError,
    UnknownNameError,
    UnsupportedError,
)
from geozarr.stores import Found, Listed, ObjectStoreAdapter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping

    from icechunk import Repository, Session, Storage

    T = TypeVar("T")

SCHEME = "icechunk"
MAIN = "main"
_S3 = f"{SCHEME}+s3"
_VERSIONS = ("branch", "tag", "snapshot")
_S3_OPTIONS = ("region", "endpoint", "anonymous")


def is_address(text: str) -> bool:
    """Tell whether an address is one of a repository."""
    return text.startswith((f"{SCHEME}://", f"{SCHEME}+"))


@dataclass(frozen=True)
class IcechunkTarget:
    """A branch of a repository, to build into or to read.

    Parameters
    ----------
    repository : icechunk.Repository
        Opened by the caller, with whatever storage and credentials it needs.
    branch : str
        An existing branch.
    message : str, optional
        Message of the snapshot; by default the tool, the build and the source.
    location : str
        Where it is, for people.
    """

    repository: Repository
    branch: str = MAIN
    message: str | None = None
    location: str = ""

    def to_store(self, *, create: bool = False) -> SessionStore:
        """Open the branch: to be written where `create` is set, else its latest snapshot to be read.

        Raises
        ------
        UnknownNameError
            If there is no such branch.
        StoreError
            If the repository cannot be read.
        """
        at = self.location or f"Icechunk repository, branch {self.branch}"
        try:
            known = sorted(self.repository.list_branches())
            if self.branch not in known:
                raise UnknownNameError("branch", self.branch, tuple(known))
            if create:
                session = self.repository.writable_session(self.branch)
            else:
                session = self.repository.readonly_session(branch=self.branch)
        except _failures() as error:
            raise StoreError("open", at) from error
        return SessionStore(session, at, repository=self.repository, branch=self.branch, message=self.message)


def open_address(text: str, *, create: bool = False) -> SessionStore:
    """Open a repository by its address.

    Parameters
    ----------
    text : str
        See the top of this module.
    create : bool
        To be written; the repository is made where there is none.

    Raises
    ------
    UnsupportedError
        If icechunk is not installed, or the address is of a kind that is not known here.
    ParameterError
        If what stands after the `?` is not understood, or names no branch where one is to be written.
    TargetExistsError
        If the repository would have to be made in a folder that holds other things.
    UnknownNameError
        If there is no such branch or tag.
    StoreError
        If there is no repository, or it cannot be read.
    """
    place, _, query = text.partition("?")
    scheme, _, path = place.partition("://")
    if scheme not in (SCHEME, _S3):
        raise UnsupportedError(f"{scheme}://", f"{SCHEME}:// and {_S3}:// are")
    options = _options(query, _VERSIONS + (_S3_OPTIONS if scheme == _S3 else ()))
    version = {name: options.pop(name) for name in _VERSIONS if name in options}
    if len(version) > 1 or (create and version.keys() - {"branch"}):
        raise ParameterError("address", found=text, expected="one branch" if create else f"one of {_VERSIONS}")
    if not path.strip("/"):
        raise ParameterError("address", found=text, expected=f"{SCHEME}://PATH or {_S3}://BUCKET/PREFIX")
    icechunk = _icechunk()
    try:
        storage = _s3(path, options) if scheme == _S3 else _folder(path, create=create)
        if not create or icechunk.Repository.exists(storage):
            repository = icechunk.Repository.open(storage)
        else:
            repository = icechunk.Repository.create(storage)
        if "snapshot" in version:
            session = repository.readonly_session(snapshot_id=version["snapshot"])
            return SessionStore(session, text, repository=repository)
        if "tag" in version:
            known = sorted(repository.list_tags())
            if version["tag"] not in known:
                raise UnknownNameError("tag", version["tag"], tuple(known))
            return SessionStore(repository.readonly_session(tag=version["tag"]), text, repository=repository)
    except _failures() as error:
        raise StoreError("open", text) from error
    return IcechunkTarget(repository, version.get("branch", MAIN), location=text).to_store(create=create)


def _options(query: str, known: tuple[str, ...]) -> dict[str, str]:
    """Read what stands after the `?`."""
    try:
        pairs = parse_qsl(query, strict_parsing=True, keep_blank_values=True) if query else []
    except ValueError:
        raise ParameterError("address", found=query, expected="name=value, joined by &") from None
    options = dict(pairs)
    unknown = [name for name in options if name not in known]
    if unknown or len(options) != len(pairs) or not all(options.values()):
        raise ParameterError("address", found=query, expected=f"each at most once, with a value: {', '.join(known)}")
    if options.get("anonymous", "true") not in ("true", "false"):
        raise ParameterError("anonymous", found=options["anonymous"], expected="true or false")
    return options


def _folder(path: str, *, create: bool) -> Storage:
    folder = Path(path).expanduser().absolute()
    icechunk = _icechunk()
    if not create and not folder.is_dir():
        raise StoreError("open", path) from FileNotFoundError(f"no such folder: {path}")
    if create and folder.exists() and not folder.is_dir():
        raise TargetExistsError(path, found="a file", expected="an Icechunk repository, or nothing")
    if create:
        folder.mkdir(parents=True, exist_ok=True)  # Icechunk 1 panics where it cannot do so
    storage: Storage = icechunk.local_filesystem_storage(str(folder))
    if create and any(folder.iterdir()) and not icechunk.Repository.exists(storage):
        raise TargetExistsError(path, found="objects of another origin", expected="an Icechunk repository, or nothing")
    return storage


def _s3(path: str, options: Mapping[str, str]) -> Storage:
    """Describe a bucket; credentials, and what is not stated, come from the environment as AWS's tools read it."""
    bucket, _, prefix = path.partition("/")
    endpoint = options.get("endpoint")
    is_anonymous = options.get("anonymous") == "true"
    storage: Storage = _icechunk().s3_storage(
        bucket=bucket,
        prefix=prefix.strip("/") or None,
        region=options.get("region"),
        endpoint_url=endpoint,
        allow_http=endpoint is not None and endpoint.startswith("http://"),
        force_path_style=endpoint is not None,
        anonymous=True if is_anonymous else None,
        from_env=None if is_anonymous else True,
    )
    return storage


class SessionStore:
    """A session of a repository.

    Parameters
    ----------
    session : icechunk.Session
        Writable or not.
    location : str
        For people.
    repository : icechunk.Repository, optional
        Tells what was committed meanwhile, where a commit finds a conflict.
    branch : str, optional
        The branch whose latest snapshot this is; none where a tag or a snapshot was asked for, which stay.
    message : str, optional
        Message of the snapshot in place of the one that `commit` is given.
    """

    def __init__(
        self,
        session: Session,
        location: str,
        *,
        repository: Repository | None = None,
        branch: str | None = None,
        message: str | None = None,
    ) -> None:
        self._session = session
        self._store = session.store
        self._repository = repository
        self._branch = branch
        self._message = message
        self.location = location
        self._lock = threading.Lock()
        self._loop = _Loop()
        self._beside: ObjectStoreAdapter | None = None
        self._removal: Callable[[], object] | None = None

    def __repr__(self) -> str:
        return f"SessionStore({self.location!r})"

    def __reduce__(self) -> NoReturn:
        # A copy would take chunks that this session, and its commit, never hear of.
        raise UnsupportedError(f"{self.location} in another process", "one process writes it, with threads")

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read an object, or a range of it."""
        if _is_note(key):
            return self._notes().get(key, first=first, length=length, last=last, most=most) if self._beside else None
        size = self._size(key)
        if size is None:
            return None
        start = max(0, size - last) if last is not None else min(first, size)
        stop = size if last is not None or length is None else min(size, start + length)
        if most is not None and stop - start > most:
            raise LimitError("stored object in bytes", allowed=most, found=stop - start)
        if start == stop:
            return Found(b"", size)
        data = self._asked("get", key, self._read(key, None if (start, stop) == (0, size) else (start, stop)))
        return None if data is None else Found(data, size)

    def stamp(self, key: str) -> str | None:
        """Return the latest snapshot of the branch, or the one that this session is bound to."""
        if self._size(key) is None:
            return None
        if self._repository is None or self._branch is None:
            return str(self._session.snapshot_id)
        try:
            return str(self._repository.lookup_branch(self._branch))
        except _failures() as error:
            raise StoreError("head", key) from error

    async def _read(self, key: str, part: tuple[int, int] | None) -> bytes | None:
        from zarr.abc.store import RangeByteRequest  # noqa: PLC0415 - zarr takes its time to import
        from zarr.core.buffer import default_buffer_prototype  # noqa: PLC0415 - the same

        found = await self._store.get(key, default_buffer_prototype(), RangeByteRequest(*part) if part else None)
        return None if found is None else found.to_bytes()

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Write an object whole, into the session."""
        if _is_note(key):
            return self._notes().put(key, data, create=create)
        from zarr.core.buffer.cpu import Buffer  # noqa: PLC0415 - zarr takes its time to import

        if not create:
            self._asked("put", key, self._store.set(key, Buffer.from_bytes(data)))
            return True
        with self._lock:
            if self._size(key) is not None:
                return False
            self._asked("put", key, self._store.set(key, Buffer.from_bytes(data)))
        return True

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """List the objects below a prefix."""
        if self._beside is not None and (not prefix or _is_note(prefix)):
            yield from self._beside.listed(prefix)
        if _is_note(prefix):
            return
        node = prefix.strip("/")
        while node and self._size(f"{node}/{DOCUMENT}") is None:
            node = node.rpartition("/")[0]  # Icechunk lists nodes only
        for key in self._asked("list", prefix, _all(self._store.list_prefix(node))):
            if not prefix or key.startswith(f"{prefix.strip('/')}/"):
                yield Listed(key, self._size(key) or 0)

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix, sorted."""
        if _is_note(prefix):
            return self._beside.children(prefix) if self._beside is not None else []
        path = prefix.strip("/")
        names = set(self._asked("list", prefix, _all(self._store.list_dir(path)))) - {DOCUMENT}
        if not prefix and self._beside is not None:
            names |= set(self._beside.children())
        return sorted(name for name in names if not self._is_chunk(f"{path}/{name}"))

    def _is_chunk(self, key: str) -> bool:
        """Tell a chunk from a folder of chunks."""
        if "c" not in key.split("/"):
            return False
        try:
            return self._size(key) is not None
        except StoreError:
            return False  # it cannot be the key of a chunk

    def delete(self, key: str) -> None:
        """Delete an object, in the session."""
        if _is_note(key):
            if self._beside is not None:
                self._beside.delete(key)
            return
        self._asked("delete", key, self._store.delete(key))

    def sync(self) -> None:
        """Do nothing: what was put is durable when it is committed."""

    def clear(self) -> None:
        """Take away all nodes, in the session: readers see them until the commit, and in the history after it.

        Raises
        ------
        StoreError
            If the repository fails.
        """
        self._asked("delete", "", self._store.clear())

    def commit(self, message: str, *, metadata: Mapping[str, str]) -> str:
        """Make all that was put the next snapshot of the branch, and durable.

        Parameters
        ----------
        message : str
            Of the snapshot, where the caller of the build has given none.
        metadata : mapping of str to str
            Kept with it.

        Returns
        -------
        str
            Identity of the snapshot.

        Raises
        ------
        CommitConflictError
            If somebody has committed to the branch meanwhile. What they wrote stays as it is; what was put here is kept
            as a snapshot that no branch leads to, which the error names.
        StoreError
            If the repository fails.
        """
        icechunk = _icechunk()
        said = self._message or message
        branch, base = str(self._session.branch), str(self._session.snapshot_id)
        parts = {**metadata, "write_id": secrets.token_hex(8)}
        try:
            return str(self._session.commit(said, metadata=parts))
        except icechunk.ConflictError as conflict:
            try:
                mine = self._committed(conflict.actual_parent, base, parts["write_id"])
                if mine is not None:
                    return mine
                kept = str(self._session.flush(said, metadata=parts))
                theirs, since = self._latest(conflict.actual_parent)
            except _failures() as error:
                raise StoreError("commit", self.location) from error
            raise CommitConflictError(
                self.location, branch=branch, snapshot=theirs, since=since, kept=kept
            ) from conflict
        except _failures() as error:
            raise StoreError("commit", self.location) from error

    def _committed(self, tip: str | None, base: str, write_id: str) -> str | None:
        """Find one's own commit, tried again since its reply was lost, among those after the session began."""
        if tip is None or self._repository is None:
            return None
        for snapshot in self._repository.ancestry(snapshot_id=tip):
            if snapshot.id == base:
                return None
            if snapshot.metadata.get("write_id") == write_id:
                return snapshot.id
        return None

    def _latest(self, snapshot: str | None) -> tuple[str, str]:
        """Say which snapshot is in the way, and when it was made."""
        if snapshot is None or self._repository is None:
            return str(snapshot), ""
        written = self._repository.lookup_snapshot(snapshot).written_at.astimezone(UTC)
        return snapshot, written.isoformat(timespec="seconds")

    def _notes(self) -> ObjectStoreAdapter:
        """Return the folder of what is no part of the repository."""
        with self._lock:
            if self._beside is None:
                folder = tempfile.mkdtemp(prefix="geozarr-build-")
                self._removal = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
                self._beside = ObjectStoreAdapter(LocalStore(folder), self.location)
            return self._beside

    def end(self) -> None:
        """Forget what is no part of the repository, and what was put and not committed."""
        with self._lock:
            if self._removal is not None:
                self._removal()
            self._beside = self._removal = None

    def _size(self, key: str) -> int | None:
        """Size of an object; None where it does not exist. Icechunk says 0 for a chunk that is not there."""
        return self._asked("get", key, _size_of(self._store, key)) or None

    def _asked(self, operation: str, key: str, work: Coroutine[Any, Any, T]) -> T:
        """Wait for Icechunk, which answers on an event loop."""
        try:
            return self._loop.wait(work)
        except _failures() as error:
            raise StoreError(operation, key) from error


class _Loop:
    """An event loop on a thread of its own, which ends with this object.

    Not zarr's: zarr itself may be what asks, from its loop, and would wait for itself.
    """

    def __init__(self) -> None:
        loop = self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=_run, args=(loop,), name=SCHEME, daemon=True)
        thread.start()
        weakref.finalize(self, _end, loop, thread)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns; raises as it does."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _run(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    loop.call_soon_threadsafe(loop.stop)
    if thread is not threading.current_thread():  # where garbage is collected is anybody's guess
        thread.join()


async def _size_of(store: Any, key: str) -> int | None:
    try:
        return int(await store.getsize(key))
    except KeyError:  # Icechunk 1 raises no more than that, and the error of Icechunk 2 is one
        return None


async def _all(items: AsyncIterator[str]) -> list[str]:
    return [item async for item in items]


def _is_note(key: str) -> bool:
    """Tell keys that are no part of a Zarr hierarchy."""
    return key.startswith(".")


def _icechunk() -> Any:
    try:
        import icechunk  # noqa: PLC0415 - of the extra `icechunk`
    except ModuleNotFoundError as error:
        reason = "the package icechunk is not installed; pip install 'geozarr-pyramids[icechunk]'"
        raise UnsupportedError("Icechunk", reason) from error
    return icechunk


def _failures() -> tuple[type[Exception], ...]:
    """All that Icechunk raises when a repository fails; ValueError: an address or a key that it cannot have."""
    icechunk = _icechunk()
    return (icechunk.IcechunkError, icechunk.ConflictError, OSError, ValueError, KeyError)
