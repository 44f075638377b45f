"""The multiscales convention v0.1: the `multiscales` object of a group."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

from geozarr.errors import MetadataError

KEY = "multiscales"
_PATH = "a relative path of node names, without '..'"
ASSET = re.compile(r"^(?!/)(?!.*(\.\.))([^/]+(/[^/]+)*)$")  # schema.json of v0.1 (MS-03)
# Members of the tileset metadata of TMS 2.0, legal as extra keys (MS-21). Under the key of GeoZarr 0.4, which is read
# as well, OpenLayers 10.11 counts rows and columns from the origin of the matrices and then draws nothing.
TILE_MATRIX_SET = "tileMatrixSet"
TILE_MATRIX_LIMITS = "tileMatrixSetLimits"
TILE_MATRIX_SET_0_4 = "tile_matrix_set"
SET_KEYS = (TILE_MATRIX_SET, TILE_MATRIX_SET_0_4)
LIMITS_KEYS = (TILE_MATRIX_LIMITS, "tile_matrix_limits", "tile_matrix_set_limits")  # GZ-20: 0.4 has both spellings


@dataclass(frozen=True)
class LayoutItem:
    """One level of a layout, as written.

    Parameters
    ----------
    asset : str
        Path of the level, relative to the group.
    derived_from : str or None
        Asset it was made from.
    scale, translation : tuple of float
        Relative to `derived_from`, rows first; scale above 1 is coarser (MS-12). Empty where absent.
    resampling_method : str or None
        Overrides the layout's.
    extra : dict
        Every other key, among them `spatial:shape` and `spatial:transform`.

    Raises
    ------
    MetadataError
        If `asset` or `derived_from` is no relative path (MS-03) of names that Zarr allows (ZARR-06).
    """

    asset: str
    derived_from: str | None = None
    scale: tuple[float, ...] = ()
    translation: tuple[float, ...] = ()
    resampling_method: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("asset", "derived_from"):
            path = getattr(self, name)
            if not (is_path(path) or (path is None and name == "derived_from")):
                raise MetadataError("multiscales", f"layout[].{name}", found=path, expected=_PATH)

    def to_document(self) -> dict[str, Any]:
        """Return the layout object."""
        document: dict[str, Any] = {"asset": self.asset}
        if self.derived_from is not None:
            document["derived_from"] = self.derived_from
        transform = {"scale": list(self.scale), "translation": list(self.translation)}
        transform = {name: numbers for name, numbers in transform.items() if numbers}
        if transform or self.derived_from is not None:  # MS-07: derived_from needs a transform, be it empty
            document["transform"] = transform
        if self.resampling_method is not None:
            document["resampling_method"] = self.resampling_method
        return {**document, **self.extra}


@dataclass(frozen=True)
class Multiscales:
    """The `multiscales` object.

    Parameters
    ----------
    layout : tuple of LayoutItem
        Levels; written finest first (MS-20).
    resampling_method : str or None
        For all levels that do not name another.
    tile_matrix_set : dict or None
        Inline TMS 2.0 document whose matrix ids are the assets.
    tile_matrix_limits : dict or None
        Limits by matrix id, each with its `tileMatrix`; written as an array, as TMS 2.0 has them.
    """

    layout: tuple[LayoutItem, ...]
    resampling_method: str | None = None
    tile_matrix_set: dict[str, Any] | None = None
    tile_matrix_limits: dict[str, Any] | None = None

    def to_attributes(self) -> dict[str, Any]:
        """Return the attribute of the multiscale group."""
        document: dict[str, Any] = {}
        if self.resampling_method is not None:
            document["resampling_method"] = self.resampling_method
        document["layout"] = [item.to_document() for item in self.layout]
        if self.tile_matrix_set is not None:
            document[TILE_MATRIX_SET] = self.tile_matrix_set
            document[TILE_MATRIX_LIMITS] = list((self.tile_matrix_limits or {}).values())
        return {KEY: document}


def from_attributes(attributes: dict[str, Any], *, node: str) -> Multiscales:
    """Read the `multiscales` object of a group.

    A string as tile matrix set (a name or URI, as GeoZarr 0.4 allowed) is not an inline document and is passed over.

    Raises
    ------
    MetadataError
        If there is none, or its layout is not one of v0.1.
    """
    document = attributes.get(KEY)
    if not isinstance(document, dict):
        raise MetadataError(node, KEY, found=document, expected="an object with a layout (multiscales v0.1)")
    items = document.get("layout")
    if not isinstance(items, list) or not items:
        raise MetadataError(node, f"{KEY}.layout", found=items, expected="an array of at least one level")
    inline = document.get(set_key(document))
    limits = next((document[key] for key in LIMITS_KEYS if key in document), None)
    if isinstance(inline, dict) and limits is not None and not isinstance(limits, dict | list):
        raise MetadataError(
            node, f"{KEY}.{TILE_MATRIX_LIMITS}", found=limits, expected="an array, or an object keyed by matrix id"
        )
    if isinstance(limits, list):  # TMS 2.0 has an array
        keyed = {str(item.get("tileMatrix")) if isinstance(item, dict) else "": item for item in limits}
        if len(keyed) != len(limits):
            raise MetadataError(node, f"{KEY}.{TILE_MATRIX_LIMITS}", found=limits, expected="each tile matrix once")
        limits = keyed
    method = _method(document, KEY, node)
    return Multiscales(
        layout=tuple(_item(item, f"{KEY}.layout[{index}]", node) for index, item in enumerate(items)),
        resampling_method=method,
        tile_matrix_set=inline if isinstance(inline, dict) else None,
        tile_matrix_limits=limits if isinstance(limits, dict) else None,
    )


def set_key(document: dict[str, Any]) -> str:
    """Name the key under which a `multiscales` object states its tile matrix set; today's where it states none."""
    return next((key for key in SET_KEYS if key in document), TILE_MATRIX_SET)


def is_path(path: object) -> bool:
    """Tell whether something is a path to a node below a group: MS-03, and the names that Zarr allows (ZARR-06)."""
    if not isinstance(path, str) or not ASSET.fullmatch(path) or not path.isprintable():
        return False
    return not any(name.strip(".") == "" or name.startswith("__") or name == "zarr.json" for name in path.split("/"))


def _method(document: dict[str, Any], key: str, node: str) -> str | None:
    method = document.get("resampling_method")
    if method is not None and not isinstance(method, str):
        raise MetadataError(node, f"{key}.resampling_method", found=method, expected="a text")
    return method


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the float64 range
        return False


def _item(document: Any, key: str, node: str) -> LayoutItem:
    if not isinstance(document, dict):
        raise MetadataError(node, key, found=document, expected="an object")
    for name, required in (("asset", True), ("derived_from", False)):
        path = document.get(name)
        if (path is not None or required) and not is_path(path):
            raise MetadataError(node, f"{key}.{name}", found=path, expected=_PATH)
    transform = document.get("transform", {})
    if not isinstance(transform, dict):
        raise MetadataError(node, f"{key}.transform", found=transform, expected="an object")
    numbers = {}
    for name in ("scale", "translation"):
        values = transform.get(name, [])
        if not isinstance(values, list) or not all(map(_is_number, values)):
            raise MetadataError(node, f"{key}.transform.{name}", found=values, expected="an array of finite numbers")
        numbers[name] = tuple(float(value) for value in values)
    known = ("asset", "derived_from", "transform", "resampling_method")
    return LayoutItem(
        asset=document["asset"],
        derived_from=document.get("derived_from"),
        scale=numbers["scale"],
        translation=numbers["translation"],
        resampling_method=_method(document, key, node),
        extra={name: value for name, value in document.items() if name not in known},
    )
