"""The documents of a pyramid: what a plan and its statistics say in `zarr.json`, and the small arrays beside the data.

Pure: nothing is written here. What each key is for stands in docs/metadata.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import cf, documents
from geozarr import levels as levels_module
from geozarr.crs import from_code, transformer
from geozarr.documents import ArrayLayout
from pyramids import shards
from pyramids.plan import ALPHA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from geozarr import Grid
    from pyramids.plan import Plan, PlannedVariable
    from pyramids.sources.source import Axis
    from pyramids.statistics import Summary

Documents = dict[str, dict[str, Any]]
# Names of CF Appendix E. The union of bits has none, so that nothing is stated of it.
_CELL_METHODS = {
    "average": "mean",
    "nearest": "point",
    "min": "minimum",
    "max": "maximum",
    "sum": "sum",
    "mode": "mode",
    "median": "median",
}


@dataclass(frozen=True)
class SmallArray:
    """An array that is stored as one chunk.

    Parameters
    ----------
    values : ndarray, 0-D or 1-D
        All of it.
    dimensions : tuple of str
        Its dimension names.
    attributes : dict
        Its attributes.
    """

    values: NDArray[Any]
    dimensions: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def layout(self) -> ArrayLayout:
        """How it is stored; the fill value is never used, as its one chunk is always there."""
        fill = math.nan if self.values.dtype.kind == "f" else 0
        shape = self.values.shape
        return ArrayLayout(shape, self.values.dtype, self.dimensions, shape, None, fill)

    def to_document(self) -> dict[str, Any]:
        """Return its `zarr.json`."""
        codecs = shards.chunk_codecs(self.values.dtype, checksum=False, size=self.values.nbytes)
        return documents.array_document(self.layout, codecs=codecs, attributes=self.attributes)

    def to_object(self) -> tuple[str, bytes]:
        """Key of its one chunk below the array, and the bytes."""
        return self.layout.object_key(*(0,) * self.values.ndim), shards.encode_chunk(self.values)


def small_arrays(plan: Plan, level: int) -> dict[str, SmallArray]:
    """Return the grid mapping and coordinate variables of a level, by name, in the order in which they are listed."""
    grid = plan.levels.levels[level].grid
    y, x = plan.levels.dimensions
    arrays = {
        cf.GRID_MAPPING: SmallArray(np.array(0, np.int64), (), cf.grid_mapping_attributes(grid)),
        y: SmallArray(grid.y_centres(), (y,), cf.y_attributes(grid.crs)),
        x: SmallArray(grid.x_centres(), (x,), cf.x_attributes(grid.crs)),
    }
    for variable in plan.variables:
        for axis in variable.leading:
            arrays.setdefault(axis.name, _axis_array(axis))
    return arrays


def node_documents(plan: Plan, summaries: Mapping[str, Summary | None]) -> tuple[dict[str, Any], Documents]:
    """Return all documents of a pyramid.

    Parameters
    ----------
    plan : Plan
        What was built.
    summaries : mapping of str to Summary or None
        Statistics of the finest level, by variable; None where nothing is valid.

    Returns
    -------
    root : dict
        Document of the multiscale group, with all others consolidated in it.
    nodes : dict
        Documents of the level groups and arrays by path; `spatial_ref` before the data arrays, since GDAL resolves
        `grid_mapping` only to entries that it has read.
    """
    nodes: Documents = {}
    for folder in dict.fromkeys(level.asset.rpartition("/")[0] for level in plan.levels.levels):
        if folder:
            nodes[folder] = documents.group_document({})
    for number, level in enumerate(plan.levels.levels):
        nodes[level.asset] = documents.group_document(
            levels_module.level_attributes(level.grid, dimensions=plan.levels.dimensions)
        )
        for name, array in small_arrays(plan, number).items():
            nodes[f"{level.asset}/{name}"] = array.to_document()
        for variable in plan.variables:
            attributes = _data_attributes(plan, variable, level.grid)
            if number:
                attributes |= _cell_methods(variable)
            summary = summaries.get(variable.name)
            if number == 0 and summary is not None and variable.name != ALPHA:  # opacity of what is data says nothing
                attributes |= _statistics(summary, variable)
            layout = plan.layout(number, variable)
            size = math.prod(layout.chunk) * variable.dtype.itemsize
            checksum = layout.shard is not None
            codecs = shards.chunk_codecs(variable.dtype, checksum=checksum, size=size, codec=variable.codec)
            nodes[f"{level.asset}/{variable.name}"] = documents.array_document(
                layout, codecs=codecs, attributes=attributes
            )
    root = documents.group_document(
        {"Conventions": f"{cf.CONVENTIONS} ACDD-1.3", **plan.levels.to_attributes(), **_extent(plan)}
    )
    return documents.consolidate(root, nodes), nodes


def _extent(plan: Plan) -> dict[str, Any]:
    """Where the data are, in degrees (ACDD 1.3): the levels themselves reach to the edges of the coarsest tiles.

    As in ACDD, a western bound above the eastern one means that the extent crosses the antimeridian.
    """
    if not plan.levels.crs.is_earth:
        return {}
    box = plan.levels.finest.grid.crop(plan.footprint).bounds
    to_degrees = transformer(plan.levels.crs, from_code("OGC:CRS84"))
    west, south, east, north = to_degrees.transform_bounds(*box, densify_pts=41)
    if not all(map(math.isfinite, (west, south, east, north))):
        return {}
    return {
        "geospatial_lon_min": west,
        "geospatial_lat_min": south,
        "geospatial_lon_max": east,
        "geospatial_lat_max": north,
    }


def _data_attributes(plan: Plan, variable: PlannedVariable, grid: Grid) -> dict[str, Any]:
    attributes = levels_module.level_attributes(grid, dimensions=plan.levels.dimensions)
    # Without `coordinates` a plain xarray.open_zarr leaves spatial_ref a data variable and rioxarray sees no CRS.
    attributes |= {"grid_mapping": cf.GRID_MAPPING, "coordinates": cf.GRID_MAPPING, **variable.attributes}
    if variable.uses_alpha:
        attributes["ancillary_variables"] = ALPHA
    elif variable.nodata is not None:
        attributes["_FillValue"] = cf.encode_missing_value(variable.nodata, variable.dtype)
    return attributes


def _cell_methods(variable: PlannedVariable) -> dict[str, Any]:
    """Say what a cell above the finest level is of those below it (CF 7.3); no field of a layout does by variable.

    Methods stand in the order in which they were applied, so that the source's own come first.
    """
    method = _CELL_METHODS.get(variable.fold_method)
    if method is None:
        return {}
    before = variable.attributes.get("cell_methods")
    stated = f"area: {method}"
    if not isinstance(before, str) or not before.strip():
        return {"cell_methods": stated}
    return {"cell_methods": before if before.strip().endswith(stated) else f"{before.strip()} {stated}"}


def _statistics(summary: Summary, variable: PlannedVariable) -> dict[str, Any]:
    """`actual_range` is CF's: unpacked and exact. `statistics` is ours: of the stored values, for a map's stretch."""
    low, high = summary.minimum, summary.maximum
    scale, offset = variable.attributes.get("scale_factor", 1), variable.attributes.get("add_offset", 0)
    attributes: dict[str, Any] = {"statistics": summary.to_attributes()}
    if math.isfinite(low) and math.isfinite(high):
        ends = sorted((low * scale + offset, high * scale + offset))
        attributes["actual_range"] = ends
    return attributes


def _axis_array(axis: Axis) -> SmallArray:
    values = np.array(axis.coordinates)
    dtype = np.int64 if values.dtype.kind in "iu" else np.float64
    return SmallArray(values.astype(dtype), (axis.name,), dict(axis.attributes))
