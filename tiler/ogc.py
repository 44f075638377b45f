"""The service in the words of OGC API: landing page, conformance, collections, tilesets, tile matrix sets.

Each dataset is a collection, and has one tileset for each TileMatrixSet that it is served in. All addresses start with
`base`, which has no slash at its end; where it is empty, they start at the root of the host.

References
----------
OGC 20-057 (OGC API - Tiles 1.0), OGC 17-083r4 (TileMatrixSet and Tile Set Metadata 2.0), OGC 19-072 (OGC API - Common
1.0), OGC 20-024 (OGC API - Common - Part 2: Geospatial Data).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from geozarr.errors import UnknownNameError
from tiler import axes as axes_module
from tiler import describe, layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from geozarr.grid import Bounds
    from geozarr.tms import TileMatrixSet
    from tiler.axes import Axis
    from tiler.layers import Layer
    from tiler.pages import Entry
    from tiler.pyramid import Pyramid
    from tiler.select import Tileset

JSON = "application/json"
OPENAPI = "application/vnd.oai.openapi+json;version=3.1"
REL = "http://www.opengis.net/def/rel/ogc/1.0/"
_GREGORIAN = "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian"
_MAX_COORDINATES = 1000  # values of an axis that are listed; there are as many in WMTS capabilities
_EXACT = 2**53  # whole numbers below it are told from their neighbours by all readers of JSON
_REGISTERS = ("http://", "https://")
_VARIABLE_TYPES = {"time": "continuous", "number": "continuous", "index": "numericalOrdinal"}

# Only what holds for every dataset. Not among them: oas30, which asks for OpenAPI 3.0 and for an HTML page of it;
# dataset-tilesets, since the service has no tiles of all its datasets together; uad-collections, since nothing tells
# which concept an axis stands for.
CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/landing-page",
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/json",
    # The drafts that OGC API - Tiles refers to wrote http, the standard writes https.
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    "https://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    "https://www.opengis.net/spec/ogcapi-common-2/1.0/conf/json",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/tileset",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/tilesets-list",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/geodata-tilesets",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/png",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/jpeg",
    "http://www.opengis.net/spec/tms/2.0/conf/tilematrixset",
    "http://www.opengis.net/spec/tms/2.0/conf/tilematrixsetlimits",
    "http://www.opengis.net/spec/tms/2.0/conf/tilesetmetadata",
    "http://www.opengis.net/spec/tms/2.0/conf/json-tilematrixset",
    "http://www.opengis.net/spec/tms/2.0/conf/json-tilematrixsetlimits",
    "http://www.opengis.net/spec/tms/2.0/conf/json-tilesetmetadata",
)


def conformance() -> dict[str, Any]:
    """List the conformance classes that the service meets (19-072, `/conformance`)."""
    return {"conformsTo": list(CONFORMANCE)}


def landing_page(entries: Sequence[Entry], *, title: str, base: str) -> dict[str, Any]:
    """Describe the service and where its parts are (19-072, `/`).

    Parameters
    ----------
    entries : sequence of Entry
        Its datasets.
    title : str
        Name of the service.
    base : str
        Start of addresses.

    Returns
    -------
    dict
        JSON: `title`, `links`, and `datasets`, of which those that cannot be read have an `error`.
    """
    links = [
        _link("self", f"{base}/", "This document"),
        _link("alternate", f"{base}/?f=html", "This document as HTML", "text/html"),
        _link("service-desc", f"{base}/openapi.json", "Definition of the API", OPENAPI),
        _link(f"{REL}conformance", f"{base}/conformance", "Conformance classes"),
        _link("conformance", f"{base}/conformance", "Conformance classes"),
        _link("data", f"{base}/collections", "Datasets as collections"),
        _link(f"{REL}data", f"{base}/collections", "Datasets as collections"),
        _link(f"{REL}tiling-schemes", f"{base}/tileMatrixSets", "Tile matrix sets"),
    ]
    return {
        "title": title,
        "description": "Map tiles of GeoZarr pyramids",
        "links": links,
        "datasets": [_listed(entry, base) for entry in entries],
    }


def _listed(entry: Entry, base: str) -> dict[str, Any]:
    if entry.error is not None:
        return {"name": entry.name, "error": entry.error}
    address = f"{base}/{entry.name}"
    listed = {"name": entry.name, "title": entry.title, "map": entry.map_url, "info": f"{address}/info"}
    return listed if entry.bounds is None else {**listed, "bounds": list(entry.bounds)}


def collections(documents: Iterable[dict[str, Any]], *, base: str) -> dict[str, Any]:
    """List collections (20-024, `/collections`).

    Parameters
    ----------
    documents : iterable of dict
        What `collection` says of each.
    base : str
        Start of addresses.
    """
    return {"links": [_link("self", f"{base}/collections", "This document")], "collections": list(documents)}


def collection(
    pyramid: Pyramid, tilesets: Sequence[Tileset], axes: Sequence[Axis], *, name: str, base: str
) -> dict[str, Any]:
    """Describe a dataset as a collection (20-024, `/collections/{collectionId}`).

    Parameters
    ----------
    pyramid : Pyramid
        The pyramid.
    tilesets : sequence of Tileset
        Sets that it is served in.
    axes : sequence of Axis
        Its dimensions before rows and columns.
    name : str
        Its name in the service.
    base : str
        Start of addresses.

    Returns
    -------
    dict
        `extent` holds the box in degrees, which runs across the antimeridian where west is above east, the box in the
        units and the order of the CRS that the data are in, the times and every other axis. `crs` are those in which
        there are tiles.
    """
    address = f"{base}/{name}"
    document: dict[str, Any] = {
        "id": name,
        "title": name,
        "dataType": "coverage",
        "extent": _extent(pyramid, axes, address),
        "crs": _each_once([layers.crs_uri(tileset.tms.crs) for tileset in tilesets]),
        "storageCrs": layers.crs_uri(pyramid.levels.crs),
    }
    document["links"] = [
        _link("self", f"{base}/collections/{name}", "This document"),
        _link(f"{REL}tilesets-map", f"{base}/collections/{name}/map/tiles", "Map tiles"),
        _link("preview", f"{address}/map", "Map", "text/html"),
        _link("describedby", f"{address}/info", "Description"),
        _link("describedby", f"{address}/info.geojson", "Place and description", "application/geo+json"),
        _link("describedby", f"{address}/dimensions", "Values along the dimensions"),
        _link("describedby", f"{address}/WMTSCapabilities.xml", "WMTS capabilities", "application/xml"),
        _link(f"{REL}legend", f"{address}/legend.png", "Legend", "image/png"),
    ]
    return document


def _extent(pyramid: Pyramid, axes: Sequence[Axis], address: str) -> dict[str, Any]:
    """Extent of a collection: its box, its times, and every other axis by its name."""
    extent: dict[str, Any] = {}
    levels = pyramid.levels
    bounds = describe.geojson_bounds(pyramid)
    if bounds is not None:
        box = levels.finest.grid.bounds
        lower, upper = (layers.in_axis_order(levels.crs, *corner) for corner in (box[:2], box[2:]))
        extent["spatial"] = {"bbox": [list(bounds)], "storageCrsBbox": [[*lower, *upper]]}
    times = sorted(filter(_is_gregorian, axes), key=lambda axis: axis.name.lower() != "time")
    first = times[0] if times else None
    if first is not None:
        extent["temporal"] = _axis_extent(first, address)
    for axis in axes:
        if axis is not first and axis.name not in ("spatial", "temporal"):
            extent[axis.name] = _axis_extent(axis, address)
    return {name: part for name, part in extent.items() if part}


def _axis_extent(axis: Axis, address: str) -> dict[str, Any]:
    """Tell ends and steps of an axis (20-024, additionalDimensionExtent.yaml); nothing where it has no values."""
    interval = axes_module.interval_of(axis)
    if interval is None:
        return {}
    read = _reader(axis)
    extent: dict[str, Any] = {"interval": [[read(label) for label in interval]]}
    if _is_gregorian(axis):
        extent["trs"] = _GREGORIAN
    else:
        extent["definition"] = f"{address}/dimensions#{quote(axis.name, safe='', errors='replace')}"
        extent["variableType"] = _VARIABLE_TYPES.get(axis.kind, "categoricalNominal")
        if axis.units and axis.kind == "number":
            extent |= {"unit": axis.units, "unitLang": "UDUNITS"}
    if axis.long_name:
        extent["description"] = axis.long_name
    grid = _grid(axis)
    return extent | ({"grid": grid} if grid else {})


def _grid(axis: Axis) -> dict[str, Any] | None:
    """Values of an axis, by their distance where they are regular; None where they are not, and too many to list."""
    span = axes_module.span_of(axis)
    values = axes_module.values_of(axis, most=_MAX_COORDINATES)
    if span is not None:
        first, _, step = span
        count = axis.size if not axis.labels else len(set(filter(None, axis.labels)))
        resolution = step if axis.kind == "time" else float(step)
        return {"cellsCount": count, "resolution": resolution, "firstCoordinate": _reader(axis)(first)}
    if values is None:
        return None
    return {"cellsCount": len(values), "coordinates": list(map(_reader(axis), values))}


def _is_gregorian(axis: Axis) -> bool:
    """Tell whether an axis has dates or times of the Gregorian calendar, which RFC 3339 can write."""
    labels = [label for label in axis.labels if label] if axis.kind == "time" else []
    return bool(labels) and all(axes_module.instant(label) is not None for label in labels)


def _reader(axis: Axis) -> Callable[[str], float | str]:
    """Return what turns labels into values of JSON: numbers, RFC 3339 of Gregorian times, else the texts."""
    if axis.kind in ("number", "index"):
        return _number
    return _date_time if _is_gregorian(axis) else str


def _number(label: str) -> float:
    number = float(label)
    return int(number) if number.is_integer() and abs(number) < _EXACT else number


def _date_time(label: str) -> str:
    moment = axes_module.instant(label)
    assert moment is not None, "asked of Gregorian axes only"
    return f"{moment.isoformat()}Z"


def tilesets(sets: Sequence[Tileset], *, name: str, base: str) -> dict[str, Any]:
    """List the tilesets of a dataset (20-057, requirements class "Tilesets List").

    Parameters
    ----------
    sets : sequence of Tileset
        Sets that the dataset is served in, the best one first.
    name : str
        Name of the dataset.
    base : str
        Start of addresses.
    """
    at = f"{base}/collections/{name}/map/tiles"
    return {
        "links": [_link("self", at, "This document")],
        "tilesets": [
            {
                **_identity(item, name),
                "links": [_link("self", f"{at}/{_part(item.tms.id)}", "Tileset"), _scheme(item, base)],
            }
            for item in sets
        ],
    }


def tileset(pyramid: Pyramid, item: Tileset, axes: Sequence[Axis], *, name: str, base: str) -> dict[str, Any]:
    """Describe a tileset (20-057, requirements class "Tileset"; 17-083r4, tileSet.json).

    Parameters
    ----------
    pyramid : Pyramid
        The pyramid.
    item : Tileset
        A set as the pyramid serves it.
    axes : sequence of Axis
        Its dimensions before rows and columns.
    name : str
        Name of the dataset.
    base : str
        Start of addresses.

    Returns
    -------
    dict
        JSON. `boundingBox` and `centerPoint` have the order of the set's CRS. The variables that can be drawn are its
        `layers`. `extents`, which is not of the standard, describes the axes as `collection` does, and those of a
        layer say which step is shown by default. A set that is registered nowhere is there as `tileMatrixSet`.

    Raises
    ------
    UnknownNameError
        If the set does not reach the data.
    """
    tms = item.tms
    limits = layers.limits_of(pyramid, item)
    box = layers.bounds_within(pyramid, item)
    if not limits or box is None:
        raise UnknownNameError(f"TileMatrixSet that shows {name}", tms.id, ())
    at = f"{base}/collections/{name}/map/tiles/{_part(tms.id)}"
    document = {
        **_identity(item, name),
        "version": pyramid.version,
        "mediaTypes": list(layers.FORMATS.values()),
        "tileMatrixSetLimits": [limit.to_document() for limit in limits],
        "boundingBox": _bounding_box(box, item),
        "centerPoint": _center(box, item),
    }
    if _uri(tms) is None:
        document["tileMatrixSet"] = tms.to_document()
    shown = [layer for layer in layers.layers_of(pyramid, axes, name=name) if layer.variable is not None]
    if shown:
        document["layers"] = [_layer(layer, document, item, at=at, address=f"{base}/{name}") for layer in shown]
    extents = {axis.name: _axis_extent(axis, f"{base}/{name}") for axis in axes}
    document["extents"] = {key: extent for key, extent in extents.items() if extent}
    document["links"] = [
        _link("self", at, "This document"),
        *_items(at, ""),
        _scheme(item, base),
        _link(f"{REL}geodata", f"{base}/collections/{name}", "Collection"),
        _link(f"{REL}conformance", f"{base}/conformance", "Conformance classes"),
        _link(f"{REL}legend", f"{base}/{name}/legend.png", "Legend", "image/png"),
    ]
    if all(matrix_id.isdecimal() for matrix_id in tms.ids):
        tilejson = f"{base}/{name}/{_part(tms.id)}/tilejson.json"
        document["links"].append(_link("alternate", tilejson, "TileJSON"))
    return document


def _identity(item: Tileset, name: str) -> dict[str, Any]:
    """Say what both a tileset and a list of tilesets do."""
    tms = item.tms
    identity = {"title": f"{name}, {tms.title or tms.id}", "dataType": "map", "crs": layers.crs_uri(tms.crs)}
    uri = _uri(tms)
    return identity if uri is None else {**identity, "tileMatrixSetURI": uri}


def _uri(tms: TileMatrixSet) -> str | None:
    """URI of a set that is registered.

    A URI that ends with another name is another set's: the one of WGS1984Quad, whose authority swaps the axes, is that
    of WorldCRS84Quad, and documents of stores may say anything.
    """
    is_its_own = tms.uri is not None and tms.uri.startswith(_REGISTERS) and tms.uri.rpartition("/")[2] == tms.id
    return tms.uri if is_its_own else None


def _bounding_box(box: Bounds, item: Tileset) -> dict[str, Any]:
    crs = item.tms.crs
    return {
        "lowerLeft": layers.in_axis_order(crs, box.xmin, box.ymin),
        "upperRight": layers.in_axis_order(crs, box.xmax, box.ymax),
        "crs": layers.crs_uri(crs),
        "orderedAxes": item.tms.to_document()["orderedAxes"],
    }


def _center(box: Bounds, item: Tileset) -> dict[str, Any]:
    """Middle of the data, in the coarsest matrix, where it is all in view."""
    crs, matrix = item.tms.crs, item.tms.matrix(item.minzoom)
    return {
        "coordinates": layers.in_axis_order(crs, (box.xmin + box.xmax) / 2, (box.ymin + box.ymax) / 2),
        "crs": layers.crs_uri(crs),
        "tileMatrix": matrix.id,
        "scaleDenominator": matrix.scaleDenominator,
        "cellSize": matrix.cellSize,
    }


def _layer(layer: Layer, tileset: dict[str, Any], item: Tileset, *, at: str, address: str) -> dict[str, Any]:
    assert layer.variable is not None, "the natural picture is the tileset itself"
    query = f"variable={_part(layer.variable)}"
    limits = tileset["tileMatrixSetLimits"]
    described = {
        "id": layer.variable,
        "title": layer.title,
        "dataType": "map",
        "crs": tileset["crs"],
        "boundingBox": tileset["boundingBox"],
        "minTileMatrix": limits[0]["tileMatrix"],
        "maxTileMatrix": limits[-1]["tileMatrix"],
        "maxCellSize": item.tms.matrix(limits[0]["tileMatrix"]).cellSize,
        "minCellSize": item.tms.matrix(limits[-1]["tileMatrix"]).cellSize,
        "links": [*_items(at, query), _link(f"{REL}legend", f"{address}/legend.png?{query}", "Legend", "image/png")],
    }
    extents = {}
    for axis, position in layer.axes:
        interval, default = axes_module.interval_of(axis), axes_module.label_of(axis, position)
        if interval is not None and default is not None:
            read = _reader(axis)
            extents[axis.name] = {"interval": [list(map(read, interval))], "default": read(default)}
    return {**described, "extents": extents} if extents else described


def _items(at: str, query: str) -> list[dict[str, Any]]:
    """Templates of tiles, one for each format."""
    return [
        {
            "rel": "item",
            "href": f"{at}/{{tileMatrix}}/{{tileRow}}/{{tileCol}}?{query}{'&' if query else ''}f={suffix}",
            "type": media_type,
            "title": f"Tile as {suffix.upper()}",
            "templated": True,
        }
        for suffix, media_type in layers.FORMATS.items()
    ]


def _scheme(item: Tileset, base: str) -> dict[str, Any]:
    return _link(f"{REL}tiling-scheme", f"{base}/tileMatrixSets/{_part(item.tms.id)}", "Tile matrix set")


def tile_matrix_sets(sets: Iterable[TileMatrixSet], *, base: str) -> dict[str, Any]:
    """List tile matrix sets (20-057, `/tileMatrixSets`).

    Parameters
    ----------
    sets : iterable of TileMatrixSet
        Those that the service knows.
    base : str
        Start of addresses.
    """
    listed = []
    for tms in sets:
        identity = {"id": tms.id, "title": tms.title or tms.id, "crs": layers.crs_uri(tms.crs)}
        uri = _uri(tms)
        links = [_link("self", f"{base}/tileMatrixSets/{_part(tms.id)}", "Definition")]
        listed.append(identity | ({} if uri is None else {"uri": uri}) | {"links": links})
    return {"tileMatrixSets": listed}


def _link(rel: str, href: str, title: str, media_type: str = JSON) -> dict[str, Any]:
    return {"rel": rel, "href": href, "type": media_type, "title": title}


def _part(text: str) -> str:
    """Text as a part of a path or a query; what UTF-8 lacks is a question mark, and found nowhere."""
    return quote(text, safe="", errors="replace")


def _each_once(values: list[Any]) -> list[Any]:
    return [value for index, value in enumerate(values) if value not in values[:index]]
