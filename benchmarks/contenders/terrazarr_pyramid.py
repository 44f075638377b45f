"""terrazarr: lazy windows of shards on a local dask cluster, single-threaded processes."""

from __future__ import annotations

from typing import Any

import rioxarray  # noqa: F401 - registers the `.rio` accessor
import xarray as xr
import zarr
from child import run
from dask.distributed import Client, LocalCluster
from terrazarr import to_geozarr
from terrazarr.store import set_spatial_info

SHARD = 4096  # its default: the block of the source that is opened at once


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Write the native pyramid as terrazarr's command line does; the cluster is started before the clock."""
    settings = dict(job["settings"])
    if settings.pop("same_codec", False):
        settings["compressor"] = zarr.codecs.BloscCodec(cname="zstd", clevel=1, shuffle="bitshuffle", blocksize=0)
    side = settings.get("shard_size", SHARD)
    dataset = xr.open_zarr(job["source"], chunks={"y": side, "x": side}, decode_coords="all")
    # Undecoded would be faster still, but NaN is the only nodata that all its code paths know.
    to_geozarr(set_spatial_info(dataset), job["target"], method="mean", nodata=job["nodata"], **settings)
    return {}


def main(threads: int) -> None:
    """Start the processes, then the job."""
    with LocalCluster(n_workers=threads, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
        run(work, packages=("terrazarr", "zarr", "xarray", "dask", "numpy"))


if __name__ == "__main__":
    import json
    import sys
    from pathlib import Path

    main(json.loads(Path(sys.argv[1]).read_text())["threads"])
