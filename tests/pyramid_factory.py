"""Small valid pyramids written by zarr-python, for tests of the readers; it shares no code with the builder.

The metadata come from `geozarr`, the levels from a plain float64 mean in numpy, the chunks from zarr-python's own
codecs.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from zarr.codecs import BloscCodec
from zarr.errors import UnstableSpecificationWarning

from geozarr import cf, documents, levels, store, tms

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from geozarr import Levels


@dataclass(frozen=True)
class Variable:
    """Finest values (..., row, col), nodata (None: none), leading dimension names, and extra attributes."""

    values: NDArray[Any]
    nodata: float | None = None
    leading: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)


def mean_by_two(values: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Mean of valid cells in 2 x 2 windows of even-sized arrays (not for chains: it forgets the weights)."""
    shape = (*values.shape[:-2], values.shape[-2] // 2, 2, values.shape[-1] // 2, 2)
    weight = valid.reshape(shape).sum(axis=(-3, -1))
    total = np.where(valid, values.astype(np.float64), 0).reshape(shape).sum(axis=(-3, -1))
    return total / np.maximum(weight, 1), weight > 0


def web_mercator_levels(*, zoom: int, count: int, row: int, col: int) -> Levels:
    """Levels of the descendants of one WebMercatorQuad tile at `zoom - count + 1`, down to `zoom`."""
    quad = tms.load("WebMercatorQuad")
    coarsest = str(zoom - count + 1)
    bounds = quad.tile_bounds(coarsest, row=row, col=col)
    return levels.from_tms(quad, quad.limits_of(coarsest, bounds), count=count, resampling_method="average")


@dataclass(frozen=True)
class Coordinate:
    """Values of a leading dimension, its attributes, and how many of them a chunk holds (None: all)."""

    values: NDArray[Any]
    attributes: dict[str, Any] = field(default_factory=dict)
    chunk: int | None = None
    fill_value: Any = 0


def write_pyramid(
    path: Path,
    layout: Levels,
    variables: dict[str, Variable],
    *,
    chunk: int = 256,
    shard: int | None = None,
    coordinates: dict[str, Coordinate] | None = None,
) -> Path:
    """Write a pyramid; each level's values are the rounded mean of the finest level's window."""
    root = zarr.open_group(path, mode="w", zarr_format=3)
    order: list[str] = []
    for step, level in enumerate(layout.levels):
        group = root.create_group(level.asset)
        group.attrs.update(levels.level_attributes(level.grid, dimensions=layout.dimensions))
        reference = group.create_array(cf.GRID_MAPPING, shape=(), dtype="int64")
        reference[...] = 0
        reference.attrs.update(cf.grid_mapping_attributes(level.grid))
        centres = {
            layout.dimensions[0]: (level.grid.y_centres(), cf.y_attributes(level.grid.crs)),
            layout.dimensions[1]: (level.grid.x_centres(), cf.x_attributes(level.grid.crs)),
        }
        order += [level.asset, f"{level.asset}/{cf.GRID_MAPPING}"]
        for name, (values, attributes) in centres.items():
            array = group.create_array(
                name, shape=values.shape, dtype="float64", dimension_names=(name,), fill_value=np.nan
            )
            array[...] = values
            array.attrs.update(attributes)
            order.append(f"{level.asset}/{name}")
        for name, coordinate in (coordinates or {}).items():
            _write_coordinate(group, name, coordinate)
            order.append(f"{level.asset}/{name}")
        for name, variable in variables.items():
            _write_variable(group, name, variable, layout, step, chunk=chunk, shard=shard)
            order.append(f"{level.asset}/{name}")
    root.attrs.update({"Conventions": cf.CONVENTIONS, **layout.to_attributes()})
    _consolidate(path, order)
    return path


def _write_coordinate(group: zarr.Group, name: str, coordinate: Coordinate) -> None:
    values = coordinate.values
    fill = "" if values.dtype.kind in "UT" else coordinate.fill_value
    with warnings.catch_warnings(category=UnstableSpecificationWarning, action="ignore"):  # text is an extension
        array = group.create_array(
            name,
            shape=values.shape,
            dtype=values.dtype,
            dimension_names=(name,),
            fill_value=fill,
            chunks=(coordinate.chunk or len(values),),
        )
    array[...] = values
    array.attrs.update(coordinate.attributes)


def _write_variable(
    group: zarr.Group, name: str, variable: Variable, layout: Levels, step: int, *, chunk: int, shard: int | None
) -> None:
    values = variable.values
    valid = np.ones(values.shape, bool)
    if variable.nodata is not None:
        valid = ~np.isnan(values) if np.isnan(variable.nodata) else values != variable.nodata
    weight, total = valid.astype(np.float64), np.where(valid, values.astype(np.float64), 0)
    for _ in range(step):
        rows, cols = total.shape[-2:]
        pad = [(0, 0)] * (total.ndim - 2) + [(0, rows % 2), (0, cols % 2)]
        total, weight = (np.pad(a, pad) for a in (total, weight))
        shape = (*total.shape[:-2], total.shape[-2] // 2, 2, total.shape[-1] // 2, 2)
        total, weight = (a.reshape(shape).sum(axis=(-3, -1)) for a in (total, weight))
    mean = total / np.maximum(weight, 1)
    rounded = np.rint(mean) if values.dtype.kind in "iu" else mean
    fill = variable.nodata if variable.nodata is not None else _placeholder(name, values.dtype)
    stored = np.where(weight > 0, rounded, fill).astype(values.dtype)
    lead = (1,) * len(variable.leading)
    grid = layout.levels[step].grid
    array = group.create_array(
        name,
        shape=stored.shape,
        dtype=stored.dtype,
        dimension_names=(*variable.leading, *layout.dimensions),
        fill_value=fill,
        chunks=(*lead, chunk, chunk),
        shards=(*lead, shard, shard) if shard else None,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", typesize=stored.dtype.itemsize),
    )
    array[...] = stored
    attributes = levels.level_attributes(grid, dimensions=layout.dimensions)
    attributes |= {"grid_mapping": cf.GRID_MAPPING, "coordinates": cf.GRID_MAPPING, "long_name": name}
    if variable.nodata is not None:
        attributes["_FillValue"] = cf.encode_missing_value(variable.nodata, stored.dtype)
    array.attrs.update(attributes | variable.attributes)


def _placeholder(name: str, dtype: np.dtype[Any]) -> float:
    if name == "alpha":
        return 0.0
    if dtype.kind == "f":
        return float("nan")
    return float(np.iinfo(dtype).max if dtype.kind == "u" else np.iinfo(dtype).min)


def _consolidate(path: Path, order: list[str]) -> None:
    """Put every node's document into the root, `spatial_ref` before the data arrays, as the builder does."""
    opened = store.open_store(path)
    nodes = store.walk(opened)
    root = nodes.pop("")
    ordered = {key: nodes[key] for key in order}
    store.write_document(opened, "", documents.consolidate(root, ordered))
