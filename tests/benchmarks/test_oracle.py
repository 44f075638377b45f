from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import rasterio
import rasterio.shutil
import zarr
from pyproj import Transformer
from rasterio.transform import from_origin

from benchmarks import inputs, oracle
from benchmarks.cases import Case
from benchmarks.inputs import Recipe

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import NDArray

    from geozarr import Window

SIDE = 512
ELEVATION = Recipe("elevation", (SIDE, SIDE), "EPSG:32633", 30.0, (400_000.0, 5_300_000.0))
NATIVE = Case("native", "{size}", ELEVATION, "zarr", None, None)


def test_mean_leaves_invalid_pixels_out() -> None:
    fine = np.array([[1.0, 2.0, 5.0, 5.0], [6.0, 99.0, 5.0, 5.0]])
    valid = np.array([[True, True, False, False], [True, False, False, False]])
    mean, has_data = oracle.mean_of(fine, valid, 2)
    assert mean[0, 0] == 3.0  # (1 + 2 + 6) / 3
    assert has_data.tolist() == [[True, False]]


@pytest.mark.parametrize(("chosen", "is_right"), [(7, True), (8, True), (9, False), (1, False)])
def test_a_class_is_right_where_none_is_more_frequent(chosen: int, *, is_right: bool) -> None:
    # Over 4 x 4: five 7, five 8, three 9, three without data.
    fine = np.array([7] * 5 + [8] * 5 + [9] * 3 + [0] * 3).reshape(4, 4)
    found, has_data = oracle.classes_of(fine, fine != 0, 4, np.array([[chosen]]))
    assert has_data.all()
    assert (found[0, 0] == chosen) == is_right


def test_bilinear_weighs_four_pixels() -> None:
    pixels = np.array([[0.0, 10.0, 10.0], [20.0, 40.0, 10.0]])

    def read(window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        part = pixels[window.slices]
        return part, part != 10.0

    # Pixel (0, 0) has its centre at (0.5, 0.5). A quarter down and half across from there, with the 10 valid:
    # upper (0 + 10) / 2 = 5, lower (20 + 40) / 2 = 30, 5 + (30 - 5) / 4 = 11.25.
    values, centre, slack, whole = oracle.bilinear(read, np.array([[0.75, 5.0]]), np.array([[1.0, 1.0]]), (2, 3))
    assert values[0, 0] == 11.25
    assert slack[0, 0] == pytest.approx(0.01 * (20 + 30))  # steepest across 20, steepest down 30
    assert whole.tolist() == [[False, False]]  # one of the four is missing here, and the other lies outside
    assert centre.tolist() == [[False, False]]  # at column 1.0 the pixel below is the second, which is missing


def write_pyramid(folder: Path, values: NDArray[np.float32], means: NDArray[np.float32]) -> Path:
    """Write two levels as any Zarr pyramid has them."""
    root = zarr.open_group(folder / "out.zarr", mode="w", zarr_format=3)
    for name, level, cell in (("0", values, 30.0), ("1", means, 60.0)):
        group = root.create_group(name)
        group["elevation"] = level
        group["x"] = 400_000.0 + cell * (np.arange(level.shape[1]) + 0.5)
        group["y"] = 5_300_000.0 - cell * (np.arange(level.shape[0]) + 0.5)
    return folder / "out.zarr"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inputs.make_zarr(ELEVATION, tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="module")
def values(source: Path) -> NDArray[np.float32]:
    return np.asarray(zarr.open_array(source / "elevation", mode="r")[:])


def halved(values: NDArray[np.float32]) -> NDArray[np.float32]:
    masked = np.where(values == -9999, np.nan, values).astype(np.float64).reshape(SIDE // 2, 2, SIDE // 2, 2)
    count = (~np.isnan(masked)).sum(axis=(1, 3))
    total = np.nansum(masked, axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), -9999).astype(np.float32)


def test_an_exact_pyramid_has_no_error_beyond_rounding(
    source: Path, values: NDArray[np.float32], tmp_path: Path
) -> None:
    finest, coarser = oracle.verify(NATIVE, source, write_pyramid(tmp_path, values, halved(values)))
    assert (finest["max_error"], finest["beyond"], finest["mask_differs"]) == (0, 0, 0)
    assert 0 < coarser["max_error"] <= coarser["tolerance"]
    assert (coarser["beyond"], coarser["mask_differs"]) == (0, 0)
    assert coarser["samples"] > 1000


def test_an_offset_is_found(source: Path, values: NDArray[np.float32], tmp_path: Path) -> None:
    means = halved(values)
    means[means != -9999] += 0.25
    finest, coarser = oracle.verify(NATIVE, source, write_pyramid(tmp_path, values, means))
    assert finest["max_error"] == 0
    assert coarser["max_error"] == pytest.approx(0.25, abs=1e-3)
    assert coarser["beyond"] == 1


def test_a_shift_of_the_finest_level_is_found(source: Path, values: NDArray[np.float32], tmp_path: Path) -> None:
    finest, _ = oracle.verify(NATIVE, source, write_pyramid(tmp_path, np.roll(values, 1, axis=1), halved(values)))
    assert finest["beyond"] > 0.5
    assert finest["mask_differs"] > 0


@pytest.mark.slow
def test_gdal_s_nearest_warp_of_classes_is_right_and_its_mode_of_modes_is_not(tmp_path: Path) -> None:
    recipe = Recipe("landcover", (1024, 1024), "EPSG:32633", 10.0, (400_000.0, 6_800_000.0))
    case = Case("classes", "{size}", recipe, "geotiff", "WebMercatorQuad", 13, "mode", "mode")
    path = inputs.make_geotiff(recipe, tmp_path)
    target = tmp_path / "out.tif"
    options = {"TILING_SCHEME": "GoogleMapsCompatible", "ZOOM_LEVEL": 13, "WARP_RESAMPLING": "NEAREST"}
    rasterio.shutil.copy(path, target, driver="COG", OVERVIEW_RESAMPLING="MODE", **options)
    found = oracle.verify(case, path, target)
    # GDAL's approximate transform is off by up to 1/8 px, so a few centres fall on the neighbour.
    assert found[0]["max_error"] < 0.05
    assert found[1]["max_error"] == 0  # one step is exact, two are the mode of a mode
    assert found[2]["max_error"] > 0.01


@pytest.mark.parametrize(("shift", "beyond"), [(0.0, 0.0), (0.004, 0.0), (0.05, 1.0)])
def test_a_plane_is_read_where_the_projection_says(shift: float, beyond: float, tmp_path: Path) -> None:
    # Between pixel centres a plane is its own bilinear interpolation, so the expected value is the plane at the exact
    # place: 1000 + 3 col - 2 row, in float32, whose steps there are 1.2e-4, far below 0.01 px of the slope.
    case = Case("plane", "{size}", ELEVATION, "geotiff", "WebMercatorQuad", 12)
    rows, cols = np.mgrid[0:SIDE, 0:SIDE] + 0.5
    profile = {"driver": "GTiff", "count": 1, "dtype": "float32", "nodata": -9999.0, "tiled": True}
    with rasterio.open(
        tmp_path / "plane.tif",
        "w",
        height=SIDE,
        width=SIDE,
        crs=ELEVATION.crs,
        transform=ELEVATION.transform,
        **profile,
    ) as out:
        out.write((1000 + 3 * cols - 2 * rows).astype(np.float32), 1)
    to_mercator = Transformer.from_crs(ELEVATION.crs, "EPSG:3857", always_xy=True)
    x, y = to_mercator.transform(*(ELEVATION.transform @ (SIDE / 2, SIDE / 2)))
    grid = from_origin(x - 150 * 38, y + 150 * 38, 38, 38)  # 300 cells well inside of 512 pixels of some 45 m
    target_rows, target_cols = np.mgrid[0:300, 0:300] + 0.5
    back = Transformer.from_crs("EPSG:3857", ELEVATION.crs, always_xy=True)
    col, row = ~ELEVATION.transform @ back.transform(*(grid @ (target_cols, target_rows)))
    with rasterio.open(
        tmp_path / "out.tif", "w", height=300, width=300, crs="EPSG:3857", transform=grid, **profile
    ) as out:
        out.write((1000 + 3 * (np.asarray(col) + shift) - 2 * np.asarray(row)).astype(np.float32), 1)
    (finest,) = oracle.verify(case, tmp_path / "plane.tif", tmp_path / "out.tif")
    assert finest["samples"] > 10_000
    # Source and output are both rounded to steps of 2^-13 (values from 1024 to 2048) at most.
    assert finest["max_error"] == pytest.approx(3 * shift, abs=2 * 2.0**-13)
    assert finest["beyond"] == beyond
