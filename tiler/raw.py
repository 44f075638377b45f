"""The stored objects themselves, read-only, for readers in browsers: which there are, and what a Range asks for.

Only what the documents of a pyramid list has an address: the `zarr.json` of each node, or the documents that Zarr v2
has in its place, and objects within the grid of each array. A key that a client sends is taken apart and looked up, and
the one that the store is asked for is made anew from what was found. Whatever else lies beside, as the folder of the
builds does, does not exist here.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geozarr import documents, manifest, zarr_v2
from geozarr.documents import DOCUMENT
from geozarr.errors import ChunkReadError, GeoZarrError, StoreError, UnknownNameError
from geozarr.manifest import Manifest, reference_of
from geozarr.store import open_store

if TYPE_CHECKING:
    from geozarr.documents import KeyEncoding
    from geozarr.manifest import Entry
    from geozarr.store import StoreLike, Tree
    from geozarr.stores import Found

MOST = 64 * 2**20  # bytes of one response; also the largest document that is read at all
MAX_KEY = 1024  # characters
_MAX_RANGE = 64  # characters of a Range header; two numbers of 19 digits are fewer
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_NAME = re.compile(r"(?!\.)[^/\\\x00-\x1f\x7f]{1,200}")


class RangeError(GeoZarrError):
    """A range begins after the end of an object.

    Parameters
    ----------
    size : int
        Bytes of the object.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        super().__init__(f"the object has {size} bytes, and the range none of them")


@dataclass(frozen=True)
class Range:
    """A single range of bytes (RFC 9110, 14.1.2).

    Parameters
    ----------
    first : int
        First byte.
    length : int or None
        How many; None goes on to the end.
    last : int or None
        Instead of these: so many bytes from the end.
    """

    first: int = 0
    length: int | None = None
    last: int | None = None


@dataclass(frozen=True)
class StoredObject:
    """An object that the documents list; whether it is stored is another question.

    Parameters
    ----------
    key : str
        Its key in the store.
    array : str or None
        Path of the array that it belongs to; None for a document (`zarr.json`, `.zarray` ...).
    index : tuple of int
        Its position in the array's grid of objects.
    """

    key: str
    array: str | None = None
    index: tuple[int, ...] = ()


@dataclass(frozen=True)
class Part:
    """Bytes of an object.

    Parameters
    ----------
    data : bytes
        The bytes.
    first : int
        Position of the first of them in the object.
    size : int
        Bytes of the whole object.
    """

    data: bytes
    first: int
    size: int


@dataclass(frozen=True)
class _Grid:
    """Objects of an array, and how their keys are written."""

    counts: tuple[int, ...]
    keys: KeyEncoding

    def index_of(self, tail: str) -> tuple[int, ...] | None:
        """Read what follows the array's path; None where it is the key of no object of the grid."""
        return self.keys.index_of(tail, self.counts)


def parse_range(text: str | None) -> Range | None:
    """Read a Range header; None where there is none, or none that a server has to heed.

    Several ranges at once, other units and what is malformed are passed over, as RFC 9110, 14.2 allows: the answer is
    the whole object then.
    """
    match = _RANGE.fullmatch(text) if text is not None and len(text) <= _MAX_RANGE else None
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if not first:
        return Range(last=int(last))
    if not last:
        return Range(int(first))
    return Range(int(first), int(last) - int(first) + 1) if int(first) <= int(last) else None


class RawStore:
    """The objects of one version of a pyramid. Safe to share among threads.

    Parameters
    ----------
    store : Store
        Where it is.
    tree : Tree
        Its documents.
    version : str
        Changes when they do.

    Raises
    ------
    MetadataError
        If the documents name a manifest in a way that is malformed.
    """

    def __init__(self, store: StoreLike, tree: Tree, *, version: str) -> None:
        self._store = open_store(store)
        self._version = version
        self._documents = (DOCUMENT,) if tree.root.get("zarr_format") == 3 else zarr_v2.DOCUMENTS
        self._nodes = frozenset(path for path in tree.nodes if not path or _is_plain(path))
        grids = {path: _grid(tree.nodes[path], path) for path in self._nodes}
        self._arrays = {path: grid for path, grid in grids.items() if grid is not None}
        self._reference = reference_of(tree.attributes())
        folder: str | None = getattr(self._store, "folder", None)  # of stores that are one
        self._folder = None if folder is None else Path(folder).resolve()

    def find(self, key: str) -> StoredObject:
        """Look up a key.

        Raises
        ------
        UnknownNameError
            If the documents list no such object.
        """
        folder, _, name = key.rpartition("/")
        if len(key) > MAX_KEY:
            raise _unknown(key)
        if name in self._documents and folder in self._nodes and (folder or key == name):
            return StoredObject(key)
        parts = key.split("/")
        for count in range(1, len(parts)):
            path = "/".join(parts[:count])
            grid = self._arrays.get(path)
            index = None if grid is None else grid.index_of("/".join(parts[count:]))
            if index is not None:
                return StoredObject(key, path, index)
        raise _unknown(key)

    def tag(self, wanted: StoredObject) -> str:
        """Return the tag of an object of an array, without reading it; hexadecimal."""
        return _hash(f"{self._version} {wanted.key}".encode())

    def size(self, wanted: StoredObject) -> int:
        """Return the bytes of an object; raises as `read` does."""
        found = self._get(wanted.key, Range(length=1))
        self._require_stored(wanted, found)
        assert found is not None, "it is stored"
        return found.size

    def read(self, wanted: StoredObject, part: Range | None = None) -> Part:
        """Read an object, or a range of it.

        Raises
        ------
        UnknownNameError
            If it is not stored, and needs not to be.
        RangeError
            If the range holds none of its bytes.
        ChunkReadError
            If it has been stored, and is lost or, read whole, another one.
        LimitError
            If there would be more than `MOST` bytes.
        StoreError
            If the store fails.
        """
        asked = part or Range()
        if asked.last == 0:
            raise RangeError(self.size(wanted))
        try:
            found = self._get(wanted.key, asked)
        except StoreError:
            # Most stores fail where a range begins after the end: one more request tells that from other failures.
            if asked.first and asked.first >= (size := self.size(wanted)):
                raise RangeError(size) from None
            raise
        entry = self._require_stored(wanted, found)
        assert found is not None, "it is stored"
        if part is not None and not found.data:
            raise RangeError(found.size)
        if entry is not None and len(found.data) == found.size:
            manifest.check(found.data, entry, array=f"/{wanted.array}", chunk=_name(wanted))
        first = found.size - len(found.data) if asked.last is not None else asked.first
        return Part(found.data, first, found.size)

    def _get(self, key: str, part: Range) -> Found | None:
        # What a link leads to elsewhere is no part of the store, though a folder would follow it.
        if self._folder is not None and not (self._folder / key).resolve().is_relative_to(self._folder):
            return None
        return self._store.get(key, first=part.first, length=part.length, last=part.last, most=MOST)

    def _require_stored(self, wanted: StoredObject, found: Found | None) -> Entry | None:
        """Tell an object that is lost from one that is not stored; return what is known of one that is there."""
        entry = None
        if wanted.array is not None and self._manifest is not None:
            entry = self._manifest.entry(wanted.array, wanted.index)
        if found is None and entry is not None:
            raise ChunkReadError(f"/{wanted.array}", _name(wanted), "is lost") from FileNotFoundError(wanted.key)
        if found is None:
            raise _unknown(wanted.key)
        return entry

    @cached_property
    def _manifest(self) -> Manifest | None:
        """The manifest, read with the first object that it has to speak for."""
        return None if self._reference is None else Manifest(self._store, self._reference)


def tag_of_document(data: bytes) -> str:
    """Return the tag of a document, from its bytes: another one may be published under the same key."""
    return _hash(data)


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _is_plain(path: str) -> bool:
    """Tell whether a path that a document names stays in the store, and out of what builds leave beside."""
    return all(_NAME.fullmatch(part) for part in path.split("/"))


def _grid(document: dict[str, Any], path: str) -> _Grid | None:
    """Describe an array's objects; None for groups, and for arrays that cannot be read, which nobody needs here."""
    shape = document.get("shape")
    if document.get("node_type") != "array" or not isinstance(shape, list) or not path:
        return None
    if not all(type(side) is int and 0 <= side < 2**63 for side in shape):
        return None
    try:
        sides = documents.object_shape_of(document, rank=len(shape), node=f"/{path}")
        keys = documents.key_encoding_of(document, node=f"/{path}")
    except GeoZarrError:
        return None
    counts = tuple(-(-size // side) for size, side in zip(shape, sides, strict=True))
    return _Grid(counts, keys)


def _name(wanted: StoredObject) -> str:
    return ".".join(map(str, wanted.index))


def _unknown(key: str) -> UnknownNameError:
    return UnknownNameError("stored object", key[:MAX_KEY], ())
