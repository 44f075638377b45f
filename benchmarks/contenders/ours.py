"""Build with this project, through its public API."""

from __future__ import annotations

from typing import Any

import zarr  # noqa: F401 - xarray imports it to open a store; libraries are imported before the clock for everybody
from child import run

import pyramids


def work(job: dict[str, Any]) -> dict[str, Any]:
    """Build as `pyramids.build` does, in its three steps, to keep the report."""
    choices = {"tms": job["tms"] or "native", "workers": job["threads"], "memory": job["memory"]}
    if job["tms"]:
        choices["max_zoom"] = job["max_zoom"]
    choices["resampling"] = job["resampling"] if job["tms"] else job["method"]
    source = pyramids.open_source(job["source"])
    plan = pyramids.make_plan(source, pyramids.Options(**choices | job["settings"]))
    report = pyramids.execute(plan, source, job["target"])
    return {"stages": getattr(report, "stages", None), "predicted_peak_bytes": plan.peak}


if __name__ == "__main__":
    run(work, packages=("geozarr-pyramids", "numpy", "numba", "rasterio", "zarr", "obstore", "numcodecs"))
