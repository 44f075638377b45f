"""Build a pyramid of an xarray field with a time axis, and read one place of it back on every level."""

from __future__ import annotations

import sys

import numpy as np
import rioxarray  # noqa: F401 - registers the `.rio` accessor
import xarray as xr

import pyramids


def main(target: str) -> None:
    """Write the pyramid to a folder."""
    x, y = -10 + 0.05 * np.arange(600), 60 - 0.05 * np.arange(400)
    time = np.array(["2024-01-01", "2024-01-02", "2024-01-03"], "datetime64[s]")
    warm = 25 - 0.4 * (y[:, None] - 40) + 0 * x
    field = xr.DataArray(
        np.stack([warm + step for step in range(3)]).astype("float32"),
        {"time": time, "y": y, "x": x},
        name="temperature",
        attrs={"units": "degC", "standard_name": "air_temperature"},
    ).rio.write_crs("EPSG:4326")
    plan = pyramids.build(field, target, tms="WebMercatorQuad", overwrite=True)
    print(plan)
    tree = xr.open_datatree(target, engine="zarr", chunks=None)
    for asset in plan.levels.assets:
        place = tree[asset].to_dataset()["temperature"].sel(x=0, y=6_000_000, method="nearest")
        print(f"level {asset:>2}: {[round(float(value), 2) for value in place.values]} degC at x = 0, y = 6000 km")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "temperature.zarr")
