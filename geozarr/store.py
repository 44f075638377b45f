"""A store's documents in and out: the one module of this package that does I/O.

A store is any `obstore` store (local disk, memory, and what else obstore reaches), addressed by keys with `/`. A put
is atomic: a reader sees the whole object or the former one. Documents are read with a cap on their size, and a
store is never asked for a name that was found inside a document without that name being checked first.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeAlias

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, from_url

from geozarr.documents import DOCUMENT, consolidated_nodes
from geozarr.errors import LimitError, MetadataError, StoreError

if TYPE_CHECKING:
    from obstore.store import ObjectStore
else:
    ObjectStore = object

Store: TypeAlias = ObjectStore
StoreLike: TypeAlias = "str | Path | Store"

# Keys that are paths as they are: no part is special to obstore, to a shell or to a file system.
_PLAIN_KEY = re.compile(r"(?!.*/$)(?:(?!\.\.?(?:/|$))[A-Za-z0-9_.-]+(?:/|$))+")

MAX_DOCUMENT = 64 * 2**20  # bytes; a consolidated document of 10 000 nodes has about 40 MB
MAX_NODES = 100_000  # beyond that the store is no pyramid

# ValueError: obstore refuses a key with empty or dotted parts, or one that is no text. All else that fails is its own.
_FAILURES = (BaseError, OSError, ValueError)


@dataclass(frozen=True)
class Tree:
    """The documents of a group and of all nodes below it, by path relative to the group; the group itself is "".

    Parameters
    ----------
    nodes : dict
        Parsed `zarr.json` of each node. The group's own keeps its `consolidated_metadata`.
    is_consolidated : bool
        True where the documents come from the group's consolidated metadata alone.
    """

    nodes: dict[str, dict[str, Any]]
    is_consolidated: bool

    @property
    def root(self) -> dict[str, Any]:
        """Document of the group."""
        return self.nodes[""]

    def attributes(self, path: str = "") -> dict[str, Any]:
        """Attributes of a node, empty where it has none or does not exist."""
        attributes = self.nodes.get(path, {}).get("attributes", {})
        return attributes if isinstance(attributes, dict) else {}

    def arrays(self, group: str) -> dict[str, dict[str, Any]]:
        """Documents of the arrays directly in a group, by name."""
        prefix = f"{group}/" if group else ""
        return {
            path[len(prefix) :]: document
            for path, document in self.nodes.items()
            if path.startswith(prefix) and "/" not in path[len(prefix) :] and document.get("node_type") == "array"
        }


def open_store(target: StoreLike, *, create: bool = False) -> Store:
    """Open a place by its path or URL; a store that is open already is returned as it is.

    Parameters
    ----------
    target : str, Path or obstore store
        A folder on local disk, or a URL that obstore knows (`file:`, `memory:`, `s3:` ...).
    create : bool
        Make the folder where it does not exist.

    Raises
    ------
    StoreError
        If there is no such folder, or the URL cannot be opened.
    """
    if not isinstance(target, str | Path):
        return target
    text = str(target)
    try:
        if text == "memory://":
            return MemoryStore()
        if "://" in text:
            return from_url(text)
        path = Path(text).expanduser()
        if not create and not path.is_dir():
            raise StoreError("open", text) from FileNotFoundError(f"no such folder: {text}")
        return LocalStore(path, mkdir=create, automatic_cleanup=True)
    except (BaseError, OSError, ValueError) as error:
        raise StoreError("open", text) from error


def read_bytes(store: Store, key: str, *, most: int | None = None) -> bytes | None:
    """Read an object whole; None where it does not exist.

    Parameters
    ----------
    store : Store
        Where.
    key : str
        Key of the object.
    most : int, optional
        Largest size in bytes; a larger object is not read.

    Raises
    ------
    StoreError
        If the store fails otherwise, or the key is none that it can have.
    LimitError
        If the object is larger than `most`.
    """
    try:
        found = obstore.get(store, key)
        size = found.meta["size"]
        if most is not None and size > most:
            raise LimitError(f"size of {key} in bytes", allowed=most, found=size)
        return bytes(found.bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except _FAILURES as error:
        raise StoreError("get", key) from error


def write_bytes(store: Store, key: str, data: bytes) -> None:
    """Write an object whole, in one put; raises `StoreError` if that fails."""
    try:
        if isinstance(store, LocalStore) and store.prefix is not None and _PLAIN_KEY.fullmatch(key):
            _write_file(str(store.prefix), key, data)
        else:
            obstore.put(store, key, data, use_multipart=False)
    except _FAILURES as error:
        raise StoreError("put", key) from error


def _write_file(root: str, key: str, data: bytes) -> None:
    """Put an object into a folder as obstore does: beside its place, under a name that no list shows, then moved there.

    On the calling thread: obstore's own one must be woken, and wake this one again, for each object.
    """
    path = f"{root}/{key}"
    staged = f"{path}#{os.getpid()}{threading.get_ident()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
    try:
        file = os.open(staged, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH103, PTH120 - plain strings: this is called often
        file = os.open(staged, flags, 0o666)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)
        os.replace(staged, path)  # noqa: PTH105
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(staged)  # noqa: PTH108
        raise


def list_keys(store: Store, prefix: str = "") -> list[str]:
    """List all keys below a prefix, sorted; raises `StoreError` if the store cannot be listed."""
    try:
        return sorted(item["path"] for batch in obstore.list(store, prefix or None) for item in batch)
    except _FAILURES as error:
        raise StoreError("list", prefix) from error


def list_children(store: Store, prefix: str = "") -> list[str]:
    """List the names of the folders directly below a prefix, sorted; raises `StoreError` as `list_keys` does."""
    try:
        result = obstore.list_with_delimiter(store, prefix or None)
    except _FAILURES as error:
        raise StoreError("list", prefix) from error
    return sorted(PurePosixPath(path).name for path in result["common_prefixes"])


def delete(store: Store, keys: list[str]) -> None:
    """Delete objects; those that are gone already do not matter. Raises `StoreError` if one cannot be deleted."""
    for key in keys:
        try:
            obstore.delete(store, key)
        except FileNotFoundError:
            continue
        except (*_FAILURES, TypeError) as error:  # obstore's word for a bad key here
            raise StoreError("delete", key) from error


def join(*parts: str) -> str:
    """Join the parts of a key; empty ones vanish."""
    return "/".join(part.strip("/") for part in parts if part.strip("/"))


def encode_document(document: dict[str, Any], *, node: str = "document") -> bytes:
    """Write JSON that reads back bit-equal: shortest floats, no NaN outside strings, UTF-8.

    Raises
    ------
    MetadataError
        If it holds what JSON cannot: a number that is not finite, an object of Python, half a surrogate pair.
    """
    try:
        return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except (RecursionError, TypeError, ValueError) as error:
        raise MetadataError(node, DOCUMENT, found=str(error), expected="values that JSON has") from error


def decode_document(data: bytes, *, node: str, key: str = DOCUMENT) -> dict[str, Any]:
    """Parse a document.

    Raises
    ------
    LimitError
        If it is larger than `MAX_DOCUMENT`.
    MetadataError
        If it is not a JSON object in UTF-8.
    """
    if len(data) > MAX_DOCUMENT:
        raise LimitError("document size in bytes", allowed=MAX_DOCUMENT, found=len(data))
    try:
        document = json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise MetadataError(node, key, found=str(error), expected="a JSON object in UTF-8") from error
    if not isinstance(document, dict):
        raise MetadataError(node, key, found=document, expected="a JSON object")
    return document


def read_document(store: Store, path: str = "") -> dict[str, Any] | None:
    """Read the `zarr.json` of a node; None where there is no such node.

    Raises
    ------
    LimitError, MetadataError
        As `decode_document` does; a document that is too large is not read.
    StoreError
        If the store fails.
    """
    data = read_bytes(store, join(path, DOCUMENT), most=MAX_DOCUMENT)
    return None if data is None else decode_document(data, node=f"/{path}")


def write_document(store: Store, path: str, document: dict[str, Any]) -> None:
    """Write the `zarr.json` of a node in one put; raises as `encode_document` and `write_bytes` do."""
    write_bytes(store, join(path, DOCUMENT), encode_document(document, node=f"/{path}"))


def read_tree(store: Store, path: str = "") -> Tree:
    """Read a group with everything below it: from its consolidated metadata, else by walking the store.

    Raises
    ------
    MetadataError
        If there is no Zarr v3 group, or a document is malformed.
    LimitError
        If there are more than `MAX_NODES` nodes, or a document is larger than `MAX_DOCUMENT`.
    StoreError
        If the store fails.
    """
    root = read_document(store, path)
    if root is None or root.get("node_type") != "group" or root.get("zarr_format") != 3:
        found = None if root is None else {key: root.get(key) for key in ("zarr_format", "node_type")}
        raise MetadataError(f"/{path}", DOCUMENT, found=found, expected="a Zarr v3 group")
    nodes = consolidated_nodes(root)
    if nodes is not None and all(isinstance(document, dict) for document in nodes.values()):
        if len(nodes) > MAX_NODES:
            raise LimitError("nodes", allowed=MAX_NODES, found=len(nodes))
        # The group itself last, so that no entry of its metadata can stand in for it.
        return Tree({"": root} | nodes | {"": root}, is_consolidated=True)
    return Tree(walk(store, path), is_consolidated=False)


def walk(store: Store, path: str = "") -> dict[str, dict[str, Any]]:
    """Read each node's own document below a group, by path relative to it, without consolidated metadata.

    Raises
    ------
    MetadataError
        If a document is malformed.
    LimitError
        If there are more than `MAX_NODES` nodes, or a document is larger than `MAX_DOCUMENT`.
    StoreError
        If the store fails.
    """
    nodes: dict[str, dict[str, Any]] = {}
    waiting = [""]
    while waiting:
        relative = waiting.pop()
        document = read_document(store, join(path, relative))
        if document is None:
            continue
        nodes[relative] = document
        if len(nodes) > MAX_NODES:
            raise LimitError("nodes", allowed=MAX_NODES, found=len(nodes))
        if document.get("node_type") == "group":
            children = list_children(store, join(path, relative))
            waiting.extend(join(relative, child) for child in reversed(children))
    return nodes
