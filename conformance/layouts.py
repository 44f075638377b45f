"""Multiscale groups and their levels, found anywhere in the tree.

A pyramid is a group whose `multiscales` is an object with a `layout`, whether it is registered or not; what is wrong
with it is for the rules to say. Assets are resolved relative to that group (MS-04), and nested groups are judged apart
(MS-19).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from conformance.tree import Node, is_legal_name
from geozarr.conventions.multiscales import ASSET, KEY
from geozarr.store import join

if TYPE_CHECKING:
    from conformance.context import Context
    from conformance.report import Place, Pointer
    from conformance.tree import Tree

LAYOUT: Pointer = ("attributes", KEY, "layout")


@dataclass(frozen=True)
class Item:
    """One object of a layout, as written.

    Parameters
    ----------
    index : int
        Position in the layout.
    document : dict
        The object.
    """

    index: int
    document: dict[str, Any]

    def pointer(self, *keys: str | int) -> Pointer:
        """Point at the item, or at something in it."""
        return (*LAYOUT, self.index, *keys)


@dataclass(frozen=True)
class Pyramid:
    """A multiscale group.

    Parameters
    ----------
    node : Node
        The group.
    items : tuple of Item
        Its layout, without what is no object there.
    """

    node: Node
    items: tuple[Item, ...]

    @property
    def multiscales(self) -> dict[str, Any]:
        """The `multiscales` object."""
        document: dict[str, Any] = self.node.attributes[KEY]
        return document

    @property
    def is_whole(self) -> bool:
        """True where everything in the layout is an object."""
        return len(self.items) == len(self.multiscales["layout"])

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
    found = []
    for group in tree.groups:
        document = group.attributes.get(KEY)
        layout = document.get("layout") if isinstance(document, dict) else None
        if isinstance(layout, list):
            items = (Item(index, item) for index, item in enumerate(layout) if isinstance(item, dict))
            found.append(Pyramid(group, tuple(items)))
    return tuple(found)


def asset_of(item: Item, key: str = "asset") -> str | None:
    """Read a path of a layout item; None where it is absent or not of the convention's syntax (MS-03)."""
    path = item.document.get(key)
    return path if isinstance(path, str) and ASSET.match(path) else None


def levels(context: Context, pyramid: Pyramid) -> list[Level]:
    """Levels of a pyramid whose asset is good and exists, in the order of the layout."""
    found = []
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
        found.append(Level(pyramid, item, asset, node, arrays, names))
    return found
