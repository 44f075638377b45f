"""A store's documents in and out.

With `stores`, which it goes through, the one module of this package that does I/O. Documents are read with a cap on
their size, and a store is never asked for a name that was found inside a document without that name being checked
first.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from obstore.store import LocalStore

from geozarr import icechunk_store, stores, zarr_v2
from geozarr.documents import DOCUMENT, consolidated_nodes
from geozarr.errors import LimitError, MetadataError, StoreError, UnsupportedError
from geozarr.stores import ObjectStoreAdapter
from geozarr.stores import Store as Store  # noqa: PLC0414 - told onwards
from geozarr.zip_store import ZipStore

if TYPE_CHECKING:
    from obstore.store import ObjectStore
else:
    ObjectStore = object

StoreLike: TypeAlias = "str | Path | ObjectStore | Store | stores.Target"

MAX_DOCUMENT = 64 * 2**20  # bytes; a consolidated document of 10 000 nodes has about 40 MB
MAX_NODES = 100_000  # beyond that the store is no pyramid
MAX_DEPTH = 64  # arrays and objects inside each other; a CRS, the deepest thing here, nests some twelve of them


@dataclass(frozen=True)
class DocumentLimits:
    """How large documents may be.

    Parameters
    ----------
    size : int
        Bytes of one.
    depth : int
        Arrays and objects inside each other.
    nodes : int
        Groups and arrays of a tree.
    groups : int
        Groups inside each other.
    """

    size: int = MAX_DOCUMENT
    depth: int = MAX_DEPTH
    nodes: int = MAX_NODES
    groups: int = MAX_DEPTH


@dataclass(frozen=True)
class Tree:
    """The documents of a group and of all nodes below it, by path relative to the group; the group itself is "".

    Parameters
    ----------
    nodes : dict
        Parsed `zarr.json` of each node, or documents of Zarr v2 in that form. The group's own keeps its
        `consolidated_metadata`.
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


def open_store(target: StoreLike, *, create: bool = False, retries: stores.Retries | None = None) -> Store:
    """Open a place by its path or URL; a store that is open already is returned as it is.

    Parameters
    ----------
    target : str, Path, obstore store, Store or Target
        A folder on local disk, a zip file that is to be read (`.zip`), a URL that obstore knows (`file:`, `memory:`,
        `s3:` ...), or the address of an Icechunk repository.
    create : bool
        Make the folder where it does not exist.
    retries : Retries, optional
        How often requests of a URL's store are tried; by default as often as a builder does.

    Raises
    ------
    StoreError
        If there is no such folder, or the URL cannot be opened.
    MetadataError, LimitError, UnsupportedError
        If a zip file is none, or hostile, or to be written; and as `geozarr.icechunk_store.open_address` does.
    """
    if isinstance(target, stores.Target):
        return target.to_store(create=create)
    if not isinstance(target, str | Path):
        return target if isinstance(target, stores.Store) else ObjectStoreAdapter(target)
    text = str(target)
    if icechunk_store.is_address(text):
        return icechunk_store.open_address(text, create=create)
    try:
        if "://" in text:
            return stores.open_url(text, retries)
        path = Path(text).expanduser()
        if path.suffix.lower() == ".zip" and not path.is_dir():
            if create:
                reason = "objects cannot be replaced in it; build into a folder and pack that"
                raise UnsupportedError(f"writing to {text}, a zip file,", reason)
            if path.exists():
                return ZipStore(path)
        if not create and not path.is_dir():
            raise StoreError("open", text) from FileNotFoundError(f"no such folder: {text}")
        return ObjectStoreAdapter(LocalStore(path, mkdir=create, automatic_cleanup=True), text)
    except stores.FAILURES as error:
        raise StoreError("open", text) from error


def read_bytes(store: StoreLike, key: str, *, most: int | None = None) -> bytes | None:
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
        found = open_store(store).get(key, most=most)
    except LimitError as error:
        raise LimitError(f"size of {key} in bytes", allowed=error.allowed, found=error.found) from None
    return None if found is None else found.data


def write_bytes(store: StoreLike, key: str, data: bytes) -> None:
    """Write an object whole, in one put; raises `StoreError` if that fails."""
    open_store(store).put(key, data)


def list_keys(store: StoreLike, prefix: str = "") -> list[str]:
    """List all keys below a prefix, sorted; raises `StoreError` if the store cannot be listed."""
    return sorted(item.key for item in open_store(store).listed(prefix))


def list_children(store: StoreLike, prefix: str = "") -> list[str]:
    """List the names of the folders directly below a prefix, sorted; raises `StoreError` as `list_keys` does."""
    return open_store(store).children(prefix)


def delete(store: StoreLike, keys: list[str]) -> None:
    """Delete objects; those that are gone already do not matter. Raises `StoreError` if one cannot be deleted."""
    opened = open_store(store)
    for key in keys:
        opened.delete(key)


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


def decode_document(
    data: bytes, *, node: str, key: str = DOCUMENT, limits: DocumentLimits | None = None
) -> dict[str, Any]:
    """Parse a document.

    Raises
    ------
    LimitError
        If it is larger or deeper than the limits allow, which is known before it is parsed.
    MetadataError
        If it is not a JSON object in UTF-8, or has a key twice: of two values each reader would take another.
    """
    limits = limits or DocumentLimits()
    if len(data) > limits.size:
        raise LimitError("document size in bytes", allowed=limits.size, found=len(data))
    depth = _depth(data)
    if depth > limits.depth:
        raise LimitError("depth of a document", allowed=limits.depth, found=depth)
    try:
        document = json.loads(data.decode("utf-8"), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise MetadataError(node, key, found=str(error), expected="a JSON object in UTF-8") from error
    if not isinstance(document, dict):
        raise MetadataError(node, key, found=document, expected="a JSON object")
    return document


def _depth(data: bytes) -> int:
    """Count how many arrays and objects are open at once, at the most, in time linear in the length."""
    # Texts alone hold backslashes; without the escaped ones, each quotation mark begins or ends a text.
    plain = np.frombuffer(data.replace(b"\\\\", b"").replace(b'\\"', b""), np.uint8)
    outside = plain[~np.bitwise_xor.accumulate(plain == ord('"'))]
    is_open, is_close = (np.isin(outside, np.frombuffer(marks, np.uint8)) for marks in (b"[{", b"]}"))
    steps = np.where(is_open, 1, -1)[is_open | is_close]
    return int(np.cumsum(steps).max(initial=0))


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return made


def read_document(store: StoreLike, path: str = "", *, limits: DocumentLimits | None = None) -> dict[str, Any] | None:
    """Read the `zarr.json` of a node; None where there is no such node.

    Raises
    ------
    LimitError, MetadataError
        As `decode_document` does; a document that is too large is not read.
    StoreError
        If the store fails.
    """
    limits = limits or DocumentLimits()
    data = read_bytes(store, join(path, DOCUMENT), most=limits.size)
    return None if data is None else decode_document(data, node=f"/{path}", limits=limits)


def read_root(store: StoreLike, path: str = "", *, limits: DocumentLimits | None = None) -> dict[str, Any] | None:
    """Read the document of a group that readers open first; None where there is none.

    That is its `zarr.json`. Where there is none it is its `.zmetadata`, in the form of `zarr.json`: of Zarr v2 only
    what is consolidated is read.

    Raises
    ------
    LimitError, MetadataError
        As `decode_document` does; and if a `.zmetadata` does not hold the group.
    StoreError
        If the store fails.
    """
    document = read_document(store, path, limits=limits)
    return _read_root_v2(store, path, limits or DocumentLimits()) if document is None else document


def _read_root_v2(store: StoreLike, path: str, limits: DocumentLimits) -> dict[str, Any] | None:
    key = join(path, zarr_v2.CONSOLIDATED)
    data = read_bytes(store, key, most=limits.size)
    if data is None:
        return None
    block = zarr_v2.consolidated(decode_document(data, node=f"/{path}", key=zarr_v2.CONSOLIDATED, limits=limits))
    nodes = block.get("metadata")
    group = nodes.pop("", None) if isinstance(nodes, dict) else None
    if not isinstance(group, dict) or (group.get("zarr_format"), group.get("node_type")) != (2, "group"):
        raise MetadataError(f"/{path}", zarr_v2.CONSOLIDATED, found=group, expected="the .zgroup of a Zarr v2 group")
    return {**group, "consolidated_metadata": block}


def write_document(store: StoreLike, path: str, document: dict[str, Any]) -> None:
    """Write the `zarr.json` of a node in one put; raises as `encode_document` and `write_bytes` do."""
    write_bytes(store, join(path, DOCUMENT), encode_document(document, node=f"/{path}"))


def read_tree(store: StoreLike, path: str = "", *, limits: DocumentLimits | None = None) -> Tree:
    """Read a group with everything below it: from its consolidated metadata, else by walking the store.

    Raises
    ------
    MetadataError
        If there is no Zarr v3 group and none of v2 with consolidated metadata, or a document is malformed.
    LimitError
        If there are more nodes, or a document is larger or deeper, than the limits allow.
    StoreError
        If the store fails.
    """
    limits = limits or DocumentLimits()
    own = read_document(store, path, limits=limits)
    root = _read_root_v2(store, path, limits) if own is None else own
    stated = 2 if own is None else 3
    if root is None or root.get("node_type") != "group" or root.get("zarr_format") != stated:
        found = None if root is None else {key: root.get(key) for key in ("zarr_format", "node_type")}
        expected = "a Zarr v3 group, or one of Zarr v2 with consolidated metadata (.zmetadata)"
        raise MetadataError(f"/{path}", DOCUMENT, found=found, expected=expected)
    nodes = consolidated_nodes(root)
    if nodes is not None and all(isinstance(document, dict) for document in nodes.values()):
        for relative in nodes:
            _require_within(relative, len(nodes), limits)
        # The group itself last, so that no entry of its metadata can stand in for it.
        return Tree({"": root} | nodes | {"": root}, is_consolidated=True)
    return Tree(walk(store, path, limits=limits), is_consolidated=False)


def _require_within(relative: str, count: int, limits: DocumentLimits) -> None:
    """Refuse a node that lies too deep, or is one of too many."""
    if count > limits.nodes:
        raise LimitError("nodes", allowed=limits.nodes, found=count)
    depth = relative.count("/") + 1
    if depth > limits.groups:
        raise LimitError("depth of groups", allowed=limits.groups, found=depth)


def walk(store: StoreLike, path: str = "", *, limits: DocumentLimits | None = None) -> dict[str, dict[str, Any]]:
    """Read each node's own document below a group, by path relative to it, without consolidated metadata.

    Raises
    ------
    MetadataError
        If a document is malformed.
    LimitError
        If there are more nodes, or a document is larger or deeper, than the limits allow.
    StoreError
        If the store fails.
    """
    limits = limits or DocumentLimits()
    nodes: dict[str, dict[str, Any]] = {}
    waiting = [""]
    while waiting:
        relative = waiting.pop()
        document = read_document(store, join(path, relative), limits=limits)
        if document is None:
            continue
        nodes[relative] = document
        if document.get("node_type") == "group":
            children = list_children(store, join(path, relative))
            waiting.extend(join(relative, child) for child in reversed(children))
        # What waits counts as well: whatever has a folder costs a look.
        _require_within(relative, max(len(nodes), len(waiting)), limits)
    return nodes
