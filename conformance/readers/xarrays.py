"""xarray, and readers on top of it: rioxarray, odc-geo, rasterix, titiler-xarray, xpublish-tiles.

They share how xarray opens a store: `_FillValue` of floats is base64 (ZARR-13), only that attribute masks (ZARR-12),
and a plain open makes a grid mapping a coordinate only where `coordinates` lists it.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any

from conformance import values
from conformance.readers import needs
from conformance.readers import subject as subjects
from conformance.readers.verdict import Condition, Loss, Reader
from conformance.report import Fault
from geozarr.conventions import spatial
from geozarr.conventions.registration import SPATIAL

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.readers.subject import Subject
    from conformance.tree import Node

ZARR_PYTHON = frozenset(
    {
        *("bytes", "blosc", "zstd", "gzip", "crc32c", "transpose", "vlen-utf8", "vlen-bytes"),
        *("cast_value", "scale_offset", "numcodecs.*", needs.SHARDS),
    }
)
_XPUBLISH_ROWS = re.compile(r"(y|j|eta|nlat|rlat|nj)\w*$|y?(nav_lat|lat|gphi)\w*$", re.IGNORECASE)
_XPUBLISH_COLS = re.compile(r"(x|i|xi|nlon|rlon|ni)\w*$|x?(nav_lon|lon|glam)\w*$", re.IGNORECASE)
_RIO_AXES = (("y", "x"), ("latitude", "longitude"))
_TITILER_ROWS = ("y", "lat", "latitude", "LAT", "LATITUDE", "Lat", "Latitude")
_TITILER_COLS = ("x", "lon", "longitude", "LON", "LONGITUDE", "Lon", "Longitude")


def place_of_rioxarray(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels without coordinates, without a GeoTransform that is read, and without spatial by its former name."""
    for array in subject.arrays:
        mapping = needs.coordinate_mapping(context, array)
        by_name = subjects.has_name(array, "spatial:") and array.attributes.get(spatial.TRANSFORM)
        if not (by_name or _has_geotransform(mapping)) and subjects.coordinates(context, array) is None:
            yield _no_place(array)
            return


def place_of_odc(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels without coordinates and without a GeoTransform that is read."""
    for array in subject.arrays:
        mapping = needs.coordinate_mapping(context, array)
        if not _has_geotransform(mapping) and subjects.coordinates(context, array) is None:
            yield _no_place(array)
            return


def axes_of_rioxarray(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find rows and columns that neither their names nor attributes of their coordinates tell."""
    array = subject.finest(context)
    names, found = context.dimension_names(array) or (), subjects.coordinates(context, array)
    is_told = found is not None and all(_is_axis(node, role) for node, role in zip(found, ("Y", "X"), strict=True))
    if not is_told and not any(set(pair) <= set(names) for pair in _RIO_AXES):
        message = "neither names nor attributes tell rows and columns"
        yield Fault(array.path, ("dimension_names",), message, list(names), "y and x")


def crs_of_odc(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels without a grid mapping that a plain open makes a coordinate."""
    for array in subject.arrays:
        if needs.coordinate_mapping(context, array) is None:
            found = needs.mapping(context, array)
            key = "grid_mapping" if found is None else "coordinates"
            message = "no coordinate of the array is a grid mapping"
            where = ("attributes", key)
            yield Fault(array.path, where, message, array.attributes.get(key), "a grid mapping, listed in coordinates")
            return


def place_of_rasterix(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels with nothing to make a transform of."""
    for array in subject.arrays:
        by_mapping = _has_geotransform(needs.coordinate_mapping(context, array))
        if not (by_mapping or _spatial(context, array)) and subjects.coordinates(context, array) is None:
            yield _no_place(array)
            return


def node_of_rasterix(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find node registration where the transform of spatial is the one that is taken."""
    array = subject.finest(context)
    if _spatial(context, array) and not _has_geotransform(needs.coordinate_mapping(context, array)):
        yield from needs.node_registration(context, subject)


def axes_of_titiler(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find axes of other names than those that are looked for, and more than three of them."""
    array = subject.finest(context)
    names = list(context.dimension_names(array) or ())
    where = ("dimension_names",)
    if "x" not in names and "y" not in names:
        has_both = any(name in names for name in _TITILER_ROWS) and any(name in names for name in _TITILER_COLS)
        if not has_both:
            yield Fault(array.path, where, "rows and columns have other names", names, "y and x")
            return
    if len(names) > 3:
        yield Fault(array.path, where, "there are more than three axes", names, "two or three")


def crs_of_titiler(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels of another CRS than EPSG:4326 without grid mapping: that CRS is assumed."""
    stated = subjects.crs(context, subject)
    if stated is None or stated.code == "EPSG:4326":
        return
    for array in subject.arrays:
        by_name = subjects.has_name(array, "proj:") and needs.states_crs(array)
        if needs.mapping(context, array) is None and not by_name:
            message = "there is no grid mapping, so EPSG:4326 is assumed"
            yield Fault(array.path, ("attributes", "grid_mapping"), message, None, "a grid mapping")
            return


def place_of_titiler(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels without coordinates and without GeoTransform."""
    for array in subject.arrays:
        by_mapping = _has_geotransform(needs.mapping(context, array))
        if not by_mapping and subjects.coordinates(context, array) is None:
            yield _no_place(array)
            return


def levels_of_xpublish(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a variable in groups of which neither arrays nor attributes state a transform, below the root."""
    if all(array.parent == "" for array in subject.arrays):
        return
    if not any(_states_transform(context, array) for array in subject.arrays):
        array = subject.finest(context)
        message = "no level states spatial:transform on an array or on its group"
        yield Fault(array.path, ("attributes", spatial.TRANSFORM), message, None, "a transform")


def crs_of_xpublish(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a level without grid mapping whose group states no CRS."""
    array = subject.finest(context)
    group = subjects.parent(context, array)
    beside = subjects.siblings(context, array)
    has_mapping = needs.mapping(context, array) is not None or "crs" in beside
    if not has_mapping and not needs.states_crs(group, ("proj:code", "proj:wkt2")):
        where = ("attributes", "proj:code")
        yield Fault(group.path if group else "", where, "the group that holds the level states no CRS", None, "a code")


def auxiliary(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find an array without rows and columns among the data of the finest level: the list of tile sets breaks on it."""
    array = subject.finest(context)
    axes = subjects.axes(context, array)
    referenced = context.once("readers referenced", array.parent, lambda: _referenced(context, array))
    for beside in subjects.siblings(context, array).values():
        names = context.dimension_names(beside) or ()
        is_coordinate = names == (beside.name,) or beside.name in referenced
        if axes is None or is_coordinate or not names or set(axes) <= set(names):
            continue
        message = "an array among the data that has no rows and columns"
        yield Fault(beside.path, ("dimension_names",), message, list(names), f"{axes[0]} and {axes[1]}")
        return


def axes_of_xpublish(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find rows and columns of a variable with a grid mapping that nothing tells: names, `axis`, standard names."""
    array = subject.finest(context)
    names, found = subjects.axes(context, array), subjects.coordinates(context, array)
    is_told = found is not None and all(_is_axis(node, role) for node, role in zip(found, "YX", strict=True))
    if needs.mapping(context, array) is None or is_told or names is None:
        return
    if not (_XPUBLISH_ROWS.match(names[0]) and _XPUBLISH_COLS.match(names[1])):
        message = "neither names nor attributes tell rows and columns"
        yield Fault(array.path, ("dimension_names",), message, list(names), "y and x")


def place_of_xpublish(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a variable without coordinates, GeoTransform, or a transform of spatial that rasterix takes."""
    array = subject.finest(context)
    by_mapping = _has_geotransform(needs.mapping(context, array))
    if by_mapping or subjects.coordinates(context, array) is not None:
        return
    if not _spatial(context, array):
        yield _no_place(array)
    else:
        yield from needs.node_registration(context, subject)


def _referenced(context: Context, array: Node) -> set[str]:
    """Names that xarray makes coordinates when it is told to decode all: bounds, mappings, auxiliary coordinates."""
    found: set[str] = set()
    for node in subjects.siblings(context, array).values():
        for key in ("bounds", "coordinates", "grid_mapping", "ancillary_variables", "cell_measures"):
            text = node.attributes.get(key)
            found |= set(text.split()) if isinstance(text, str) else set()
    return found


def _states_transform(context: Context, array: Node) -> bool:
    group = subjects.parent(context, array)
    nodes = [*subjects.siblings(context, array).values(), *([group] if group is not None else [])]
    return any(values.transform(node.attributes.get(spatial.TRANSFORM)) is not None for node in nodes)


def _spatial(context: Context, array: Node) -> bool:
    """Tell whether the transform of spatial is there for rasterix: keys and registration of array over group."""
    merged: dict[str, Any] = {}
    for holder in reversed(list(subjects.holders(context, array))):
        merged |= holder.attributes
    effective = next((h for h in subjects.holders(context, array) if "zarr_conventions" in h.attributes), None)
    is_registered = subjects.has_uuid(effective, SPATIAL) or subjects.has_name(effective, "spatial:")
    return is_registered and values.transform(merged.get(spatial.TRANSFORM)) is not None


def _has_geotransform(mapping: Node | None) -> bool:
    return mapping is not None and isinstance(mapping.attributes.get("GeoTransform"), str)


def _is_axis(node: Node, role: str) -> bool:
    names = {"Y": ("latitude", "projection_y_coordinate"), "X": ("longitude", "projection_x_coordinate")}[role]
    axis, standard = node.attributes.get("axis"), node.attributes.get("standard_name")
    return (isinstance(axis, str) and axis.upper() == role) or standard in names


def _no_place(array: Node) -> Fault:
    message = "there are neither coordinates nor a transform that is read"
    return Fault(array.path, ("attributes", "grid_mapping"), message, None, "x and y, or a GeoTransform")


# Conditions that come with xarray itself; a tree opens every array of the store, a group those of the level.
_FILL = Condition("ZARR-07", "zarr-python refuses fill values that do not fit the type", needs.fill_values)
_MISSING = Condition("ZARR-13", "It decodes _FillValue of floats from base64, or opens nothing", needs.missing_values)
_TREE_FILL = Condition(_FILL.rule, _FILL.title, partial(needs.fill_values, whole_tree=True))
_TREE_MISSING = Condition(_MISSING.rule, _MISSING.title, partial(needs.missing_values, whole_tree=True))
_CODECS = Condition("ZARR-10", "It decodes what zarr-python decodes", needs.decodes(ZARR_PYTHON))
_MASK = Condition("ZARR-12", "It masks by _FillValue, not by fill_value", needs.missing_attribute, Loss.NODATA)
_LISTED = "It takes the CRS of a grid mapping that coordinates lists"

XARRAY = Reader(
    "xarray",
    "2026.9.0",
    (
        *(_TREE_FILL, _TREE_MISSING, _CODECS, _MASK),
        Condition("CF-12", "It places cells by coordinate variables alone", needs.coordinates, Loss.PLACE),
    ),
    ZARR_PYTHON,
    frozenset({Loss.CRS}),
)

RIOXARRAY = Reader(
    "rioxarray",
    "0.23.0",
    (
        *(_FILL, _MISSING, _CODECS, _MASK),
        Condition("CF-14", "It knows rows and columns by name or by axis", axes_of_rioxarray),
        Condition("RD-02", f"{_LISTED}, or of proj by its former name", needs.listed_mapping, Loss.CRS),
        Condition("RD-02", "It places cells by GeoTransform or coordinates", place_of_rioxarray, Loss.PLACE),
    ),
    ZARR_PYTHON,
    frozenset({Loss.LEVELS}),
)

ODC_GEO = Reader(
    "odc-geo",
    "0.5.3",
    (
        *(_FILL, _MISSING, _CODECS, _MASK),
        Condition("CF-03", _LISTED, crs_of_odc, Loss.CRS),
        Condition("CF-12", "It places cells by GeoTransform or coordinates", place_of_odc, Loss.PLACE),
    ),
    ZARR_PYTHON,
    frozenset({Loss.LEVELS}),
)

RASTERIX = Reader(
    "rasterix",
    "0.2.4",
    (
        *(_FILL, _MISSING, _CODECS, _MASK),
        Condition("RD-07", "It refuses node registration", node_of_rasterix),
        Condition("RD-07", "It makes a transform of GeoTransform, spatial or coordinates", place_of_rasterix),
        Condition("RD-07", "It takes the CRS of proj on the group of the level", needs.group_crs, Loss.CRS),
    ),
    ZARR_PYTHON,
    frozenset({Loss.LEVELS}),
    "A CRS of CF comes with xproj, by a call of its own.",
)

TITILER_XARRAY = Reader(
    "titiler-xarray",
    "2.4.0",
    (
        *(_FILL, _MISSING, _CODECS, _MASK),
        Condition("CF-14", "It knows axes by name, and reads two or three", axes_of_titiler),
        Condition("CF-03", "It assumes EPSG:4326 without a grid mapping", crs_of_titiler),
        Condition("CF-12", "It places cells by GeoTransform or coordinates", place_of_titiler),
    ),
    ZARR_PYTHON,
    frozenset({Loss.LEVELS}),
    "The level is named by `group`.",
)

XPUBLISH_TILES = Reader(
    "xpublish-tiles",
    "0.12.0",
    (
        *(_TREE_FILL, _TREE_MISSING, _CODECS, _MASK),
        Condition("RD-07", "It finds levels by spatial:transform on arrays or their group", levels_of_xpublish),
        Condition("RD-07", "It takes the CRS of CF, or of proj on the group of the level", crs_of_xpublish),
        Condition(
            "RD-07", "It places cells by GeoTransform, coordinates, or spatial as rasterix does", place_of_xpublish
        ),
        Condition("CF-14", "It knows rows and columns by name or by axis", axes_of_xpublish),
        Condition("SP-03", "Its list of tile sets breaks on data without rows and columns", auxiliary),
    ),
    ZARR_PYTHON,
)

READERS = (XARRAY, RIOXARRAY, ODC_GEO, RASTERIX, TITILER_XARRAY, XPUBLISH_TILES)
