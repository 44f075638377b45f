"""CF grid mapping variables: how a data variable names them, where they are sought, what they state (CF 5.6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance import values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from conformance.context import Context
    from conformance.tree import Node
    from conformance.values import Transform


def parse(text: Any) -> dict[str, tuple[str, ...]] | None:
    """Read a `grid_mapping` attribute (CF-02).

    Returns
    -------
    dict or None
        Coordinates by name of the grid mapping variable; no coordinates in the simple form. None where the text
        has neither form.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > 10_000:
        return None
    words = text.split()
    if len(words) == 1 and not words[0].endswith(":"):
        return {words[0]: ()} if ":" not in words[0] else None
    found: dict[str, tuple[str, ...]] = {}
    name = ""
    for word in words:
        if word.endswith(":"):
            if name and not found[name]:
                return None
            name = word[:-1]
            if not name or name in found:
                return None
            found[name] = ()
        elif not name:
            return None
        else:
            found[name] = (*found[name], word)
    return found if found[name] else None


def resolve(context: Context, array: Node, name: str) -> Node | None:
    """Find a variable that an array names: in its own group, else in a group above (CF 2.7)."""
    for group in context.tree.ancestors(array.path):
        found = context.tree.nodes.get(f"{group.path}/{name}" if group.path else name)
        if found is not None:
            return found
    return None


def of_array(context: Context, array: Node) -> list[Node]:
    """Grid mapping variables of an array that exist."""
    named = context.attribute(array, "grid_mapping", parse) or {}
    found = (resolve(context, array, name) for name in named)
    return [node for node in found if node is not None and node.is_known and node.is_array]


def of_arrays(context: Context, arrays: Iterable[Node]) -> list[Node]:
    """Grid mapping variables of some arrays, each once."""
    return list({node.path: node for array in arrays for node in of_array(context, array)}.values())


def all_of(context: Context) -> dict[str, list[Node]]:
    """Every grid mapping variable of the tree by path, with the arrays that name it."""
    return context.once("grid mappings", "", lambda: _find_all(context))


def _find_all(context: Context) -> dict[str, list[Node]]:
    users: dict[str, list[Node]] = {}
    for array in context.tree.arrays:
        for node in of_array(context, array):
            users.setdefault(node.path, []).append(array)
    return users


def geotransform(text: Any) -> Transform | None:
    """Read `GeoTransform` (CF-11): six numbers in GDAL's order `c a b f d e`, as the transform `a b c d e f`."""
    if not isinstance(text, str):
        return None
    try:
        numbers = [float(part) for part in text.split()]
    except ValueError:
        return None
    if len(numbers) != 6:
        return None
    c, a, b, f, d, e = numbers
    return values.transform([a, b, c, d, e, f])
