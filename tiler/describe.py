"""What the service says about a pyramid in JSON: its description, its TileJSON, the values at a point."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import cf
from geozarr import crs as crs_module
from geozarr.errors import UnsupportedError
from geozarr.grid import Bounds
from tiler import dimensions as dimensions_module
from tiler import select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geozarr import CRS, Levels
    from geozarr.tms import TileMatrix
    from tiler.block import Block
    from tiler.dimensions import Dimension
    from tiler.pyramid import Band, Pyramid, Variable
    from tiler.select import Tileset

_WHOLE_GLOBE = Bounds(-180.0, -90.0, 180.0, 90.0)


@cache
def longitude_latitude() -> CRS:
    """CRS of longitude and latitude in degrees on WGS 84, in this order everywhere in this project."""
    return crs_module.from_code("EPSG:4326")


def geographic_bounds(pyramid: Pyramid) -> Bounds:
    """Box of a pyramid's data in degrees, else of its levels; the whole globe where its CRS does not say."""
    if pyramid.data_bounds is not None:
        return pyramid.data_bounds
    levels = pyramid.levels
    if not levels.crs.is_earth:  # what is on another body has no place here
        return _WHOLE_GLOBE
    bounds = select.transform_bounds(levels.finest.grid.bounds, levels.crs, longitude_latitude())
    return _WHOLE_GLOBE if bounds is None else bounds


def info(pyramid: Pyramid, known: Sequence[Dimension] = (), *, name: str, tms_id: str | None) -> dict[str, Any]:
    """Describe a pyramid.

    Parameters
    ----------
    pyramid : Pyramid
        The pyramid.
    known : sequence of Dimension
        Its dimensions before rows and columns, as `PyramidSource.dimensions` has them; others have positions only.
    name : str
        Its name in the service.
    tms_id : str or None
        The TileMatrixSet it is aligned with.

    Returns
    -------
    dict
        JSON: `bounds` in degrees, `crs`, `bbox` in CRS units, `levels` finest first, `variables` without masks.
    """
    levels = pyramid.levels
    by_place = {(dimension.name, dimension.size): dimension for dimension in known}
    return {
        "name": name,
        "bounds": list(geographic_bounds(pyramid)),
        "crs": levels.crs.code or levels.crs.wkt2,
        "bbox": list(levels.finest.grid.bounds),
        "tileMatrixSet": tms_id,
        "levels": [
            {"id": level.name, "shape": list(level.grid.shape), "cellSize": list(level.grid.cell_size)}
            for level in levels.levels
        ],
        "variables": [_variable(variable, pyramid.levels, by_place) for variable in pyramid.data_variables],
        "picture": [band.name for band in pyramid.bands(())],
    }


def _variable(variable: Variable, levels: Levels, by_place: dict[tuple[str, int], Dimension]) -> dict[str, Any]:
    statistics = variable.statistics
    leading = (by_place.get(place) or dimensions_module.index(*place) for place in variable.leading)
    return {
        "name": variable.name,
        "dtype": variable.dtype.name,
        "levels": [level.name for index, level in enumerate(levels.levels) if index in variable.available],
        "dimensions": [
            {**_dimension(item), "first": item.label(0), "last": item.label(item.size - 1)} for item in leading
        ],
        "band_names": list(variable.band_names),
        "long_name": variable.long_name,
        "units": variable.units,
        "scale_factor": variable.scale_factor,
        "add_offset": variable.add_offset,
        "nodata": None if variable.nodata is None else cf.encode_fill_value(variable.nodata, variable.dtype),
        "mask": variable.alpha,
        "color_interpretation": list(variable.color_interpretation),
        "statistics": statistics
        and {"min": statistics.minimum, "max": statistics.maximum, "p2": statistics.low, "p98": statistics.high},
    }


def dimensions(known: Sequence[Dimension]) -> dict[str, Any]:
    """Tell the dimensions before rows and columns.

    Returns
    -------
    dict
        JSON: `dimensions` with `name`, `size`, `kind`, `units`, `long_name`, and `labels`: a text for each position,
        which chooses it in `sel`, null where it has no value. A dimension without a coordinate that is longer than
        `tiler.dimensions.MAX_LABELS` has none; its positions from 0 choose.
    """
    return {"dimensions": [{**_dimension(item), "labels": list(item.labels)} for item in known]}


def _dimension(dimension: Dimension) -> dict[str, Any]:
    keys = ("name", "size", "kind", "units", "long_name")
    return {key: getattr(dimension, key) for key in keys}


def tilejson(pyramid: Pyramid, tileset: Tileset, *, name: str, tile_url: str) -> dict[str, Any]:
    """Describe tiles as TileJSON 3.0, with what a client needs to draw a set that is not Web Mercator.

    Parameters
    ----------
    pyramid : Pyramid
        The pyramid.
    tileset : Tileset
        The set as the pyramid serves it.
    name : str
        Name of the dataset.
    tile_url : str
        Address of a tile with `{z}`, `{x}` and `{y}`.

    Returns
    -------
    dict
        TileJSON; besides, `crs`, its `unit` as UDUNITS reads it and `metresPerUnit`, `bbox` in its units, and
        `tileMatrices` with the x, y of each `topLeft` corner.

    Raises
    ------
    UnsupportedError
        If ids of the set are not numbers, as TileJSON's zooms are.
    """
    tms = tileset.tms
    if not all(matrix_id.isdecimal() for matrix_id in tms.ids):
        raise UnsupportedError(f"TileJSON of {tms.id}", "its tile matrices are not numbered")
    bounds = geographic_bounds(pyramid)
    minzoom, maxzoom = int(tileset.minzoom), int(tileset.maxzoom)
    if pyramid.data_bounds is not None:
        box = select.transform_bounds(pyramid.data_bounds, longitude_latitude(), tms.crs)
    else:
        box = select.transform_bounds(pyramid.levels.finest.grid.bounds, pyramid.levels.crs, tms.crs)
    extent = tms.matrix_grid(tms.ids[0]).bounds
    return {
        "tilejson": "3.0.0",
        "name": name,
        "version": "1.0.0",
        "scheme": "xyz",
        "tiles": [tile_url],
        "minzoom": minzoom,
        "maxzoom": maxzoom,
        "bounds": list(bounds),
        "center": [(bounds.xmin + bounds.xmax) / 2, (bounds.ymin + bounds.ymax) / 2, minzoom],
        "crs": tms.crs.code,
        "unit": tms.crs.unit,
        "metresPerUnit": tms.crs.metres_per_unit,
        "bbox": list(extent if box is None else _clip(box, extent)),
        "tileMatrices": [_matrix(matrix) for matrix in tms.tileMatrices],
    }


def _clip(box: Bounds, extent: Bounds) -> Bounds:
    """Part of a box within an extent; projections put the poles far outside any map."""
    lower = (min(max(value, low), high) for value, low, high in zip(box[:2], extent[:2], extent[2:], strict=True))
    upper = (min(max(value, low), high) for value, low, high in zip(box[2:], extent[:2], extent[2:], strict=True))
    return Bounds(*lower, *upper)


def _matrix(matrix: TileMatrix) -> dict[str, Any]:
    return {
        "id": matrix.id,
        "cellSize": matrix.cellSize,
        "topLeft": list(matrix.top_left),
        "cornerOfOrigin": matrix.cornerOfOrigin,
        "tileWidth": matrix.tileWidth,
        "tileHeight": matrix.tileHeight,
        "matrixWidth": matrix.matrixWidth,
        "matrixHeight": matrix.matrixHeight,
    }


def point(block: Block, bands: Sequence[Band], *, x: float, y: float) -> dict[str, Any]:
    """State the values of a cell, with the keys that TiTiler uses.

    Returns
    -------
    dict
        `coordinates` as asked, `values` exactly as stored (null where there is no data), `band_names` and
        `band_descriptions`.
    """
    cells = zip(block.values[:, 0, 0], block.mask[:, 0, 0], strict=True)
    return {
        "coordinates": [x, y],
        "values": [_json_value(value) if valid else None for value, valid in cells],
        "band_names": [f"b{index + 1}" for index in range(len(bands))],
        "band_descriptions": [band.name for band in bands],
    }


def _json_value(value: np.generic) -> Any:
    """Return a number; infinities, which JSON lacks, as Zarr spells them."""
    number = value.item()
    return number if math.isfinite(number) else cf.encode_fill_value(number, np.dtype(value.dtype))


_SAMPLES = 33  # points a side of a grid, as `select.transform_bounds` takes them
_NOISE = 1e-9  # degrees, 0.1 mm on the ground: rounding of a transformation
_GAP = 45.0  # degrees; longitudes of samples lie closer, but about a pole, which is looked for by itself


def geojson_bounds(pyramid: Pyramid) -> Bounds | None:
    """Box of a pyramid's data in degrees, its west above its east where it crosses the antimeridian (RFC 7946, 5.2).

    Longitudes of 0 to 360 are brought to -180 to 180. What leaves no gap of 45 degrees goes all around the Earth,
    unless its longitudes are known not to.

    Returns
    -------
    Bounds or None
        None for a pyramid that is not on the Earth.
    """
    levels = pyramid.levels
    if not levels.crs.is_earth:
        return None
    box = geographic_bounds(pyramid)
    south, north = max(box.ymin, -90.0), min(box.ymax, 90.0)
    if pyramid.data_bounds is not None:
        return Bounds(box.xmin, south, box.xmax, north)
    for latitude in (-90.0, 90.0):
        pole = select.transform_point(0.0, latitude, longitude_latitude(), levels.crs)
        if pole is not None and not levels.crs.is_geographic and _is_within(pole, levels.finest.grid.bounds):
            return Bounds(-180.0, min(south, latitude), 180.0, max(north, latitude))
    gap = _gap(_longitudes(pyramid))
    if gap is None:
        west, east = (box.xmin, box.xmax) if box.xmin >= -180 and box.xmax <= 180 else (-180.0, 180.0)
    else:
        west, east = gap[1], gap[0]
    return Bounds(west, south, east, north)


def _is_within(point: tuple[float, float], bounds: Bounds) -> bool:
    return bounds.xmin < point[0] < bounds.xmax and bounds.ymin < point[1] < bounds.ymax


def _longitudes(pyramid: Pyramid) -> NDArray[np.float64]:
    """Longitudes of points all over a pyramid, sorted, from -180 to 180."""
    levels = pyramid.levels
    bounds = levels.finest.grid.bounds
    x, y = np.meshgrid(np.linspace(bounds.xmin, bounds.xmax, _SAMPLES), np.linspace(bounds.ymin, bounds.ymax, _SAMPLES))
    transformer = crs_module.transformer(levels.crs, longitude_latitude())
    longitudes = np.asarray(transformer.transform(x.ravel(), y.ravel())[0])
    longitudes = longitudes[np.isfinite(longitudes)]
    is_edge = np.abs(np.abs(longitudes) - 180) < _NOISE
    turned = np.where(np.abs(longitudes) <= 180, longitudes, (longitudes + 180) % 360 - 180)
    return np.sort(np.where(is_edge, np.copysign(180.0, longitudes), turned))


def _gap(longitudes: NDArray[np.float64]) -> tuple[float, float] | None:
    """Longitudes between which there is nothing, going east; None where there is no such gap of note."""
    if not longitudes.size:
        return None
    starts, ends = longitudes, np.append(longitudes[1:], longitudes[0] + 360)
    widest = int(np.argmax(ends - starts))
    if ends[widest] - starts[widest] <= _GAP:
        return None
    start, end = float(starts[widest]), float(ends[widest])
    # The antimeridian itself is 180 as an eastern edge, and -180 as a western one.
    return (180.0 if start == -180 else start), (end - 360 if end >= 180 else end)


def infogeojson(pyramid: Pyramid, description: dict[str, Any]) -> dict[str, Any]:
    """Describe a pyramid as a GeoJSON feature.

    Parameters
    ----------
    pyramid : Pyramid
        The pyramid.
    description : dict
        What `info` says of it, with what the service adds.

    Returns
    -------
    dict
        A Feature with the box of the data as its geometry, in longitude and latitude, cut in two at the antimeridian
        where the box crosses it; without geometry where the pyramid is not on the Earth. Its properties are the
        description.

    References
    ----------
    RFC 7946, 3.1.6 (order of a ring), 3.1.9 (antimeridian), 3.2 (a feature without a place), 5.2 (`bbox`).
    """
    feature: dict[str, Any] = {"type": "Feature", "geometry": None, "properties": description}
    bounds = geojson_bounds(pyramid)
    if bounds is None:
        return feature
    west, south, east, north = bounds
    spans = [(west, east)] if west <= east else [(west, 180.0), (-180.0, east)]
    rings = [[[left, south], [right, south], [right, north], [left, north], [left, south]] for left, right in spans]
    geometry: dict[str, Any] = {"type": "Polygon", "coordinates": [rings[0]]}
    if len(rings) > 1:
        geometry = {"type": "MultiPolygon", "coordinates": [[ring] for ring in rings]}
    return {**feature, "bbox": list(bounds), "geometry": geometry}
