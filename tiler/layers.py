"""What a pyramid offers as map layers, and where: what the documents of OGC API Tiles and of WMTS have in common."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geozarr.errors import ParameterError, TileOutsideLimitsError
from geozarr.grid import Bounds
from tiler import describe, picture, select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from geozarr import CRS
    from geozarr.tms import TileLimits, TileMatrix
    from tiler.axes import Axis
    from tiler.pyramid import Pyramid
    from tiler.select import Tileset

MAX_LAYERS = 64  # variables that are offered; a document with more is of no use to people
FORMATS = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}  # of tiles, by what ends their address
_PLAIN = re.compile(r"[A-Za-z0-9_.:~-]{1,200}")


@dataclass(frozen=True)
class Layer:
    """A picture that clients can ask for.

    Parameters
    ----------
    variable : str or None
        The variable that it shows; None for the natural picture, which is shown where no variable is named.
    title : str
        Name for people.
    units : str or None
        CF units of the variable.
    axes : tuple of (Axis, int)
        Axes along which a step can be chosen, and the position that is shown where none is.
    """

    variable: str | None
    title: str
    units: str | None
    axes: tuple[tuple[Axis, int], ...]


def layers_of(pyramid: Pyramid, axes: Sequence[Axis], *, name: str) -> tuple[Layer, ...]:
    """List what can be drawn: the natural picture, then each variable by itself.

    Parameters
    ----------
    pyramid : Pyramid
        The pyramid.
    axes : sequence of Axis
        Its dimensions.
    name : str
        Title of the natural picture.

    Returns
    -------
    tuple of Layer
        At most `MAX_LAYERS` variables. Left out are those that have neither statistics nor a range of their own to be
        stretched by, and those whose name cannot stand in an address.
    """
    layers = [Layer(None, name, None, _axes(pyramid, axes, ()))] if _can_be_drawn(pyramid, ()) else []
    for variable in pyramid.data_variables:
        if len(layers) > MAX_LAYERS:
            break
        names = (variable.name,)
        if _can_be_named(variable.name) and _can_be_drawn(pyramid, names):
            title = variable.long_name or variable.name
            layers.append(Layer(variable.name, title, variable.units, _axes(pyramid, axes, names)))
    return tuple(layers)


def _can_be_named(name: str) -> bool:
    """Tell whether a request can name a variable: commas part names there, and the rest has no UTF-8 or no sight."""
    return name.isprintable() and "," not in name


def _can_be_drawn(pyramid: Pyramid, names: tuple[str, ...]) -> bool:
    try:
        picture.compose(pyramid, picture.Wish(variables=names))
    except ParameterError:
        return False
    return True


def _axes(pyramid: Pyramid, axes: Sequence[Axis], names: tuple[str, ...]) -> tuple[tuple[Axis, int], ...]:
    """Axes that all bands of a picture have and stand at the same step of; the axis of its colours is not one."""
    steps = [list(zip(band.variable.leading, band.lead, strict=True)) for band in pyramid.bands(names)]
    shared = [step for step in steps[0] if all(step in other for other in steps)]
    by_shape = {(axis.name, axis.size): axis for axis in axes}
    return tuple((by_shape[dimension], position) for dimension, position in shared if dimension in by_shape)


def bounds_in(pyramid: Pyramid, crs: CRS) -> Bounds | None:
    """Box of a pyramid's data in another CRS, in its units; None where it has no image there.

    Raises
    ------
    UnsupportedError
        If there is no transformation between the two.
    """
    if pyramid.data_bounds is not None and pyramid.levels.crs.is_earth:
        return select.transform_bounds(pyramid.data_bounds, describe.longitude_latitude(), crs)
    return select.transform_bounds(pyramid.levels.finest.grid.bounds, pyramid.levels.crs, crs)


def bounds_within(pyramid: Pyramid, tileset: Tileset) -> Bounds | None:
    """Box of a pyramid's data in the CRS of a set, as far as the set reaches; None where it does not reach them."""
    box = bounds_in(pyramid, tileset.tms.crs)
    extent = tileset.tms.matrix_grid(tileset.minzoom).bounds
    if box is None:
        return None
    clipped = Bounds(
        max(box.xmin, extent.xmin), max(box.ymin, extent.ymin), min(box.xmax, extent.xmax), min(box.ymax, extent.ymax)
    )
    return clipped if clipped.xmin < clipped.xmax and clipped.ymin < clipped.ymax else None


def matrices_of(tileset: Tileset) -> tuple[TileMatrix, ...]:
    """Matrices of a set that a pyramid is offered in: from its coarsest to its finest level's."""
    tms = tileset.tms
    return tms.tileMatrices[tms.index_of(tileset.minzoom) : tms.index_of(tileset.maxzoom) + 1]


def limits_of(pyramid: Pyramid, tileset: Tileset) -> tuple[TileLimits, ...]:
    """Tiles that show something of a pyramid, of each matrix that it is offered in.

    Returns
    -------
    tuple of TileLimits
        Coarsest first. Of a stored level, its tiles; of other matrices, those that the box of the data touches. Empty
        where the set does not reach the data.

    References
    ----------
    OGC 17-083r4, 6.4: where limits are given, matrices without any have no tiles.
    """
    box = bounds_in(pyramid, tileset.tms.crs)
    found = []
    for matrix in matrices_of(tileset):
        if matrix.id in tileset.stored:
            found.append(tileset.limits_of_level(matrix.id))
        elif box is not None:
            try:
                found.append(tileset.tms.limits_of(matrix.id, box))
            except TileOutsideLimitsError:  # the data lie beside the set
                continue
    return tuple(found)


def is_plain(text: str) -> bool:
    """Tell whether a text stands in an address as it is: clients put values of templates there unescaped."""
    return _PLAIN.fullmatch(text) is not None


def in_axis_order(crs: CRS, x: float, y: float) -> list[float]:
    """Order coordinates as the CRS's authority lists its axes, as OGC documents want them."""
    return [y, x] if crs.is_northing_first else [x, y]


def crs_uri(crs: CRS) -> str | dict[str, Any]:
    """Name a CRS as OGC API documents do: its URI, or its definition where it has no code (17-083r4, crs.json)."""
    parts = _code_parts(crs)
    return {"wkt": crs.to_projjson()} if parts is None else "http://www.opengis.net/def/crs/{}/{}/{}".format(*parts)


def crs_urn(crs: CRS) -> str | None:
    """Name a CRS as OWS documents do (OGC 06-121r3, 10.7; 07-092r3); None where it has no code."""
    parts = _code_parts(crs)
    if parts is None:
        return None
    authority, version, number = parts
    return f"urn:ogc:def:crs:{authority}:{'' if version == '0' else version}:{number}"


def _code_parts(crs: CRS) -> tuple[str, str, str] | None:
    """Part a CRS's code into authority, version and number; version 0 means any."""
    if crs.code is None:
        return None
    authority, number = crs.code.split(":")
    authority, _, edition = authority.partition("_")  # PROJ's IAU_2015 is version 2015 of IAU
    return authority, edition or ("1.3" if authority == "OGC" else "0"), number
