"""The parsed tree that rules look at: each node's own document as stored, and every consolidated copy.

A store is walked by listing, never by names found in a document. A document that cannot be read is kept as a fault of
its node, which the Zarr rules report; where a consolidated copy of it exists the other rules judge that one, as
readers would, so that one broken document does not make findings all over the tree.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from geozarr import manifest
from geozarr import store as geozarr_store
from geozarr.documents import DOCUMENT
from geozarr.errors import LimitError, MetadataError, UnsupportedError
from geozarr.store import MAX_DOCUMENT, MAX_NODES, join

if TYPE_CHECKING:
    from geozarr.store import StoreLike

MAX_DEPTH_OF_GROUPS = 32  # a loop of symbolic links would never end; the deepest pyramid known has 4
MAX_DEPTH_OF_JSON = 100  # levels of nesting; a consolidated PROJJSON has about 20
_V2_DOCUMENTS = (".zgroup", ".zarray", ".zmetadata")


@dataclass(frozen=True)
class Node:
    """One node of the tree.

    Parameters
    ----------
    path : str
        Relative to the root of the store; "" is the root.
    document : dict
        Its own `zarr.json`; a consolidated copy where that cannot be read; empty where there is neither.
    fault : str
        Why its own document cannot be read; "" where it can.
    is_missing : bool
        True where it has no document of its own at all.
    is_copy : bool
        True where `document` is the consolidated copy.
    duplicates : tuple of str
        Keys that its document states more than once.
    """

    path: str
    document: dict[str, Any]
    fault: str = ""
    is_missing: bool = False
    is_copy: bool = False
    duplicates: tuple[str, ...] = ()

    @property
    def is_known(self) -> bool:
        """True where there is a document to judge, be it a copy."""
        return self.is_copy or not self.fault

    @cached_property
    def is_array(self) -> bool:
        """True for an array; where `node_type` is missing or nonsense, the other keys tell."""
        kind = self.document.get("node_type")
        if kind in ("array", "group"):
            return bool(kind == "array")
        return any(key in self.document for key in ("shape", "data_type", "chunk_grid", "codecs"))

    @cached_property
    def attributes(self) -> dict[str, Any]:
        """Its attributes; empty where they are absent or no object."""
        attributes = self.document.get("attributes")
        return attributes if isinstance(attributes, dict) else {}

    @property
    def parent(self) -> str:
        """Path of the group that holds it; "" also for the root itself."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """Last part of its path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True)
class Tree:
    """All nodes of a store.

    Parameters
    ----------
    nodes : dict of str to Node
        By path, parents before children.
    documents : int
        Documents parsed, consolidated copies included.
    has_lists : bool
        False where the store cannot list its objects: the nodes are those that consolidated metadata name.
    """

    nodes: dict[str, Node]
    documents: int
    has_lists: bool = True
    _children: dict[str, list[str]] = field(default_factory=dict, repr=False)
    _arrays: dict[str, dict[str, Node]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for path in self.nodes:
            if path:
                self._children.setdefault(path.rpartition("/")[0], []).append(path)

    @cached_property
    def groups(self) -> tuple[Node, ...]:
        """All groups that have a document."""
        return tuple(node for node in self.nodes.values() if node.is_known and not node.is_array)

    @cached_property
    def arrays(self) -> tuple[Node, ...]:
        """All arrays that have a document."""
        return tuple(node for node in self.nodes.values() if node.is_known and node.is_array)

    def children(self, path: str) -> list[Node]:
        """Nodes directly below a group."""
        return [self.nodes[child] for child in self._children.get(path, ())]

    def child_arrays(self, path: str) -> dict[str, Node]:
        """Arrays directly below a group, by name."""
        if path not in self._arrays:
            found = {child.name: child for child in self.children(path) if child.is_known and child.is_array}
            self._arrays[path] = found
        return self._arrays[path]

    def ancestors(self, path: str) -> list[Node]:
        """List the groups above a node, nearest first."""
        result = []
        while path:
            path = path.rpartition("/")[0]
            if path in self.nodes:
                result.append(self.nodes[path])
        return result


def is_legal_name(name: str) -> bool:
    """Tell whether Zarr v3 allows a node of that name (core, "Node names")."""
    return bool(name) and "/" not in name and set(name) != {"."} and name[:2] != "__" and name != DOCUMENT


def blocks(node: Node) -> dict[str, dict[str, Any]]:
    """Documents in a group's consolidated metadata, by path relative to it; only those that are objects."""
    block = node.document.get("consolidated_metadata")
    entries = block.get("metadata") if isinstance(block, dict) else None
    if node.is_array or not isinstance(entries, dict):
        return {}
    return {path: document for path, document in entries.items() if isinstance(document, dict)}


def read(store: StoreLike) -> Tree:
    """Read every document of a store.

    Raises
    ------
    MetadataError
        If the root has no Zarr v3 document at all.
    LimitError
        If there are more than `MAX_NODES` nodes, or groups nested deeper than `MAX_DEPTH_OF_GROUPS`.
    StoreError
        If the store fails.
    """
    own, has_lists = _walk(store)
    nodes = dict(own)
    count = sum(not node.is_missing for node in own.values())
    for group in own.values():
        for relative, document in blocks(group).items():
            count += 1
            if not all(map(is_legal_name, relative.split("/"))):
                continue  # the rule on node names reports it
            path = join(group.path, relative)
            node = nodes.get(path, Node(path, {}, fault="it has no document", is_missing=True))
            if node.fault and not node.is_copy:
                nodes[path] = Node(
                    path, document, fault=node.fault, is_missing=node.is_missing, is_copy=True
                )  # the first copy is the outermost group's, which is the one readers take
    return Tree(dict(sorted(nodes.items(), key=lambda item: item[0].split("/") if item[0] else [])), count, has_lists)


def _walk(store: StoreLike) -> tuple[dict[str, Node], bool]:
    """Read each node's own document by listing; folders without one are kept where a node is below them.

    Where the store has no lists, what the root's consolidated metadata names is read. Returns whether it has.
    """
    has_lists = True
    nodes: dict[str, Node] = {}
    visited = 0
    waiting = [("", 0)]
    former: frozenset[str] = frozenset()
    while waiting:
        path, depth = waiting.pop()
        node = _read_node(store, path)
        if not path and node.is_missing:
            raise _not_a_store(store)
        if not path:
            former = manifest.former_groups(geozarr_store.open_store(store), node.attributes)
        if not node.is_missing:
            nodes[path] = node
            _add_missing_groups(nodes, path)
        visited += 1
        if visited > MAX_NODES:
            raise LimitError("nodes", allowed=MAX_NODES, found=visited)
        name = node.name
        if (not node.fault and node.is_array) or (
            node.is_missing and (name == "c" or name[:1] == "." or name[:2] == "__")
        ):
            continue  # below it are chunks, or what is not Zarr's
        try:
            children = geozarr_store.list_children(store, path)
        except UnsupportedError:
            has_lists = False
            children = _known_children(path, nodes[""])
        if children and depth == MAX_DEPTH_OF_GROUPS:
            raise LimitError("depth of groups", allowed=MAX_DEPTH_OF_GROUPS, found=depth + 1)
        below = (join(path, child) for child in reversed(children))
        waiting.extend((child, depth + 1) for child in below if child not in former)
    return nodes, has_lists


def _known_children(path: str, root: Node) -> list[str]:
    """Names directly below a group that the root's consolidated metadata has."""
    prefix = f"{path}/" if path else ""
    names = {known[len(prefix) :].partition("/")[0] for known in blocks(root) if known.startswith(prefix)}
    return sorted(filter(is_legal_name, names))


def _add_missing_groups(nodes: dict[str, Node], path: str) -> None:
    """Note each folder above a node that has no document: an implicit group, which Zarr v3 forbids."""
    while path:
        path = path.rpartition("/")[0]
        if path not in nodes:
            nodes[path] = Node(path, {}, fault="it has no document", is_missing=True)


def _read_node(store: StoreLike, path: str) -> Node:
    try:
        data = geozarr_store.read_bytes(store, join(path, DOCUMENT), most=MAX_DOCUMENT)
    except LimitError as error:
        return Node(path, {}, fault=f"it has {error.found:,.0f} bytes, more than the {MAX_DOCUMENT:,} allowed")
    if data is None:
        return Node(path, {}, fault="it has no document", is_missing=True)
    duplicates: list[str] = []
    try:
        document = _parse(data, duplicates)
    except (ValueError, RecursionError) as error:
        return Node(path, {}, fault=f"it is no JSON in UTF-8: {error}")
    if not isinstance(document, dict):
        return Node(path, {}, fault="it is JSON, but no object")
    if _is_deeper(document, MAX_DEPTH_OF_JSON):
        return Node(path, {}, fault=f"it is nested deeper than {MAX_DEPTH_OF_JSON} levels")
    return Node(path, document, duplicates=tuple(dict.fromkeys(duplicates)))


def _parse(data: bytes, duplicates: list[str]) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            duplicates.extend(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        return result

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON number")

    return json.loads(data.decode("utf-8"), object_pairs_hook=unique, parse_constant=refuse)


def _is_deeper(document: Any, levels: int) -> bool:
    layer = [document]
    for _ in range(levels):
        layer = [
            item
            for value in layer
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        if not layer:
            return False
    return True


def _not_a_store(store: StoreLike) -> MetadataError:
    found = next((key for key in _V2_DOCUMENTS if geozarr_store.read_bytes(store, key) is not None), None)
    return MetadataError("/", DOCUMENT, found=found, expected="the document of a Zarr v3 store")
