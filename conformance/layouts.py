"""Multiscale groups and their levels, found anywhere in the tree.

A pyramid is a group whose `multiscales` is an object with a `layout`, whether it is registered or not; what is wrong
with it is for the rules to say. Assets are resolved relative to that group (MS-04), and nested groups are judged apart
(MS-19). Two older forms are read as well, so that levels and pixels can be judged: the list of ndpyramid (GZ-25) and
the layout of the drafts of 2025 (GZ-24), whose items are given the members that those of a layout have.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from conformance.tree import Node, is_legal_name
from geozarr.conventions import registration
from geozarr.conventions.multiscales import ASSET, KEY
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.report import Place, Pointer
    from conformance.tree import Tree

LAYOUT: Pointer = ("attributes", KEY, "layout")


class Form(StrEnum):
    """How a group lists its levels: as multiscales v0.1 has it, or as others did before."""

    LAYOUT = "layout"
    LIST = "list"
    DRAFT = "draft of 2025"


@dataclass(frozen=True)
class Item:
    """One object of a layout, as written.

    Parameters
    ----------
    index : int
        Position in the layout.
    document : dict
        The object, with the members of a layout's item.
    holder : Pointer
        The array that it stands in.
    names : tuple of (str, str)
        Members that are written otherwise in the document: the name here, and there.
    """

    index: int
    document: dict[str, Any]
    holder: Pointer = LAYOUT
    names: tuple[tuple[str, str], ...] = ()

    def pointer(self, *keys: str | int) -> Pointer:
        """Point at the item, or at something in it."""
        names = dict(self.names)
        return (*self.holder, self.index, *(names.get(str(key), key) if not i else key for i, key in enumerate(keys)))


@dataclass(frozen=True)
class Pyramid:
    """A multiscale group.

    Parameters
    ----------
    node : Node
        The group.
    items : tuple of Item
        Its layout, without what is no object there.
    form : Form
        Of its `multiscales`.
    """

    node: Node
    items: tuple[Item, ...]
    form: Form = Form.LAYOUT

    @property
    def multiscales(self) -> dict[str, Any]:
        """The `multiscales` object; empty where it is a list."""
        document = self.node.attributes[KEY]
        return document if isinstance(document, dict) else {}

    @property
    def is_whole(self) -> bool:
        """True where everything in the layout is an object."""
        return self.form is not Form.LAYOUT or len(self.items) == len(self.multiscales["layout"])

    @property
    def graph(self) -> tuple[Place, ...]:
        """Name what says which levels there are and what they derive from."""
        return tuple(self.place(item, key) for item in self.items for key in ("asset", "derived_from"))

    def place(self, item: Item, *keys: str | int) -> Place:
        """Name a value of an item."""
        return self.node.path, item.pointer(*keys)


@dataclass(frozen=True)
class Level:
    """A level whose asset exists.

    Parameters
    ----------
    pyramid : Pyramid
        That it belongs to.
    item : Item
        Its place in the layout.
    asset : str
        Path relative to the multiscale group.
    node : Node
        The group or array.
    arrays : dict of str to Node
        Arrays by name: those directly in the group, or the array itself.
    names : frozenset of str
        Names of these arrays and of nodes that cannot be read.
    """

    pyramid: Pyramid
    item: Item
    asset: str
    node: Node
    arrays: dict[str, Node]
    names: frozenset[str]


def find(tree: Tree) -> tuple[Pyramid, ...]:
    """List every multiscale group of a tree."""
    return tuple(pyramid for group in tree.groups if (pyramid := of_group(group)) is not None)


def of_group(group: Node) -> Pyramid | None:
    """Read the levels of a group, in whatever form it lists them."""
    document = group.attributes.get(KEY)
    if isinstance(document, list):
        return _of_list(group, document)
    layout = document.get("layout") if isinstance(document, dict) else None
    if not isinstance(layout, list):
        return None
    if is_draft(group.attributes):
        return _of_draft(group, layout)
    return Pyramid(group, tuple(Item(index, item) for index, item in enumerate(layout) if isinstance(item, dict)))


def is_draft(attributes: dict[str, Any]) -> bool:
    """Tell whether levels are listed as in the drafts of 2025, by `path`, and v0.1 is not claimed either (GZ-24)."""
    entries = attributes.get(registration.KEY)
    if isinstance(entries, list) and any(
        isinstance(entry, dict) and entry.get("uuid") == registration.MULTISCALES.uuid for entry in entries
    ):
        return False
    document = attributes.get(KEY)
    layout = document.get("layout") if isinstance(document, dict) else None
    items = layout if isinstance(layout, list) else []
    by_path = [isinstance(item, dict) and _path_of_draft(item) and "asset" not in item for item in items]
    return bool(by_path) and all(by_path)


def _path_of_draft(item: dict[str, Any]) -> str:
    """Name the member that is the path of a level: its `id` where it states no `path`; "" where it states neither."""
    return next((key for key in ("path", "id") if key in item), "")


def _of_draft(group: Node, layout: list[dict[str, Any]]) -> Pyramid:
    """Read the layout of archives-2025, clause 7: `derived_from` is the id of another level."""
    paths = {item["id"]: item[_path_of_draft(item)] for item in layout if isinstance(item.get("id"), str)}
    items = []
    for index, item in enumerate(layout):
        source = item.get("derived_from")
        known = {"derived_from": paths[source]} if isinstance(source, str) and source in paths else {}
        others = {key: item[key] for key in ("resampling_method",) if key in item}
        path = _path_of_draft(item)
        items.append(Item(index, {"asset": item[path], **known, **others}, names=(("asset", path),)))
    return Pyramid(group, tuple(items), Form.DRAFT)


def _of_list(group: Node, document: list[Any]) -> Pyramid | None:
    """Read the list of ndpyramid; that of OME-NGFF is another's.

    Levels come from the finest, which is the first, unless they say how many pixels a tile has: then each has been
    warped by itself (ndpyramid, `pyramid_coarsen` and `pyramid_reproject`).
    """
    first = document[0] if document else None
    datasets = first.get("datasets") if isinstance(first, dict) else None
    if not isinstance(datasets, list) or not isinstance(first, dict) or "axes" in first:
        return None
    items = [(index, item) for index, item in enumerate(datasets) if isinstance(item, dict)]
    # Each level of ndpyramid has a list of its own as well, which names the level itself.
    paths = [(index, item["path"]) for index, item in items if item.get("path", ".") != "."]
    if not paths:
        return None
    is_warped = any("pixels_per_tile" in item for _, item in items)
    finest = paths[0][1]
    levels = tuple(
        Item(
            index,
            {"asset": path, **({} if is_warped or path == finest else {"derived_from": finest})},
            ("attributes", KEY, 0, "datasets"),
            (("asset", "path"), ("derived_from", "path")),
        )
        for index, path in paths
    )
    return Pyramid(group, levels, Form.LIST)


def asset_of(item: Item, key: str = "asset") -> str | None:
    """Read a path of a layout item; None where it is absent or not of the convention's syntax (MS-03)."""
    path = item.document.get(key)
    return path if isinstance(path, str) and ASSET.match(path) else None


def levels(context: Context, pyramid: Pyramid) -> tuple[Level, ...]:
    """Levels of a pyramid whose asset is good and exists, in the order of the layout."""
    return context.once("layout", pyramid.node.path, lambda: tuple(_find_levels(context, pyramid)))


def _find_levels(context: Context, pyramid: Pyramid) -> Iterator[Level]:
    for item in pyramid.items:
        asset = asset_of(item)
        if asset is None or context.is_void(pyramid.node.path, *item.pointer("asset")):
            continue
        node = context.tree.nodes.get(join(pyramid.node.path, asset))
        if node is None or not node.is_known or not all(map(is_legal_name, asset.split("/"))):
            continue
        if node.is_array:
            arrays, names = {node.name: node}, frozenset({node.name})
        else:
            arrays = context.tree.child_arrays(node.path)
            children = context.tree.children(node.path)
            names = frozenset(child.name for child in children if child.is_array or not child.is_known)
        yield Level(pyramid, item, asset, node, arrays, names)
