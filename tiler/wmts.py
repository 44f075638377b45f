"""WMTS 1.0.0 capabilities of a dataset: its layers, their dimensions, and templates of the addresses of their tiles.

Clients work out tiles from the corner and the scale of a matrix, so what they need is exact here: the corner has the
axis order of the CRS, and the scale denominator follows from the cell size by the pixel of 0.28 mm. A set is told only
in the matrices that the dataset is offered in, since not all clients heed limits.

The names of elements carry their prefixes as text: QGIS knows them by `ows:` and `xlink:`, and elements of WMTS by
none.

References
----------
OGC 07-057r7 (WMTS 1.0.0), OGC 06-121r3 (OWS Common 1.1.0), OGC 06-042 (WMS 1.3.0), C.2 and D.4: values of dimensions.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from geozarr.errors import UnsupportedError
from geozarr.tms import PIXEL_SIZE
from tiler import axes as axes_module
from tiler import describe, layers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geozarr.grid import Bounds
    from geozarr.tms import TileLimits, TileMatrix, TileMatrixSet
    from tiler.axes import Axis
    from tiler.layers import Layer
    from tiler.pyramid import Pyramid
    from tiler.select import Tileset

MEDIA_TYPE = "application/xml"
MAX_VALUES = 1000  # of a dimension that are listed; QGIS as well unfolds a range to at most 1000
_NAMESPACES = {
    "xmlns": "http://www.opengis.net/wmts/1.0",
    "xmlns:ows": "http://www.opengis.net/ows/1.1",
    "xmlns:xlink": "http://www.w3.org/1999/xlink",
    "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance",
}
_SCHEMA = "http://www.opengis.net/wmts/1.0 http://schemas.opengis.net/wmts/1.0/wmtsGetCapabilities_response.xsd"
_ISO_8601 = "ISO8601"  # the unit of times (WMS 1.3, C.3)
_STYLE = "default"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")  # names that OpenLayers finds in a template
_RESERVED = ("layer", "style", "tilematrixset", "tilematrix", "tilerow", "tilecol", "format")
# What XML 1.0 cannot carry (2.2, Char): control characters, half pairs of UTF-16, and two that are no characters.
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class _Offer:
    """A set as the dataset is offered in it.

    Parameters
    ----------
    tileset : Tileset
        The set.
    urn : str
        Name of its CRS.
    limits : tuple of TileLimits
        Tiles that show something, of each matrix.
    bounds : Bounds
        Box of the data, in the set's CRS and as far as the set reaches.
    """

    tileset: Tileset
    urn: str
    limits: tuple[TileLimits, ...]
    bounds: Bounds


@dataclass(frozen=True)
class _Dimension:
    """A dimension of a layer.

    Parameters
    ----------
    axis : Axis
        Where it comes from.
    values : tuple of str
        What is listed: values, or one span.
    default : str
        The value that is shown without a choice.
    method : str
        How the service finds the step: "exact" for listed values, "nearest" for those that a client makes from a span.
    """

    axis: Axis
    values: tuple[str, ...]
    default: str
    method: str


def why_not(pyramid: Pyramid, tileset: Tileset) -> str | None:
    """Say why WMTS cannot tell of a set, where it cannot; None where it can.

    WMTS names a CRS by its code and counts rows from the top; the names of the set and of its matrices become parts of
    addresses just as they are.
    """
    offer = _offer(pyramid, tileset)
    return offer if isinstance(offer, str) else None


def _offer(pyramid: Pyramid, tileset: Tileset) -> _Offer | str:
    """Find where a set shows the data, or why it cannot be told."""
    tms = tileset.tms
    urn = layers.crs_urn(tms.crs)
    if urn is None:
        return "its CRS has no code"
    if any(matrix.cornerOfOrigin != "topLeft" for matrix in layers.matrices_of(tileset)):
        return "its rows are counted from below"
    if not all(map(layers.is_plain, (tms.id, *tms.ids))):
        return "its name or those of its matrices cannot stand in an address"
    limits, bounds = layers.limits_of(pyramid, tileset), layers.bounds_within(pyramid, tileset)
    if not limits or bounds is None:
        return "it does not reach the data"
    return _Offer(tileset, urn, limits, bounds)


def capabilities(pyramid: Pyramid, tilesets: Sequence[Tileset], axes: Sequence[Axis], *, name: str, base: str) -> bytes:
    """Write the capabilities of a dataset.

    Parameters
    ----------
    pyramid : Pyramid
        The pyramid.
    tilesets : sequence of Tileset
        Sets that it is served in, the best one first; of each, `why_not` has nothing to say.
    axes : sequence of Axis
        Its dimensions before rows and columns.
    name : str
        Its name in the service.
    base : str
        Start of addresses, without a slash at its end. Clients of WMTS need a whole one, with scheme and host.

    Returns
    -------
    bytes
        XML in UTF-8. The first layer, `name`, is the natural picture; variables are layers named `name:variable`. A
        dimension keeps its name, and `{name}` stands for its value in the templates. A regular axis of times is told
        as `first/last/period`; of other values at most `MAX_VALUES` are listed, more as `first/last/step`, and for
        those that are made from such spans the nearest step is shown.

    Raises
    ------
    UnsupportedError
        If WMTS cannot tell of a set.
    """
    offers = []
    for tileset in tilesets:
        offer = _offer(pyramid, tileset)
        if isinstance(offer, str):
            raise UnsupportedError(f"WMTS of TileMatrixSet {tileset.tms.id}", offer)
        offers.append(offer)
    root = ET.Element("Capabilities", {**_NAMESPACES, "xsi:schemaLocation": _SCHEMA, "version": "1.0.0"})
    service = ET.SubElement(root, "ows:ServiceIdentification")
    _add(service, "ows:Title", name)
    _add(service, "ows:ServiceType", "OGC WMTS")
    _add(service, "ows:ServiceTypeVersion", "1.0.0")
    contents = ET.SubElement(root, "Contents")
    place = _place(pyramid)
    for layer in layers.layers_of(pyramid, axes, name=name):
        contents.append(_layer(layer, offers, place, name=name, base=base))
    contents.extend(map(_tile_matrix_set, offers))
    ET.SubElement(root, "ServiceMetadataURL", {"xlink:href": f"{base}/{name}/WMTSCapabilities.xml"})
    ET.indent(root, " ")
    document: bytes = ET.tostring(root, encoding="UTF-8", xml_declaration=True)
    return document


def _place(pyramid: Pyramid) -> Bounds | None:
    """Box in degrees from west to east; one across the antimeridian goes all around, since few clients turn it."""
    bounds = describe.geojson_bounds(pyramid)
    if bounds is None or bounds.xmin <= bounds.xmax:
        return bounds
    return bounds._replace(xmin=-180.0, xmax=180.0)


def _layer(layer: Layer, offers: Sequence[_Offer], place: Bounds | None, *, name: str, base: str) -> ET.Element:
    # Order of elements here and below: wmtsGetCapabilities_response.xsd.
    element = ET.Element("Layer")
    _add(element, "ows:Title", layer.title)
    if layer.units:
        _add(element, "ows:Abstract", f"{layer.variable} in {layer.units}")
    if place is not None:
        _add_box(element, "ows:WGS84BoundingBox", place[:2], place[2:])
    _add(element, "ows:Identifier", name if layer.variable is None else f"{name}:{layer.variable}")
    by_crs = {offer.urn: offer for offer in reversed(offers)}  # of sets in one CRS the first one
    for urn, offer in reversed(by_crs.items()):
        crs, bounds = offer.tileset.tms.crs, offer.bounds
        lower, upper = (layers.in_axis_order(crs, *corner) for corner in (bounds[:2], bounds[2:]))
        _add_box(element, "ows:BoundingBox", lower, upper).set("crs", urn)
    element.append(_style(layer, f"{base}/{name}"))
    for media_type in layers.FORMATS.values():
        _add(element, "Format", media_type)
    dimensions = _dimensions(layer)
    for dimension in dimensions:
        element.append(_dimension(dimension, is_the_time=_is_the_time(dimension, dimensions)))
    element.extend(map(_link, offers))
    query = _query(layer, dimensions)
    for suffix, media_type in layers.FORMATS.items():
        tiles = f"{base}/{name}/tiles/{{TileMatrixSet}}/{{TileMatrix}}/{{TileCol}}/{{TileRow}}.{suffix}"
        options = {"format": media_type, "resourceType": "tile", "template": tiles + query}
        ET.SubElement(element, "ResourceURL", options)
    return element


def _style(layer: Layer, address: str) -> ET.Element:
    element = ET.Element("Style", {"isDefault": "true"})
    _add(element, "ows:Identifier", _STYLE)
    href = f"{address}/legend.png" + ("" if layer.variable is None else f"?variable={quote(layer.variable, safe='')}")
    ET.SubElement(element, "LegendURL", {"format": "image/png", "xlink:href": href})
    return element


def _dimensions(layer: Layer) -> tuple[_Dimension, ...]:
    """Axes of a layer that templates can hold: by their name, and by values that stand in an address as they are."""
    found = []
    names: set[str] = set()
    for axis, position in layer.axes:
        key = axis.name.lower()  # QGIS and GDAL look for names in templates in either case
        dimension = _dimension_of(axis, position) if _VARIABLE.fullmatch(axis.name) else None
        if dimension is not None and key not in _RESERVED and key not in names:
            names.add(key)
            found.append(dimension)
    return tuple(found)


def _dimension_of(axis: Axis, position: int) -> _Dimension | None:
    """List an axis; None where no value of it can stand in an address."""
    values = axes_module.values_of(axis, most=MAX_VALUES)
    span = axes_module.span_of(axis) if axis.kind == "time" or values is None else None
    if span is None and values is None:
        span = axes_module.rough_span_of(axis)
    default = _value(axis, axes_module.label_of(axis, position))
    if span is not None:
        ends = (_value(axis, span.first), _value(axis, span.last))
        if None in ends:
            return None
        return _Dimension(axis, (f"{ends[0]}/{ends[1]}/{span.step}",), default or str(ends[0]), "nearest")
    labels = values if values is not None else axis.labels
    listed = [value for value in (_value(axis, label) for label in labels) if value is not None][:MAX_VALUES]
    return _Dimension(axis, tuple(listed), default or listed[0], "exact") if listed else None


def _value(axis: Axis, label: str | None) -> str | None:
    """Write a value for an address; None where it cannot stand there unescaped."""
    if not label:
        return None
    if axis.kind == "number":
        label = label.replace("e+", "e")  # the same number; a plus would be read as a blank
    return label if layers.is_plain(label) else None


def _is_the_time(dimension: _Dimension, dimensions: Sequence[_Dimension]) -> bool:
    """Tell whether QGIS is to animate a dimension: the one named time, else the first one of times."""
    times = [other for other in dimensions if other.axis.kind == "time"]
    times.sort(key=lambda other: other.axis.name.lower() != "time")
    return times[:1] == [dimension]


def _dimension(dimension: _Dimension, *, is_the_time: bool) -> ET.Element:
    axis = dimension.axis
    element = ET.Element("Dimension")
    # QGIS animates the dimension whose title or identifier is "time".
    _add(element, "ows:Title", "Time" if is_the_time else axis.long_name or axis.name)
    if is_the_time and axis.long_name:
        _add(element, "ows:Abstract", axis.long_name)
    _add(element, "ows:Identifier", axis.name)
    if axis.kind == "time":
        _add(element, "ows:UOM", _ISO_8601)
    elif axis.units:
        _add(element, "ows:UOM", axis.units)
    _add(element, "Default", dimension.default)
    for value in dimension.values:
        _add(element, "Value", value)
    return element


def _query(layer: Layer, dimensions: Sequence[_Dimension]) -> str:
    """Query of the template of a layer's tiles."""
    parts = [] if layer.variable is None else [f"variable={quote(layer.variable, safe='')}"]
    parts += [f"sel={item.axis.name}={item.method}::{{{item.axis.name}}}" for item in dimensions]
    return f"?{'&'.join(parts)}" if parts else ""


def _link(offer: _Offer) -> ET.Element:
    element = ET.Element("TileMatrixSetLink")
    _add(element, "TileMatrixSet", offer.tileset.tms.id)
    told = ET.SubElement(element, "TileMatrixSetLimits")
    for limits in offer.limits:
        one = ET.SubElement(told, "TileMatrixLimits")
        _add(one, "TileMatrix", limits.tileMatrix)
        _add(one, "MinTileRow", limits.minTileRow)
        _add(one, "MaxTileRow", limits.maxTileRow)
        _add(one, "MinTileCol", limits.minTileCol)
        _add(one, "MaxTileCol", limits.maxTileCol)
    return element


def _tile_matrix_set(offer: _Offer) -> ET.Element:
    tms = offer.tileset.tms
    element = ET.Element("TileMatrixSet")
    if tms.title:
        _add(element, "ows:Title", tms.title)
    _add(element, "ows:Identifier", tms.id)
    _add(element, "ows:SupportedCRS", offer.urn)
    for matrix in layers.matrices_of(offer.tileset):
        element.append(_tile_matrix(matrix, tms))
    return element


def _tile_matrix(matrix: TileMatrix, tms: TileMatrixSet) -> ET.Element:
    element = ET.Element("TileMatrix")
    _add(element, "ows:Identifier", matrix.id)
    # Not the set's own denominator: that of a few registered sets does not agree with their cells, and clients of WMTS
    # have nothing else to go by.
    _add(element, "ScaleDenominator", matrix.cellSize * tms.crs.metres_per_unit / PIXEL_SIZE)
    _add(element, "TopLeftCorner", _numbers(layers.in_axis_order(tms.crs, *matrix.top_left)))
    _add(element, "TileWidth", matrix.tileWidth)
    _add(element, "TileHeight", matrix.tileHeight)
    _add(element, "MatrixWidth", matrix.matrixWidth)
    _add(element, "MatrixHeight", matrix.matrixHeight)
    return element


def _add_box(parent: ET.Element, tag: str, lower: Sequence[float], upper: Sequence[float]) -> ET.Element:
    element = ET.SubElement(parent, tag)
    _add(element, "ows:LowerCorner", _numbers(lower))
    _add(element, "ows:UpperCorner", _numbers(upper))
    return element


def _add(parent: ET.Element, tag: str, value: float | str) -> None:
    """Add an element with a text, without the characters that XML cannot carry."""
    ET.SubElement(parent, tag).text = _NO_XML.sub("", str(value))


def _numbers(values: Sequence[float]) -> str:
    return " ".join(repr(float(value)) for value in values)
