"""Our stores for zarr-python to read from, so that whatever `geozarr.store` opens xarray can open: zip files too.

Each request is answered on the thread that asks, by the store's own rules of what is tried again. Documents that other
tools write and that zarr-python or xarray refuse are put right on their way, which is noted: a `fill_value` of null
(GDAL 3.12), and a `_FillValue` of floats that is a number (topozarr 0.2; xarray wants base64, ZARR-13).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest
from zarr.core.buffer import BufferPrototype, default_buffer_prototype

from geozarr import cf
from geozarr.documents import DATA_TYPES, DOCUMENT
from geozarr.store import join
from pyramids.sources.quirk import Quirk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer

    from geozarr import store as store_module


class ReadableStore(Store):
    """A store that zarr-python reads from.

    Parameters
    ----------
    store : Store
        What answers.
    folder : str
        Folder of the store that is taken for all of it; "" is the whole.

    Attributes
    ----------
    quirks : list of Quirk
        What was put right in documents so far.
    """

    supports_writes = supports_deletes = False
    supports_listing = True

    def __init__(self, store: store_module.Store, folder: str = "") -> None:
        super().__init__(read_only=True)
        self._store = store
        self._folder = folder
        self.quirks: list[Quirk] = []

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReadableStore) and (self._store, self._folder) == (other._store, other._folder)

    __hash__ = None  # type: ignore[assignment] # as that of its base

    def __repr__(self) -> str:
        return f"ReadableStore({self._store!r}, {self._folder!r})"

    __str__ = __repr__

    def __reduce__(self) -> tuple[Any, ...]:
        return ReadableStore, (self._store, self._folder)

    async def get(
        self, key: str, prototype: BufferPrototype | None = None, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        """Read an object or a range of it; None where it does not exist."""
        prototype = prototype or default_buffer_prototype()
        key = join(self._folder, key)
        if isinstance(byte_range, RangeByteRequest):
            found = self._store.get(key, first=byte_range.start, length=byte_range.end - byte_range.start)
        elif isinstance(byte_range, SuffixByteRequest):
            found = self._store.get(key, last=byte_range.suffix)
        elif isinstance(byte_range, OffsetByteRequest):
            found = self._store.get(key, first=byte_range.offset)
        else:
            found = self._store.get(key)
        if found is None:
            return None
        is_document = key.rpartition("/")[2] == DOCUMENT and byte_range is None
        data = self._mended(key, found.data) if is_document else found.data
        return prototype.buffer.from_bytes(data)

    def _mended(self, key: str, data: bytes) -> bytes:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return data  # zarr-python says what is wrong
        if not isinstance(document, dict):
            return data
        path = key.rpartition("/")[0]
        block = document.get("consolidated_metadata")
        entries = block.get("metadata") if isinstance(block, dict) else None
        copies = entries.items() if isinstance(entries, dict) else ()
        found = _mend(document, f"/{path}")
        for name, copy in copies:
            if isinstance(copy, dict):
                found += _mend(copy, f"/{path}/{name}" if path else f"/{name}")
        if not found:
            return data
        self.quirks += [quirk for quirk in found if quirk not in self.quirks]
        return json.dumps(document).encode()

    async def get_partial_values(
        self, prototype: BufferPrototype, key_ranges: Iterable[tuple[str, ByteRequest | None]]
    ) -> list[Buffer | None]:
        """Read several."""
        return [await self.get(key, prototype, wanted) for key, wanted in key_ranges]

    async def exists(self, key: str) -> bool:
        """Tell whether there is an object."""
        return self._store.get(join(self._folder, key), length=1) is not None

    async def set(self, key: str, value: Buffer) -> None:
        """Refuse: nothing is written through it."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Refuse: nothing is deleted through it."""
        raise NotImplementedError

    async def list(self) -> AsyncIterator[str]:
        """List all keys."""
        for item in self._store.listed(self._folder):
            yield item.key[len(self._folder) :].lstrip("/")

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List the keys below a prefix."""
        for item in self._store.listed(join(self._folder, prefix)):
            yield item.key[len(self._folder) :].lstrip("/")

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List the folders directly below a prefix."""
        for name in self._store.children(join(self._folder, prefix)):
            yield name


def _mend(document: dict[str, Any], where: str) -> list[Quirk]:
    """Put right what zarr-python and xarray refuse in the document of an array; the caller's is changed."""
    name = document.get("data_type")
    if document.get("node_type") != "array" or name not in DATA_TYPES:
        return []
    found = []
    dtype = np.dtype(str(name))
    if "fill_value" in document and document["fill_value"] is None:
        document["fill_value"] = False if dtype.kind == "b" else 0
        found.append(Quirk("fill-value", f"{where} fill_value", "null", "taken for 0"))
    attributes = document.get("attributes")
    missing = attributes.get("_FillValue") if isinstance(attributes, dict) else None
    is_number = isinstance(missing, int | float) and not isinstance(missing, bool)
    if isinstance(attributes, dict) and is_number and dtype.kind == "f":
        attributes["_FillValue"] = cf.encode_missing_value(float(missing or 0), dtype)
        found.append(Quirk("fill-value", f"{where} _FillValue", repr(missing), "taken for that number"))
    return found
