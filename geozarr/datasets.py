"""Levels of a pyramid as xarray has them, lazily: documents and coordinates are read, pixels when they are asked for.

What rioxarray and odc-geo look for is where they look: the grid mapping is a coordinate that the data name, and the
rows and columns have coordinates. Where a writer left these out, they follow from the documents of the level.

Importing this module imports xarray and zarr-python, which take their time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from geozarr import cf
from geozarr.errors import GeoZarrError, StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from geozarr.grid import Grid
    from geozarr.zarr_view import TreeStore


@dataclass(frozen=True)
class Decoding:
    """How stored values become those of a dataset.

    Parameters
    ----------
    mask_and_scale : bool
        True: missing cells become NaN, and scale and offset are applied. False: values are those stored, and
        `_FillValue`, `scale_factor` and `add_offset` are attributes.
    decode_times : bool
        True: numbers since a date become times.
    chunks : mapping of str to int, or None
        Dask arrays with these chunks, `{}` for those stored; None: lazy arrays that need no Dask.
    """

    mask_and_scale: bool = True
    decode_times: bool = True
    chunks: Mapping[str, int] | None = None


def open_level(
    store: TreeStore,
    group: str,
    grid: Grid,
    *,
    dimensions: tuple[str, str],
    data: Sequence[str],
    decoding: Decoding,
) -> xr.Dataset:
    """Open the group of a level.

    Parameters
    ----------
    store : TreeStore
        Where; it shows those arrays of the group that are part of the level.
    group : str
        Path of the group.
    grid : Grid
        Pixels of the level.
    dimensions : tuple of (str, str)
        Names of rows and columns.
    data : sequence of str
        Its arrays over that grid.
    decoding : Decoding
        How stored values become those of the dataset.

    Raises
    ------
    StoreError
        If zarr-python or xarray cannot read what the documents describe, or the store fails.
    """
    try:
        dataset = xr.open_zarr(
            store,
            group=group or None,
            chunks=None if decoding.chunks is None else dict(decoding.chunks),
            mask_and_scale=decoding.mask_and_scale,
            decode_times=decoding.decode_times,
            decode_coords="all",  # the grid mapping becomes a coordinate, which is where rioxarray looks for the CRS
            consolidated=False,  # the store answers from documents that are consolidated already
            zarr_format=3,
        )
    except GeoZarrError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError) as error:
        raise StoreError("open", group or "/") from error  # what a damaged or foreign document leads to
    return _with_grid_mapping(_with_places(dataset, grid, dimensions), grid, data)


def _with_places(dataset: xr.Dataset, grid: Grid, dimensions: tuple[str, str]) -> xr.Dataset:
    """Give rows and columns their coordinates where the level has none, and they lie along the axes of the CRS."""
    if not grid.is_rectilinear:
        return dataset
    y, x = dimensions
    known = {
        y: (grid.y_centres, cf.y_attributes(grid.crs)),
        x: (grid.x_centres, cf.x_attributes(grid.crs)),
    }
    missing = {
        name: (name, centres(), attributes)
        for name, (centres, attributes) in known.items()
        if name not in dataset.coords
    }
    return dataset.assign_coords(missing)


def _with_grid_mapping(dataset: xr.Dataset, grid: Grid, data: Sequence[str]) -> xr.Dataset:
    """Let each array of data name a grid mapping that there is; one of the level's own grid where it names none."""
    without = [name for name in data if _grid_mapping_of(dataset[name]) not in dataset.coords]
    if not without:
        return dataset
    mapping = xr.Variable((), np.int64(0), cf.grid_mapping_attributes(grid))
    dataset = dataset.assign_coords({cf.GRID_MAPPING: mapping})
    for name in without:
        dataset[name].attrs.pop("grid_mapping", None)
        dataset[name].encoding["grid_mapping"] = cf.GRID_MAPPING
    return dataset


def _grid_mapping_of(array: xr.DataArray) -> Any:
    return array.encoding.get("grid_mapping", array.attrs.get("grid_mapping"))
