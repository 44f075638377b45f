"""ndpyramid's `pyramid_reproject`: each level warped from the source by rasterio, then written by xarray."""

from __future__ import annotations

from typing import Any

import dask
import rioxarray
import xarray as xr
from child import run
from ndpyramid import pyramid_reproject

TILE = 256  # pixels


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Write levels 0 to `max_zoom`: the whole square of the world, whatever the data cover."""
    dask.config.set(num_workers=job["threads"])
    raster = rioxarray.open_rasterio(job["source"], masked=True).squeeze("band", drop=True)
    dataset = raster.to_dataset(name=job["bands"][0])
    dataset.attrs = {}
    pyramid = pyramid_reproject(
        dataset, levels=job["max_zoom"] + 1, pixels_per_tile=TILE, resampling=job["resampling"], **job["settings"]
    )
    # The encoding that it sets names codecs of Zarr format 2, so that is what can be written.
    pyramid.to_zarr(job["target"], zarr_format=2, consolidated=True)
    return {}


if __name__ == "__main__":
    assert isinstance(xr.DataTree, type)
    run(work, packages=("ndpyramid", "rioxarray", "rasterio", "zarr", "xarray", "numpy"))
