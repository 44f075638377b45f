"""eopf-geozarr: whole levels in memory, written by zarr-python."""

from __future__ import annotations

from typing import Any

import rioxarray  # noqa: F401 - registers the `.rio` accessor
import xarray as xr
from child import run
from eopf_geozarr.conversion.geozarr import create_geozarr_dataset


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Write the native pyramid of the one group of the source."""
    dataset = xr.open_zarr(job["source"], chunks={}, decode_coords="all")
    tree = xr.DataTree.from_dict({"/measurements": dataset})
    create_geozarr_dataset(tree, ["/measurements"], job["target"], **job["settings"])
    return {}


if __name__ == "__main__":
    run(work, packages=("eopf-geozarr", "zarr", "xarray", "numpy"))
