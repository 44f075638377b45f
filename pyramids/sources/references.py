"""Kerchunk references: a JSON document that names, for each object of a Zarr store, bytes or where they lie.

Of version 1 and of the plain form before it (fsspec, "ReferenceFileSystem"). An entry is a text, base64 after
`base64:`, a JSON object, or a list `[url]` or `[url, offset, length]`. Templates are filled in; `gen`, which computes
entries, is not obeyed. Referred files are local paths, relative ones beside the document, and URLs that obstore knows.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geozarr import store as store_module
from geozarr.errors import LimitError, MetadataError, StoreError, UnsupportedError
from geozarr.stores import Found, Listed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_DOCUMENT = 2**28  # bytes of the document
_MOST_STORES = 64  # referred places that are kept open
_TEMPLATE = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def is_references(path: Path) -> bool:
    """Tell whether a file may be a document of references: JSON by its name and its first byte."""
    if path.suffix.lower() != ".json" or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(64).lstrip()[:1] == b"{"


class ReferenceStore:
    """A store of which each object lies where a document says; it is only read.

    Parameters
    ----------
    path : str or Path
        The document.

    Raises
    ------
    StoreError
        If it cannot be read.
    LimitError
        If it is larger than `MAX_DOCUMENT`.
    MetadataError
        If it is no document of references, or an entry is malformed.
    UnsupportedError
        If entries are to be computed.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        try:
            size = self._path.stat().st_size
            if size > MAX_DOCUMENT:
                raise LimitError("document of references in bytes", allowed=MAX_DOCUMENT, found=size)
            data = self._path.read_bytes()
        except OSError as error:
            raise StoreError("open", str(path)) from error
        self._entries = _entries(data, str(path))
        self._stores: dict[str, store_module.Store] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ReferenceStore, (str(self._path.absolute()),)

    def __repr__(self) -> str:
        return f"ReferenceStore({str(self._path)!r})"

    @property
    def location(self) -> str:
        """Where the document is."""
        return str(self._path)

    def get(
        self, key: str, *, first: int = 0, length: int | None = None, last: int | None = None, most: int | None = None
    ) -> Found | None:
        """Read an object, or a range of it; see `geozarr.stores.Store.get`."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        if isinstance(entry, bytes):
            part = entry[-last:] if last else entry[first : None if length is None else first + length]
            if most is not None and len(part) > most:
                raise LimitError("stored object in bytes", allowed=most, found=len(part))
            return Found(part, len(entry))
        store, name, offset, size = self._place(entry)
        if size is None:
            return store.get(name, first=first, length=length, last=last, most=most)
        if last is not None:
            first, length = max(0, size - last), min(last, size)
        wanted = max(0, size - first if length is None else min(length, size - first))
        found = store.get(name, first=offset + first, length=wanted, most=most)
        if found is None or len(found.data) != wanted:
            there = "nothing" if found is None else f"{len(found.data)} of {wanted} bytes"
            raise StoreError("get", key, reason=f"{entry[0]} holds {there} at {offset + first}")
        return Found(found.data, size)

    def _place(self, entry: list[Any]) -> tuple[store_module.Store, str, int, int | None]:
        """Find the store that holds an entry's bytes, the key there, and the part of the object."""
        url = str(entry[0])
        base, _, name = url.removeprefix("file://").rpartition("/")
        if "://" not in url.removeprefix("file://"):
            folder = (self._path.parent / base).resolve() if not base.startswith("/") else Path(base or "/")
            base = str(folder)
        with self._lock:
            if base not in self._stores:
                while len(self._stores) >= _MOST_STORES:
                    del self._stores[next(iter(self._stores))]
                self._stores[base] = store_module.open_store(base)
            opened = self._stores[base]
        offset, size = (entry[1], entry[2]) if len(entry) > 1 else (0, None)
        return opened, name, offset, size

    def put(self, key: str, data: bytes, *, create: bool = False) -> bool:
        """Refuse: it is only read."""
        raise UnsupportedError(f"writing {len(data)} bytes to {key} (create={create})", "references are read alone")

    def listed(self, prefix: str = "") -> Iterator[Listed]:
        """List the objects below a prefix; sizes of whole files are not known, and 0."""
        for key, entry in self._entries.items():
            if not prefix or key.startswith(f"{prefix.rstrip('/')}/"):
                size = len(entry) if isinstance(entry, bytes) else entry[2] if len(entry) > 1 else 0
                yield Listed(key, size)

    def children(self, prefix: str = "") -> list[str]:
        """Names of the folders directly below a prefix, sorted."""
        start = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        inner = (key[len(start) :].split("/") for key in self._entries if key.startswith(start))
        return sorted({parts[0] for parts in inner if len(parts) > 1})

    def delete(self, key: str) -> None:
        """Refuse: it is only read."""
        raise UnsupportedError(f"deleting {key}", "references are read alone")

    def sync(self) -> None:
        """Do nothing: nothing has been written."""


def _entries(data: bytes, node: str) -> dict[str, bytes | list[Any]]:
    """Read the entries of a document.

    Raises
    ------
    MetadataError, UnsupportedError
        As `ReferenceStore`.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise MetadataError(node, "references", found="no JSON", expected="kerchunk references") from error
    stated = document.get("refs", document) if isinstance(document, dict) else None
    if not isinstance(stated, dict) or not any(key.rpartition("/")[2] in _MARKS for key in stated):
        raise MetadataError(node, "refs", found=type(stated).__name__, expected="kerchunk references of a Zarr store")
    if document.get("gen"):
        raise UnsupportedError(f"{node}: references that are computed (gen)", "write them out one by one")
    templates = document.get("templates") or {}
    return {key: _entry(value, templates, f"{node} {key}") for key, value in stated.items()}


_MARKS = (".zgroup", ".zarray", "zarr.json", ".zmetadata")


def _entry(value: Any, templates: Mapping[str, Any], node: str) -> bytes | list[Any]:
    if isinstance(value, dict):
        return json.dumps(value).encode()
    if isinstance(value, str):
        if not value.startswith("base64:"):
            return value.encode()
        try:
            return base64.b64decode(value.removeprefix("base64:"), validate=True)
        except binascii.Error as error:
            raise MetadataError(node, "base64", found=value[:40], expected="base64") from error
    is_whole = isinstance(value, list) and len(value) in (1, 3) and isinstance(value[0], str)
    if not is_whole or not all(type(number) is int and number >= 0 for number in value[1:]):
        raise MetadataError(node, "reference", found=value, expected="a text, [url] or [url, offset, length]")
    return [_filled(value[0], templates, node), *value[1:]]


def _filled(url: str, templates: Mapping[str, Any], node: str) -> str:
    def known(match: re.Match[str]) -> str:
        found = templates.get(match[1])
        if not isinstance(found, str):
            raise MetadataError(node, "templates", found=match[1], expected=f"one of {', '.join(templates)}")
        return found

    return _TEMPLATE.sub(known, url)
