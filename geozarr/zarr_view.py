"""A store as zarr-python reads it: documents that are known already, and the objects of any store of this package.

Nodes are answered from documents that were read once, so that zarr-python neither asks for them again nor has to list
the store: a plain HTTP server, which has no lists, is read like a folder. Chunks come from the store itself, with its
retries and its errors.

Importing this module imports zarr-python, which takes its time: whoever needs it imports it when it does.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, NoReturn

from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from geozarr import cf
from geozarr.documents import DOCUMENT, dtype_of
from geozarr.errors import MetadataError
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

    from geozarr import stores
    from geozarr.store import Tree


class TreeStore(Store):
    """A tree of documents, with the chunks of the store that they were read from. It is never written to.

    Parameters
    ----------
    store : Store
        Where the chunks are.
    tree : Tree
        Documents of a group and of all nodes below it.
    group : str
        Path of that group in the store.
    """

    supports_writes = False
    supports_deletes = False
    supports_listing = True

    def __init__(self, store: stores.Store, tree: Tree, group: str = "") -> None:
        super().__init__(read_only=True)
        self._store = store
        self._group = group
        self._documents = {
            join(path, DOCUMENT): json.dumps(_served(document, path)).encode() for path, document in tree.nodes.items()
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeStore):
            return NotImplemented
        return self._store is other._store and self._group == other._group and self._documents == other._documents

    def __hash__(self) -> int:
        return hash((id(self._store), self._group))

    def __repr__(self) -> str:
        return f"TreeStore({self._store.location!r}, group={self._group!r})"

    async def get(self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None) -> Buffer | None:
        """Read an object, or a range of it; None where it does not exist."""
        if key in self._documents:
            return prototype.buffer.from_bytes(_part(self._documents[key], byte_range))
        if key.rpartition("/")[2] == DOCUMENT:
            return None  # a node that the documents do not list
        wanted = _range(byte_range)
        found = await asyncio.to_thread(self._store.get, join(self._group, key), **wanted)
        return None if found is None else prototype.buffer.from_bytes(found.data)

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read several objects or ranges."""
        return list(await asyncio.gather(*(self.get(key, prototype, wanted) for key, wanted in key_ranges)))

    async def exists(self, key: str) -> bool:
        """Tell whether there is such an object."""
        if key.rpartition("/")[2] == DOCUMENT:
            return key in self._documents
        return await asyncio.to_thread(self._store.get, join(self._group, key), length=1) is not None

    async def list(self) -> AsyncIterator[str]:
        """List the documents: chunks are found by their keys."""
        for key in self._documents:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List the documents below a prefix."""
        for key in self._documents:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the names directly below a node."""
        below = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        names = (key[len(below) :].partition("/")[0] for key in self._documents if key.startswith(below))
        for name in dict.fromkeys(names):
            yield name

    async def set(self, key: str, value: Buffer) -> NoReturn:
        """Refuse: this is a view."""
        raise PermissionError(f"{self!r} is read only: {len(value)} bytes for {key}")

    async def delete(self, key: str) -> NoReturn:
        """Refuse: this is a view."""
        raise PermissionError(f"{self!r} is read only: {key} stays")


def _served(document: dict[str, Any], path: str) -> dict[str, Any]:
    """Return a document as xarray takes it: by itself, and with a `_FillValue` in the one form that it reads.

    The drafts of GeoZarr show a JSON number on floats (SPEC D-09), for which xarray refuses the whole group.
    """
    served = {key: value for key, value in document.items() if key != "consolidated_metadata"}
    served["zarr_format"] = 3  # documents of version 2 come in the form of version 3 (`zarr_v2.py`)
    if served.get("node_type") == "array" and served.get("fill_value") is None:
        served["fill_value"] = False if served.get("data_type") == "bool" else 0  # v2 may leave it open; v3 may not
    attributes = served.get("attributes")
    if served.get("node_type") != "array" or not isinstance(attributes, dict) or "_FillValue" not in attributes:
        return served
    try:
        dtype = dtype_of(document, node=path)
        missing = cf.decode_missing_value(attributes["_FillValue"], dtype, node=path)
    except MetadataError:
        return served  # text, or damaged: xarray says what it makes of that
    return {**served, "attributes": {**attributes, "_FillValue": cf.encode_missing_value(missing, dtype)}}


def _range(wanted: ByteRequest | None) -> dict[str, Any]:
    """Say a range as stores of this package take it."""
    if isinstance(wanted, RangeByteRequest):
        return {"first": wanted.start, "length": wanted.end - wanted.start}
    if isinstance(wanted, OffsetByteRequest):
        return {"first": wanted.offset}
    return {} if wanted is None else {"last": wanted.suffix}


def _part(data: bytes, wanted: ByteRequest | None) -> bytes:
    if isinstance(wanted, RangeByteRequest):
        return data[wanted.start : wanted.end]
    if isinstance(wanted, OffsetByteRequest):
        return data[wanted.offset :]
    return data[-wanted.suffix :] if isinstance(wanted, SuffixByteRequest) else data
