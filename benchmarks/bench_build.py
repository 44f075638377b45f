"""Time a reprojected pyramid beside GDAL's COG driver: same raster, same finest zoom, same machine, in alternation.

    python benchmarks/bench_build.py            8192 x 8192 px, three rounds
    python benchmarks/bench_build.py --quick    2048 x 2048 px, one round

Every run is a process of its own, so that compiled kernels come from the disk cache as they do for a user and peak
memory is that of the run. Both outputs are verified: the finest level against the analytic terrain that the raster was
made of.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rasterio
import rasterio.shutil
import zarr
from pyproj import Transformer
from rasterio.transform import from_origin
from rasterio.windows import Window

import pyramids

if TYPE_CHECKING:
    from numpy.typing import NDArray

CRS = "EPSG:32633"
ORIGIN = (400_000.0, 5_300_000.0)  # metres
CELL = 30.0  # metres
ZOOM = 12  # 38.2 m at the equator; GDAL and we choose it by ourselves too


def terrain(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Height in metres of a smooth, wavy terrain at UTM coordinates in metres."""
    return 1200 + 600 * np.sin(x / 9000) * np.cos(y / 7000) + 200 * np.sin((x + 2 * y) / 2300)


def make_raster(path: Path, size: int) -> None:
    """Write the terrain with a little noise of the sensor's kind, tiled and deflated as published rasters are."""
    noise = np.random.default_rng(7)
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "crs": CRS, "nodata": -9999.0, "tiled": True}
    profile |= {"blockxsize": 512, "blockysize": 512, "compress": "deflate", "predictor": 3}
    x = ORIGIN[0] + CELL * (np.arange(size) + 0.5)
    with rasterio.open(
        path, "w", height=size, width=size, transform=from_origin(*ORIGIN, CELL, CELL), **profile
    ) as out:
        for row in range(0, size, 512):
            y = ORIGIN[1] - CELL * (np.arange(row, min(size, row + 512)) + 0.5)
            values = terrain(x, y[:, None]) + noise.normal(0, 0.05, (y.size, size))
            out.write(values.astype("float32"), 1, window=Window(0, row, size, y.size))


def run_ours(raster: Path, target: Path) -> None:
    """Build with this project at its defaults."""
    pyramids.build(raster, target, max_zoom=ZOOM, workers=os.cpu_count() or 1)


def run_gdal(raster: Path, target: Path) -> None:
    """Build with GDAL's COG driver, with its threads, bilinear warp and average overviews, as ours."""
    options = {"TILING_SCHEME": "GoogleMapsCompatible", "ZOOM_LEVEL": ZOOM, "COMPRESS": "ZSTD", "LEVEL": 1}
    options |= {"WARP_RESAMPLING": "BILINEAR", "OVERVIEW_RESAMPLING": "AVERAGE", "NUM_THREADS": "ALL_CPUS"}
    with rasterio.Env(GDAL_NUM_THREADS="ALL_CPUS"):
        rasterio.shutil.copy(raster, target, driver="COG", BIGTIFF="IF_SAFER", **options)


def worst_error(target: Path, size: int) -> float:
    """Largest difference in metres between the finest level and the terrain, away from the raster's edge."""
    if target.is_dir():
        group = zarr.open_group(target, mode="r")
        a, _, c, _, e, f = group.attrs["multiscales"]["layout"][0]["spatial:transform"]
        values = group[f"{ZOOM}/b1"][::7, ::7]
    else:
        with rasterio.open(target) as dataset:
            a, _, c, _, e, f = tuple(dataset.transform)[:6]
            values = dataset.read(1)[::7, ::7]
    rows, cols = np.mgrid[0 : values.shape[0], 0 : values.shape[1]] * 7 + 0.5
    to_utm = Transformer.from_crs(3857, CRS, always_xy=True)
    x, y = to_utm.transform(a * cols + c, e * rows + f)
    margin = 2 * CELL  # nearer to the edge a kernel has no neighbours on one side
    inside = (x > ORIGIN[0] + margin) & (x < ORIGIN[0] + size * CELL - margin)
    inside &= (y < ORIGIN[1] - margin) & (y > ORIGIN[1] - size * CELL + margin)
    return float(np.abs(values - terrain(x, y))[inside].max())


def measure(contender: str, raster: Path, target: Path, size: int) -> dict[str, Any]:
    """Run a contender in a process of its own; give seconds, peak bytes, output bytes, objects and largest error."""
    subprocess.run(["rm", "-rf", str(target)], check=True)
    command = [sys.executable, __file__, "--child", contender, str(raster), str(target)]
    record: dict[str, Any] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    files = [target] if target.is_file() else [path for path in target.rglob("*") if path.is_file()]
    record |= {"bytes": sum(path.stat().st_size for path in files), "objects": len(files)}
    return record | {"max_error": worst_error(target, size)}


def child(contender: str, raster: Path, target: Path) -> None:
    """Do one timed run and print what it took as JSON. Compilation is not timed: a first small run warms the cache."""
    runner = {"ours": run_ours, "gdal-cog": run_gdal}[contender]
    started, cpu = time.perf_counter(), time.process_time()
    runner(raster, target)
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="a small raster, one round")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        contender, raster, target = options.child
        child(contender, Path(raster), Path(target))
        return
    size, rounds = (2048, 1) if options.quick else (8192, 3)
    best: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        raster = Path(folder) / "terrain.tif"
        make_raster(raster, size)
        small = Path(folder) / "small.tif"
        make_raster(small, 256)
        measure("ours", small, Path(folder) / "warm.zarr", 256)
        for _ in range(rounds):
            for contender, name in (("ours", "out.zarr"), ("gdal-cog", "out.tif")):
                record = measure(contender, raster, Path(folder) / name, size)
                if contender not in best or record["seconds"] < best[contender]["seconds"]:
                    best[contender] = record
    print(f"{size} x {size} px float32, {CRS} to WebMercatorQuad {ZOOM}, best of {rounds}")
    print(f"Python {platform.python_version()}, GDAL {rasterio.__gdal_version__}, {os.cpu_count()} cores")
    print(f"{'':10} {'seconds':>8} {'cpu s':>8} {'peak MiB':>9} {'MB':>8} {'objects':>8} {'max error m':>12}")
    for contender, record in best.items():
        print(
            f"{contender:10} {record['seconds']:8.2f} {record['cpu_seconds']:8.2f} {record['peak_bytes'] / 2**20:9.0f} "
            f"{record['bytes'] / 1e6:8.1f} {record['objects']:8d} {record['max_error']:12.3f}"
        )
    print(f"ratio: GDAL takes {best['gdal-cog']['seconds'] / best['ours']['seconds']:.1f} x as long")


if __name__ == "__main__":
    main()
