"""topozarr with its Rust kernel and the zarrs codec pipeline: one process, a pool of threads."""

from __future__ import annotations

from typing import Any

import xarray as xr
import xproj  # noqa: F401 - registers the `.proj` accessor
import zarr
from child import run
from topozarr import create_pyramid


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Write the native pyramid; the source is opened lazily, as its documentation advises for large stores."""
    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": job["threads"]})
    settings = job["settings"]
    dataset = xr.open_zarr(job["source"], chunks=None, decode_coords="all")
    wkt = dataset["spatial_ref"].attrs["crs_wkt"]
    dataset = dataset.drop_vars("spatial_ref").proj.assign_crs(spatial_ref=wkt)
    levels = job["levels"] if settings else "auto"
    pyramid = create_pyramid(dataset, levels=levels, x_dim="x", y_dim="y", method="mean")
    for path, level in pyramid.encoding.items() if settings else ():
        # The plan may be edited before it is written; chunks and shards are heeded, a codec would not be.
        for name in dataset.data_vars:
            chunk, shape = settings["chunk"], pyramid.level_templates[int(path.strip("/"))][name].shape
            level[str(name)]["chunks"] = (chunk, chunk)
            level[str(name)]["shards"] = tuple(min(settings["shard"], -(-size // chunk) * chunk) for size in shape)
    pyramid.write(job["target"], max_workers=job["threads"])
    return {}


if __name__ == "__main__":
    run(work, packages=("topozarr", "topozarr-core", "zarrs", "zarr", "xarray", "numpy"))
