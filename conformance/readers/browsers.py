"""Clients of the browser: OpenLayers' GeoZarr source (RD-04), and carbonplan's zarr-layer (RD-07)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from conformance import sites, values
from conformance.readers import needs
from conformance.readers import subject as subjects
from conformance.readers.verdict import Condition, Loss, Reader
from conformance.report import Fault
from geozarr.conventions import spatial

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.readers.subject import Subject
    from conformance.tree import Node

_ZARRITA = frozenset(
    {
        *("bytes", "blosc", "lz4", "zstd", "gzip", "zlib", "crc32c", "transpose", "vlen-utf8", "json2", "bitround"),
        *("cast_value", "scale_offset", needs.SHARDS),
        *(f"numcodecs.{name}" for name in ("blosc", "lz4", "zstd", "gzip", "zlib", "vlen-utf8", "shuffle", "delta")),
        *("numcodecs.bitround", "numcodecs.json2"),
    }
)
_TILE = 256  # pixels of a tile where chunks do not say otherwise
_ROWS = ("lat", "latitude", "y")
_COLS = ("lon", "longitude", "x", "lng")


def legacy_tile_matrix_set(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a `tile_matrix_set` that takes the place of the grid of the levels, and is not that.

    It does where no level has chunks above 256 or shards in consolidated metadata. Rows and columns are then counted
    from the origin of its matrices, so that it serves only where that is the corner of the arrays.
    """
    if subject.pyramid is None or "tile_matrix_set" not in subject.pyramid.multiscales:
        return
    if any(_sizes_tiles(context, subject, array) for array in subject.arrays):
        return
    found = subject.pyramid.multiscales["tile_matrix_set"]
    limits = subject.pyramid.multiscales.get("tile_matrix_limits")
    matrices = found.get("tileMatrices") if isinstance(found, dict) else None
    node, where = subject.pyramid.node.path, ("attributes", "multiscales", "tile_matrix_set")
    if not isinstance(matrices, list) or not isinstance(limits, dict):
        message = "no tile matrix set with limits; the source does not load"
        yield Fault(node, where, message, found, "none, or an object with tile_matrix_limits")
        return
    transform = subjects.placed(context, subject, subject.finest(context))
    for index, matrix in enumerate(matrices):
        origin = values.numbers(matrix.get("pointOfOrigin"), count=2) if isinstance(matrix, dict) else None
        corner = (transform[2], transform[5]) if transform is not None else None
        if origin is not None and corner is not None and origin not in (corner, corner[::-1]):
            message = "rows and columns are counted from the origin of the matrices, which is not the arrays' corner"
            place = (*where, "tileMatrices", index, "pointOfOrigin")
            yield Fault(node, place, message, list(origin), f"{list(corner)}, or chunks above 256, or shards")
            return


def extent(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a multiscale group without `spatial:bbox` where the finest level has no coordinates either."""
    group = subject.pyramid.node if subject.pyramid is not None else subjects.parent(context, subject.arrays[0])
    if group is None or values.bbox(group.attributes.get(spatial.BBOX)) is not None:
        return
    if subjects.coordinates(context, subject.arrays[0]) is None:
        where = ("attributes", spatial.BBOX)
        yield Fault(group.path, where, "neither a box nor coordinates tell the extent", None, "a box")


def orientation(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find rows that go north where a box and shapes keep the coordinates from being read."""
    if subject.pyramid is None:
        return
    has_box = values.bbox(subject.pyramid.node.attributes.get(spatial.BBOX)) is not None
    if has_box and all(isinstance(item.document.get(spatial.SHAPE), list) for item in subject.items):
        yield from needs.south_up(context, subject)


def group_crs(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a multiscale group without CRS; a box within degrees is taken for EPSG:4326."""
    group = subject.pyramid.node if subject.pyramid is not None else subjects.parent(context, subject.arrays[0])
    if group is None or needs.states_crs(group):
        return
    box = values.bbox(group.attributes.get(spatial.BBOX))
    if box is None or box[0] < -360 or box[2] > 360 or box[1] < -90 or box[3] > 90:
        yield Fault(group.path, ("attributes", "proj:code"), "the group states no CRS", None, "a CRS")


def consolidated(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a group without consolidated metadata, and a plane of two axes: its fill value is then not looked up."""
    if subject.pyramid is None or len(context.shape(subject.finest(context)) or ()) != 2:
        return
    group = subject.pyramid.node
    block = group.document.get("consolidated_metadata")
    array = subject.finest(context)
    dtype = values.dtype(array.document.get("data_type"))
    has_nodata = "_FillValue" in array.attributes and dtype is not None
    if has_nodata and not isinstance(block, dict):
        message = "the fill value of a band is read from consolidated metadata alone"
        yield Fault(group.path, ("consolidated_metadata",), message, None, "consolidated metadata in this group")


def stated_shape(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find levels of another shape than the layout states, which the source takes their resolution from."""
    for item, array in zip(subject.items, subject.arrays, strict=False):
        stated = values.shape2(item.document.get(spatial.SHAPE))
        real = sites.spatial_shape(context, array, context.spatial_dimensions(array))
        if subject.pyramid is not None and None not in (stated, real) and stated != real:
            message = "the level has another shape than the layout states"
            place = item.pointer(spatial.SHAPE)
            yield Fault(subject.pyramid.node.path, place, message, list(stated or ()), f"{list(real or ())}")
            return


def mercator(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find a CRS that is neither EPSG:4326 nor EPSG:3857: large coordinates are taken for the latter."""
    stated = subjects.crs(context, subject)
    if stated is not None and stated.code not in ("EPSG:4326", "EPSG:3857"):
        array = subject.finest(context)
        message = "the page does not say the CRS, so coordinates beyond 360 are taken for EPSG:3857"
        yield Fault(array.path, ("attributes", "proj:code"), message, stated.code, "the option proj4")


def known_axes(context: Context, subject: Subject) -> Iterator[Fault]:
    """Find rows and columns of other names than those that are looked for."""
    array = subject.finest(context)
    names = [name.lower() for name in context.dimension_names(array) or () if name is not None]
    if not (any(name in _ROWS for name in names) and any(name in _COLS for name in names)):
        yield Fault(array.path, ("dimension_names",), "rows and columns have other names", names, "y and x")


def _sizes_tiles(context: Context, subject: Subject, array: Node) -> bool:
    """Tell whether the source makes tiles of an array's chunks: of shards, and of chunks above its own tiles."""
    block = subject.pyramid.node.document.get("consolidated_metadata") if subject.pyramid is not None else None
    if not isinstance(block, dict):
        return False
    chunk = context.member(array, "chunk_grid", values.chunk_shape) or ()
    return needs.SHARDS in needs.outer_codecs(context, array) or max(chunk[-2:], default=0) > _TILE


OPENLAYERS = Reader(
    "OpenLayers",
    "10.11.0",
    (
        Condition(
            "GZ-20", "It counts tiles of small chunks in a tile_matrix_set, from its origin", legacy_tile_matrix_set
        ),
        Condition("RD-04", "It takes the extent of spatial:bbox, else of x and y", extent),
        Condition("RD-04", "It takes the CRS of the multiscale group", group_crs),
        Condition("SP-07", "It draws every level north up where box and shapes are stated", orientation),
        Condition("ZARR-10", "It decodes what zarrita decodes", needs.decodes(_ZARRITA)),
        Condition("XC-02", "It takes the resolution of a level of its stated shape", stated_shape, Loss.LEVELS),
        Condition("XC-05", "It stretches each level over one box", needs.stretched, Loss.ALIGNMENT),
        Condition("MS-18", "It finds the nodata of bands in consolidated metadata", consolidated, Loss.NODATA),
        Condition("ZARR-14", "It takes fill_value for nodata", needs.fill_is_nodata, Loss.NODATA),
    ),
    _ZARRITA,
    frozenset({Loss.PACKING}),
    "The page registers projected CRS with proj4.",
)

_SHARED = (
    Condition("CF-12", "It places cells by coordinate variables alone", needs.coordinates),
    Condition("CF-14", "It knows rows and columns by name", known_axes),
    Condition("ZARR-10", "It decodes what zarrita decodes", needs.decodes(_ZARRITA)),
    Condition("XC-05", "It stretches each level over one box", needs.stretched, Loss.ALIGNMENT),
    Condition("ZARR-14", "It takes fill_value for nodata", needs.fill_is_nodata, Loss.NODATA),
)

ZARR_LAYER = Reader(
    "zarr-layer",
    "0.5.0",
    (Condition("PJ-09", "It tells degrees and Web Mercator by the size of coordinates", mercator), *_SHARED),
    _ZARRITA,
    frozenset({Loss.CRS}),
    "A page that gives the CRS as the option `proj4` is the next row.",
)

ZARR_LAYER_PROJ4 = Reader("zarr-layer with proj4", "0.5.0", _SHARED, _ZARRITA, frozenset({Loss.CRS}))

READERS = (OPENLAYERS, ZARR_LAYER, ZARR_LAYER_PROJ4)
