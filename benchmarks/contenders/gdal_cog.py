"""GDAL's COG driver, through rasterio's wheel: one process, its own threads."""

from __future__ import annotations

from typing import Any

import rasterio
import rasterio.shutil
from child import run


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Write a Cloud-Optimized GeoTIFF, warped to the tile matrix set's grid where the job names one."""
    options: dict[str, Any] = {"BIGTIFF": "IF_SAFER"}
    if job["tms"]:
        options |= {"TILING_SCHEME": "GoogleMapsCompatible", "ZOOM_LEVEL": job["max_zoom"]}
        options |= {"WARP_RESAMPLING": job["resampling"].upper()}
    options |= {"OVERVIEW_RESAMPLING": job["method"].upper(), "NUM_THREADS": job["threads"]} | job["settings"]
    with rasterio.Env(GDAL_NUM_THREADS=job["threads"]):
        rasterio.shutil.copy(job["source"], job["target"], driver="COG", **options)
    return {"versions": {"gdal": rasterio.__gdal_version__}}


if __name__ == "__main__":
    run(work, packages=("rasterio",))
