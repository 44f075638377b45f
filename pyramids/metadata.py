"""The documents of a pyramid: what a plan and its statistics say in `zarr.json`, and the small arrays beside the data.

Pure: nothing is written here. What each key is for stands in docs/metadata.md. Documents of Zarr v2 have the form of v3
here, and differ where its readers do: see `_fill_value`, `_missing_value` and `_data_attributes`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from geozarr import cf, documents
from geozarr import levels as levels_module
from geozarr.crs import from_code, transformer
from geozarr.documents import ArrayLayout
from pyramids import shards

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
    zarr_format : int
        Version of Zarr.
    """

    values: NDArray[Any]
    dimensions: tuple[str, ...]
    attributes: dict[str, Any]
    zarr_format: int = 3

    @property
    def layout(self) -> ArrayLayout:
        """How it is stored; the fill value is never used, as its one chunk is always there."""
        fill = math.nan if self.values.dtype.kind == "f" else 0
        shape = self.values.shape
        return ArrayLayout(shape, self.values.dtype, self.dimensions, shape, None, fill, self.zarr_format)

    def to_document(self) -> dict[str, Any]:
        """Return its `zarr.json`; in Zarr v2, where the fill value means "missing" to xarray, it has none."""
        codecs = shards.chunk_codecs(self.values.dtype, checksum=False, size=self.values.nbytes)
        document = documents.array_document(self.layout, codecs=codecs, attributes=self.attributes)
        return document if self.zarr_format == 3 else {**document, "fill_value": None}

    def to_object(self) -> tuple[str, bytes]:
        """Key of its one chunk below the array, and the bytes."""
        return self.layout.object_key(*(0,) * self.values.ndim), shards.encode_chunk(self.values)


def small_arrays(plan: Plan, level: int) -> dict[str, SmallArray]:
    """Return the grid mapping and coordinate variables of a level, by name, in the order in which they are listed."""
    grid = plan.levels.levels[level].grid
    y, x = plan.levels.dimensions
    made = partial(SmallArray, zarr_format=plan.zarr_format)
    arrays = {
        cf.GRID_MAPPING: made(np.array(0, np.int64), (), cf.grid_mapping_attributes(grid)),
        y: made(grid.y_centres(), (y,), cf.y_attributes(grid.crs)),
        x: made(grid.x_centres(), (x,), cf.x_attributes(grid.crs)),
    }
    for variable in plan.stored(level):
        for axis in variable.leading:
            arrays.setdefault(axis.name, made(_axis_values(axis), (axis.name,), dict(axis.attributes)))
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
    group = partial(documents.group_document, zarr_format=plan.zarr_format)
    for folder in dict.fromkeys(level.asset.rpartition("/")[0] for level in plan.levels.levels):
        if folder:
            nodes[folder] = group({})
    for number, level in enumerate(plan.levels.levels):
        nodes[level.asset] = group(levels_module.level_attributes(level.grid, dimensions=plan.levels.dimensions))
        for name, array in small_arrays(plan, number).items():
            nodes[f"{level.asset}/{name}"] = array.to_document()
        for variable in plan.stored(number):
            attributes = _data_attributes(plan, variable, level.grid)
            if number > variable.first:
                attributes |= _cell_methods(variable)
            summary = summaries.get(variable.name)
            is_first = number == variable.first
            if is_first and summary is not None and variable.name not in plan.alphas:
                # Of opacity only what is not transparent was counted, which says nothing.
                attributes |= _statistics(summary, variable)
            layout = plan.layout(number, variable)
            size = math.prod(layout.chunk) * variable.dtype.itemsize
            checksum = layout.shard is not None
            codecs = shards.chunk_codecs(variable.dtype, checksum=checksum, size=size, codec=variable.codec)
            document = documents.array_document(layout, codecs=codecs, attributes=attributes)
            nodes[f"{level.asset}/{variable.name}"] = {**document, "fill_value": _fill_value(plan, variable)}
    root = group({"Conventions": f"{cf.CONVENTIONS} ACDD-1.3", **plan.levels.to_attributes(), **_extent(plan)})
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
        attributes["ancillary_variables"] = variable.alpha
    elif variable.nodata is not None:
        attributes["_FillValue"] = _missing_value(variable.nodata, variable, plan.zarr_format)
    if plan.zarr_format == 2:
        # GDAL before 3.9 finds the CRS of an array nowhere else.
        attributes["_CRS"] = {"wkt": grid.crs.wkt2}
    return attributes


def _fill_value(plan: Plan, variable: PlannedVariable) -> Any:
    """Value of absent chunks. In Zarr v2 xarray masks it, so that the placeholder of data without nodata is left out.

    What is absent then is undefined, and nobody looks at it: `alpha` says that it is missing, or no chunk is absent.
    `alpha` itself keeps its 0, without which zarr-python 2 would make up values.
    """
    is_placeholder = variable.nodata is None and variable.name not in plan.alphas
    if plan.zarr_format == 2 and is_placeholder:
        return None
    return cf.encode_fill_value(variable.fill_value, variable.dtype)


def _missing_value(nodata: float, variable: PlannedVariable, zarr_format: int) -> Any:
    """Write `_FillValue` as xarray reads it: of floats in Zarr v3 base64, in v2 what `fill_value` says."""
    encode = cf.encode_missing_value if zarr_format == 3 else cf.encode_fill_value
    return encode(nodata, variable.dtype)


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


def _axis_values(axis: Axis) -> NDArray[Any]:
    values = np.array(axis.coordinates)
    return values.astype(np.int64 if values.dtype.kind in "iu" else np.float64)
