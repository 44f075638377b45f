"""The parsed tree that rules look at: each node's own document as stored, and every consolidated copy.

A document that cannot be read is kept as a fault of its node, which the Zarr rules report; where a consolidated copy of
it exists the other rules judge that one, as readers would, so that one broken document does not make findings all over
the tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from geozarr import zarr_v2
from geozarr.documents import DOCUMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.report import Pointer


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
    version : 2 or 3
        Of Zarr; `document` has the form of version 3 in either case (`geozarr.zarr_v2`).
    stored : dict
        The `.zarray` of an array of version 2 as it stands.
    """

    path: str
    document: dict[str, Any]
    fault: str = ""
    is_missing: bool = False
    is_copy: bool = False
    duplicates: tuple[str, ...] = ()
    version: Literal[2, 3] = 3
    stored: dict[str, Any] = field(default_factory=dict)

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

    def place(self, pointer: Pointer) -> tuple[str, Pointer]:
        """Name the stored document that a pointer into `document` means, and where in it."""
        return zarr_v2.place(pointer, is_array=self.is_array) if self.version == 2 else (DOCUMENT, pointer)

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
    is_consolidated : bool
        True where the nodes' own documents were not read at all, only the consolidated metadata of the root.
    """

    nodes: dict[str, Node]
    documents: int
    has_lists: bool = True
    is_consolidated: bool = False
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

    def below(self, path: str) -> Iterator[Node]:
        """Nodes below a group, at whatever depth, parents before children."""
        for child in self.children(path):
            yield child
            yield from self.below(child.path)

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
