"""Rules on the `multiscales` object: layout, assets, derivation, transforms (multiscales convention v0.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from conformance import layouts, values
from conformance.report import Fault, Rule, Severity
from conformance.tree import is_legal_name
from geozarr.conventions.multiscales import KEY
from geozarr.conventions.registration import MULTISCALES
from geozarr.store import join

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Item, Pyramid
    from conformance.report import Pointer

_OBJECT: Pointer = ("attributes", KEY)
# The list that the convention suggests, which is GeoZarr 0.4's enumeration.
_METHODS = (
    *("nearest", "average", "bilinear", "cubic", "cubic_spline", "lanczos", "mode", "max", "min", "med", "sum"),
    *("q1", "q3", "rms", "gauss"),
)
_PATH = "a relative path without leading or trailing slash and without '..'"


def check_layout(context: Context) -> Iterator[Fault]:
    """Find groups that register multiscales without a layout of at least one object."""
    for group in context.tree.groups:
        registered = context.registered(group)
        if MULTISCALES not in registered.conventions:
            continue
        found = group.attributes.get(KEY)
        layout = found.get("layout") if isinstance(found, dict) else None
        if found is None:
            yield Fault(group.path, _OBJECT, "multiscales is registered, but absent", None, "an object with a layout")
        elif not isinstance(found, dict):
            yield Fault(group.path, _OBJECT, "multiscales is no object", found, "an object with a layout")
        elif not isinstance(layout, list) or not layout:
            yield Fault(group.path, layouts.LAYOUT, "there is no layout", layout, "an array of at least one level")
        else:
            for index, item in enumerate(layout):
                if not isinstance(item, dict):
                    yield Fault(group.path, (*layouts.LAYOUT, index), "a level is no object", item, "an object")


def check_on_group(context: Context) -> Iterator[Fault]:
    """Find arrays that claim to be multiscale."""
    for array in context.tree.arrays:
        if MULTISCALES in context.registered(array).conventions | context.uses(array):
            message = "multiscales applies to groups only"
            voids = ((array.path, ("attributes", "zarr_conventions")),)
            yield Fault(array.path, _OBJECT, message, array.attributes.get(KEY), "it at the group above", voids=voids)


def check_assets(context: Context) -> Iterator[Fault]:
    """Find levels without an asset, or with one of another syntax."""
    for pyramid, item in _items(context):
        found = item.document.get("asset")
        if layouts.asset_of(item) is None:
            yield Fault(pyramid.node.path, item.pointer("asset"), "the asset is malformed", found, _PATH)


def check_relative(context: Context) -> Iterator[Fault]:
    """Find assets that only make sense from the root of the store."""
    for pyramid, item, asset in _missing_assets(context):
        if pyramid.node.path and asset in context.tree.nodes:
            message = "the asset exists from the root of the store, not from the group"
            yield Fault(
                pyramid.node.path, item.pointer("asset"), message, asset, f"a path relative to /{pyramid.node.path}"
            )


def check_exists(context: Context) -> Iterator[Fault]:
    """Find assets that name no node."""
    for pyramid, item, asset in _missing_assets(context):
        yield Fault(
            pyramid.node.path, item.pointer("asset"), "the asset does not exist", asset, "a descendant of the group"
        )


def check_unique(context: Context) -> Iterator[Fault]:
    """Find assets listed twice, and levels that derive from themselves, directly or in a circle."""
    for pyramid in context.layouts:
        node = pyramid.node.path
        by_asset: dict[str, list[Item]] = {}
        for item in pyramid.items:
            if (asset := layouts.asset_of(item)) is not None:
                by_asset.setdefault(asset, []).append(item)
        for asset, items in by_asset.items():
            if len(items) > 1:
                voids = tuple(pyramid.place(item, "asset") for item in items)
                yield Fault(node, items[1].pointer("asset"), "the asset is listed twice", asset, "it once", voids=voids)
        yield from _circles(pyramid, {asset: items[0] for asset, items in by_asset.items() if len(items) == 1})


def check_derivation(context: Context) -> Iterator[Fault]:
    """Find derived levels without a transform, and sources of another syntax."""
    for pyramid, item in _items(context):
        if "derived_from" not in item.document:
            continue
        if layouts.asset_of(item, "derived_from") is None:
            found = item.document["derived_from"]
            yield Fault(pyramid.node.path, item.pointer("derived_from"), "the source is malformed", found, _PATH)
        if "transform" not in item.document:
            message = "a derived level has no transform"
            yield Fault(pyramid.node.path, item.pointer("transform"), message, None, "an object with a scale")


def check_sources(context: Context) -> Iterator[Fault]:
    """Find levels that derive from what is no level."""
    for pyramid in context.layouts:
        assets = [layouts.asset_of(item) for item in pyramid.items]
        relies = tuple(pyramid.place(item, "asset") for item in pyramid.items)
        for item in pyramid.items if pyramid.is_whole else ():
            source = layouts.asset_of(item, "derived_from")
            if source is not None and source not in assets:
                expected = f"one of {', '.join(asset for asset in assets if asset)}"
                pointer = item.pointer("derived_from")
                message = "the source is no level of this layout"
                yield Fault(pyramid.node.path, pointer, message, source, expected, relies=relies)


def check_transform(context: Context) -> Iterator[Fault]:
    """Find transforms whose scale or translation are no arrays of numbers, or whose scale is not above 0."""
    for pyramid, item in _items(context):
        transform = item.document.get("transform", {})
        if not isinstance(transform, dict):
            yield Fault(pyramid.node.path, item.pointer("transform"), "transform is no object", transform, "an object")
            continue
        for key in ("scale", "translation"):
            found = values.numbers(transform.get(key, []))
            if found is None or (key == "scale" and any(number <= 0 for number in found)):
                expected = "finite numbers" + (" above 0" if key == "scale" else "")
                pointer = item.pointer("transform", key)
                yield Fault(pyramid.node.path, pointer, f"{key} is malformed", transform[key], expected)


def check_absolute_keys(context: Context) -> Iterator[Fault]:
    """Find absolute positions inside the relative transform."""
    for pyramid, item in _items(context):
        transform = item.document.get("transform")
        found = sorted(key for key in transform if key.startswith("spatial:")) if isinstance(transform, dict) else []
        if found:
            voids = tuple(pyramid.place(item, key) for key in found)
            pointer = item.pointer("transform", found[0])
            message = "absolute keys stand inside the relative transform"
            yield Fault(pyramid.node.path, pointer, message, found, "them beside it", voids=voids)


def check_lengths(context: Context) -> Iterator[Fault]:
    """Find scales and translations that are not one number per spatial axis or per array axis, alike on all levels."""
    for pyramid in context.layouts:
        found: list[tuple[Item, str, tuple[float, ...], set[int]]] = []
        for level in layouts.levels(context, pyramid):
            ranks = {len(context.shape(array) or ()) for array in context.rasters(level.arrays.values())}
            for key in ("scale", "translation"):
                numbers = numbers_of(context, pyramid, level.item, key)
                if numbers:
                    found.append((level.item, key, numbers, ranks | {2}))
        lengths = [len(numbers) for _, _, numbers, _ in found]
        usual = max(lengths, key=lengths.count, default=2)
        for item, key, numbers, allowed in found:
            if len(numbers) not in allowed or len(numbers) != usual:
                expected = f"{usual if usual in allowed else 2} numbers, as on the other levels"
                pointer = item.pointer("transform", key)
                yield Fault(pyramid.node.path, pointer, f"{key} has another length", list(numbers), expected)


def check_translation(context: Context) -> Iterator[Fault]:
    """Find translations other than zero: levels of an overview pyramid share a corner."""
    for pyramid, item in _items(context):
        found = numbers_of(context, pyramid, item, "translation")
        if found and any(found):
            pointer = item.pointer("transform", "translation")
            message = "the translation is not zero, which readers take in different ways or ignore"
            yield Fault(pyramid.node.path, pointer, message, list(found), "zeros for levels that share a corner")


def check_method_type(context: Context) -> Iterator[Fault]:
    """Find resampling methods that are no strings."""
    for node, pointer, found in _methods(context):
        if not isinstance(found, str):
            yield Fault(node, pointer, "resampling_method is no string", found, "a string")


def check_method_known(context: Context) -> Iterator[Fault]:
    """Find resampling methods outside the suggested list."""
    for node, pointer, found in _methods(context):
        if isinstance(found, str) and found not in _METHODS:
            yield Fault(node, pointer, "an uncommon resampling method", found, f"perhaps one of {' '.join(_METHODS)}")


def check_consolidated(context: Context) -> Iterator[Fault]:
    """Find multiscale groups without consolidated metadata of their own."""
    for pyramid in context.layouts:
        if pyramid.node.document.get("consolidated_metadata") is None:
            pointer = ("consolidated_metadata",)
            message = "the multiscale group has no consolidated metadata"
            yield Fault(pyramid.node.path, pointer, message, None, "the documents of all nodes below it", keeps=True)


def numbers_of(context: Context, pyramid: Pyramid, item: Item, key: str) -> tuple[float, ...] | None:
    """Read `scale` or `translation` of a level; None where it is absent, malformed or void."""
    transform = item.document.get("transform")
    if not isinstance(transform, dict) or context.is_void(pyramid.node.path, *item.pointer("transform", key)):
        return None
    found = values.numbers(transform.get(key))
    return None if found is None or (key == "scale" and any(number <= 0 for number in found)) else found


def _items(context: Context) -> Iterator[tuple[Pyramid, Item]]:
    for pyramid in context.layouts:
        for item in pyramid.items:
            yield pyramid, item


def _missing_assets(context: Context) -> Iterator[tuple[Pyramid, Item, str]]:
    for pyramid, item in _items(context):
        asset = layouts.asset_of(item)
        is_legal = asset is not None and all(map(is_legal_name, asset.split("/")))
        if asset is not None and is_legal and join(pyramid.node.path, asset) not in context.tree.nodes:
            yield pyramid, item, asset


def _circles(pyramid: Pyramid, by_asset: dict[str, Item]) -> Iterator[Fault]:
    """Follow each level to its source until it ends, meets a level known to end, or meets itself."""
    done: set[str] = set()
    for start in by_asset:
        path: list[str] = []
        asset: str | None = start
        while asset in by_asset and asset not in done and asset not in path:
            path.append(asset)
            asset = layouts.asset_of(by_asset[asset], "derived_from")
        if asset in path:
            circle = path[path.index(asset) :]
            voids = tuple(pyramid.place(by_asset[name], "derived_from") for name in circle)
            pointer = by_asset[circle[0]].pointer("derived_from")
            found = " <- ".join([*circle, asset])
            message = "levels derive from each other in a circle"
            yield Fault(pyramid.node.path, pointer, message, found, "a level that derives from none", voids=voids)
        done.update(path)


def _methods(context: Context) -> Iterator[tuple[str, Pointer, Any]]:
    for pyramid in context.layouts:
        if "resampling_method" in pyramid.multiscales:
            yield pyramid.node.path, (*_OBJECT, "resampling_method"), pyramid.multiscales["resampling_method"]
        for item in pyramid.items:
            if "resampling_method" in item.document:
                yield pyramid.node.path, item.pointer("resampling_method"), item.document["resampling_method"]


_SCHEMA = "multiscales v0.1 schema"
_TEXT = "multiscales v0.1"
_WARNING, _INFO = Severity.WARNING, Severity.INFO
RULES = (
    Rule("MS-02", _SCHEMA, "Only groups are multiscale", check_on_group),
    Rule("MS-01", _SCHEMA, "A multiscale group has a layout of at least one level", check_layout),
    Rule("MS-03", _SCHEMA, "Each level has an asset: a relative path", check_assets),
    Rule("MS-04", f"{_TEXT}, Asset path", "Assets are relative to the multiscale group", check_relative),
    Rule("MS-05", f"{_TEXT}, Validation", "Each asset exists", check_exists),
    Rule("MS-09", "derived", "Each asset is listed once, and derivation has an end", check_unique),
    Rule("MS-07", _SCHEMA, "A derived level has a transform, and its source is a relative path", check_derivation),
    Rule("MS-08", "derived", "A source is a level of the same layout", check_sources),
    Rule("MS-10", _SCHEMA, "scale and translation are numbers", check_transform),
    Rule("MS-11", f"{_TEXT}, Absolute positioning", "Absolute keys stand at the level", check_absolute_keys, _WARNING),
    Rule("MS-13", "multiscales issue 14", "Scales have one length: two, or the rank", check_lengths, _WARNING),
    Rule("MS-15", "spatial v0.1, multiscales", "Translations are zero", check_translation, _WARNING),
    Rule("MS-16", _SCHEMA, "Resampling methods are strings", check_method_type),
    Rule("MS-17", _TEXT, "Resampling methods are of the suggested list", check_method_known, _INFO),
    Rule("MS-18", _TEXT, "The multiscale group has consolidated metadata", check_consolidated, _WARNING),
)
