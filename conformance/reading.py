"""Reading the tree of a store: by listing, never by names found in a document.

Where the store has no lists, or its consolidated metadata are to do, the nodes are those that the root names.
"""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any

from conformance.parsing import parse
from conformance.tree import Node, Tree, blocks, is_legal_name
from geozarr import manifest, zarr_v2
from geozarr.documents import DOCUMENT
from geozarr.errors import LimitError, MetadataError, UnsupportedError
from geozarr.store import MAX_DOCUMENT, MAX_NODES, join

if TYPE_CHECKING:
    from geozarr.store import Store

MAX_DEPTH_OF_GROUPS = 32  # a loop of symbolic links would never end; the deepest pyramid known has 4
_NONE = "it has no document"


def read(store: Store, *, only_consolidated: bool = False) -> Tree:
    """Read every document of a store, of Zarr v3 or v2.

    Parameters
    ----------
    store : Store
        Where.
    only_consolidated : bool
        True to read nothing but the root, where that has consolidated metadata: one request of Zarr v3, two of v2.

    Raises
    ------
    MetadataError
        If the root has no document at all.
    LimitError
        If there are more than `MAX_NODES` nodes, or groups nested deeper than `MAX_DEPTH_OF_GROUPS`.
    StoreError
        If the store fails.
    """
    root = _read_root(store, only_consolidated=only_consolidated)
    is_enough = only_consolidated and bool(blocks(root))
    own, has_lists = ({"": root}, True) if is_enough else _walk(store, root)
    nodes = dict(own)
    count = sum(not node.is_missing for node in own.values())
    for group in own.values():
        for relative, document in blocks(group).items():
            count += 1
            if not all(map(is_legal_name, relative.split("/"))):
                continue  # the rule on node names reports it
            path = join(group.path, relative)
            if path.count("/") >= MAX_DEPTH_OF_GROUPS:
                raise LimitError("depth of groups", allowed=MAX_DEPTH_OF_GROUPS, found=path.count("/") + 1)
            if is_enough:
                nodes[path] = Node(path, document, version=root.version)
                continue
            node = nodes.get(path, Node(path, {}, fault=_NONE, is_missing=True, version=root.version))
            if node.fault and not node.is_copy:
                nodes[path] = Node(
                    path, document, fault=node.fault, is_missing=node.is_missing, is_copy=True, version=root.version
                )  # the first copy is the outermost group's, which is the one readers take
    if len(nodes) > MAX_NODES:
        raise LimitError("nodes", allowed=MAX_NODES, found=len(nodes))
    for path in list(nodes) if is_enough else ():
        _add_missing_groups(nodes, path)
    in_order = dict(sorted(nodes.items(), key=lambda item: item[0].split("/") if item[0] else []))
    return Tree(in_order, count, has_lists, is_enough)


def _walk(store: Store, root: Node) -> tuple[dict[str, Node], bool]:
    """Read each node's own document by listing; folders without one are kept where a node is below them.

    Where the store has no lists, what the root's consolidated metadata names is read. Returns whether it has.
    """
    has_lists = True
    nodes: dict[str, Node] = {}
    visited = 0
    waiting = [("", 0)]
    former = manifest.former_groups(store, root.attributes)
    while waiting:
        path, depth = waiting.pop()
        node = _read_node(store, path, root.version) if path else root
        if not node.is_missing:
            nodes[path] = node
            _add_missing_groups(nodes, path)
            _share(nodes, node)
        visited += 1
        if visited > MAX_NODES:
            raise LimitError("nodes", allowed=MAX_NODES, found=visited)
        name = node.name
        if (not node.fault and node.is_array) or (
            node.is_missing and (name == "c" or name[:1] == "." or name[:2] == "__")
        ):
            continue  # below it are chunks, or what is not Zarr's
        try:
            children = store.children(path)
        except UnsupportedError:
            has_lists = False
            children = _known_children(path, root)
        if children and depth == MAX_DEPTH_OF_GROUPS:
            raise LimitError("depth of groups", allowed=MAX_DEPTH_OF_GROUPS, found=depth + 1)
        below = (join(path, child) for child in reversed(children))
        waiting.extend((child, depth + 1) for child in below if child not in former)
    return nodes, has_lists


def _share(nodes: dict[str, Node], node: Node) -> None:
    """Keep a document and its consolidated copies once where they are the same: most of them are.

    `marshal` tells 1 from 1.0 and from true, which `==` does not; its version 2 writes equal objects alike.
    """
    written = marshal.dumps(node.document, 2)
    above = node.path
    while above:
        above = above.rpartition("/")[0]
        block = nodes[above].document.get("consolidated_metadata")
        copies = block.get("metadata") if isinstance(block, dict) else None
        relative = node.path[len(above) :].lstrip("/")
        if isinstance(copies, dict) and relative in copies and marshal.dumps(copies[relative], 2) == written:
            copies[relative] = node.document


def _known_children(path: str, root: Node) -> list[str]:
    """Names directly below a group that the root's consolidated metadata has."""
    prefix = f"{path}/" if path else ""
    names = {known[len(prefix) :].partition("/")[0] for known in blocks(root) if known.startswith(prefix)}
    return sorted(filter(is_legal_name, names))


def _add_missing_groups(nodes: dict[str, Node], path: str) -> None:
    """Note each folder above a node that has no document: an implicit group, which Zarr forbids."""
    while path:
        path = path.rpartition("/")[0]
        if path not in nodes:
            nodes[path] = Node(path, {}, fault=_NONE, is_missing=True, version=nodes[""].version)


def _read_root(store: Store, *, only_consolidated: bool) -> Node:
    """Read the root, of whichever version it is."""
    root = _read_v3(store, "")
    if root.is_missing and only_consolidated:
        block, _, fault = _parsed(store, zarr_v2.CONSOLIDATED)
        translated = zarr_v2.consolidated(block) if not fault and block else {}
        own = translated.get("metadata", {}).get("") if isinstance(translated, dict) else None
        if isinstance(own, dict):
            return Node("", {**own, "consolidated_metadata": translated}, version=2)
    if root.is_missing:
        root = _read_v2(store, "")
    if root.is_missing:
        found = zarr_v2.CONSOLIDATED if store.get(zarr_v2.CONSOLIDATED, length=1) is not None else None
        raise MetadataError("/", DOCUMENT, found=found, expected="the document of a Zarr store")
    return root


def _read_node(store: Store, path: str, version: int) -> Node:
    return _read_v2(store, path) if version == 2 else _read_v3(store, path)


def _read_v3(store: Store, path: str) -> Node:
    document, duplicates, fault = _parsed(store, join(path, DOCUMENT))
    return Node(path, document, fault=fault, is_missing=fault == _NONE, duplicates=duplicates)


def _read_v2(store: Store, path: str) -> Node:
    is_array = True
    stored, twice, fault = _parsed(store, join(path, zarr_v2.ARRAY))
    if fault == _NONE:
        is_array = False
        stored, twice, fault = _parsed(store, join(path, zarr_v2.GROUP))
    if fault == _NONE:
        return Node(path, {}, fault=fault, is_missing=True, version=2)
    attributes, more, of_attributes = _parsed(store, join(path, zarr_v2.ATTRIBUTES))
    if of_attributes not in ("", _NONE):
        fault = fault or f"{zarr_v2.ATTRIBUTES}: {of_attributes}"
    if is_array:
        document = zarr_v2.array_document(stored, attributes)
    else:
        document = zarr_v2.group_document(stored, attributes)
        block, again, of_block = _parsed(store, join(path, zarr_v2.CONSOLIDATED))
        if of_block == "":
            document["consolidated_metadata"] = zarr_v2.consolidated(block)
            more += again
        elif of_block != _NONE:
            document["consolidated_metadata"] = of_block
    return Node(path, document if not fault else {}, fault=fault, duplicates=twice + more, version=2, stored=stored)


def _parsed(store: Store, key: str) -> tuple[dict[str, Any], tuple[str, ...], str]:
    """Read a document: itself, the keys that it states more than once, and why it cannot be read."""
    try:
        found = store.get(key, most=MAX_DOCUMENT)
    except LimitError as error:
        return {}, (), f"it has {error.found:,.0f} bytes, more than the {MAX_DOCUMENT:,} allowed"
    return ({}, (), _NONE) if found is None else parse(found.data)
