"""Pixels that no affine transform places are where GDAL, numpy and a projection say they are."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pytest
import rasterio
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from rasterio.enums import Resampling
from rasterio.io import MemoryFile
from rasterio.vrt import WarpedVRT

from geozarr import Grid, crs
from geozarr.errors import MetadataError
from pyramids import footprint, placement
from pyramids.control import Mapping
from pyramids.geolocation import Geolocation
from pyramids.placement import ControlPoints, Placement, Rectilinear

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DEGREES = crs.from_code("OGC:CRS84")
MERCATOR = crs.from_code("EPSG:3857")
UTM = crs.from_code("EPSG:32633")
PROMISED = 0.01  # source pixels


def centres(draw: st.DrawFn, start: float, least: float, most: float) -> NDArray[np.float64]:
    steps = draw(st.lists(st.floats(least, most), min_size=1, max_size=12))
    values = start + np.concatenate([[0.0], np.cumsum(steps)])
    return values if draw(st.booleans()) else values[::-1].copy()


@st.composite
def rectilinears(draw: st.DrawFn) -> Rectilinear:
    return Rectilinear(centres(draw, 5e5, 10, 90), centres(draw, 5e6, 10, 90), UTM)


@given(rectilinears(), st.data())
def test_positions_between_centres_are_linear(placed: Rectilinear, data: st.DataObject) -> None:
    document = placed.to_document()
    cols, rows = np.meshgrid(np.arange(placed.width) + 0.5, np.arange(placed.height) + 0.5)
    x, y = placed.coordinates(cols, rows)
    assert_allclose(x[0], document["x"])
    assert_allclose(y[:, 0], document["y"])
    share = data.draw(st.floats(0, 1))
    at = data.draw(st.integers(0, placed.width - 2)) + share
    x, _ = placed.coordinates(np.array([at + 0.5]), np.array([0.5]))
    expected = np.interp(at, np.arange(placed.width), document["x"])
    assert_allclose(x, [expected])
    found, _ = placed.positions(x, np.array([document["y"][0]]))
    assert_allclose(found, [at + 0.5], atol=1e-6)


@given(rectilinears())
def test_edges_lie_half_a_pixel_beyond_the_outermost_centres(placed: Rectilinear) -> None:
    x = np.array(placed.to_document()["x"])
    found, _ = placed.coordinates(np.array([0.0, placed.width]), np.array([0.5, 0.5]))
    assert_allclose(found, [x[0] - (x[1] - x[0]) / 2, x[-1] + (x[-1] - x[-2]) / 2])


def test_evenly_spaced_centres_are_a_grid() -> None:
    grid = Grid((7, 9), Affine(30, 0, 5e5, 0, -20, 5e6), UTM)
    placed = Rectilinear(grid.x_centres(), grid.y_centres(), UTM)
    target = Grid((64, 64), Affine(5, 0, 1.66e6, 0, -5, 5.64e6), MERCATOR)
    cols, rows = np.meshgrid(np.arange(65.0), np.arange(65.0))
    for one, other in zip(
        Mapping(target, placed).exact(cols, rows), Mapping(target, grid).exact(cols, rows), strict=True
    ):
        assert_allclose(one, other, atol=1e-6)
    assert_allclose(placed.bounds, grid.bounds)
    assert_allclose(placed.cell_size, grid.cell_size)


def test_gaussian_latitudes_are_warped_by_two_tables() -> None:
    latitudes = np.degrees(np.arcsin(np.polynomial.legendre.leggauss(96)[0]))
    placed = Rectilinear(np.arange(0, 360, 1.875), latitudes, DEGREES)
    target = Grid((256, 256), Affine(156543.0339, 0, -20037508.34, 0, -156543.0339, 20037508.34), MERCATOR)
    mapping = Mapping(target, placed)
    assert mapping.is_separable
    cols, rows = mapping.centres(target.window).to_arrays()
    x = (np.arange(256) + 0.5) * 360 / 256 - 180
    assert_allclose(cols[0], np.mod(x + 0.9375, 360) / 1.875, atol=PROMISED)
    at = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * (np.arange(256) + 0.5) / 256))))
    inside = np.abs(at) < np.abs(latitudes).max()
    assert_allclose(rows[inside, 0], np.interp(at[inside], latitudes, np.arange(96) + 0.5), atol=PROMISED)
    assert mapping.turn == (192.0, 0.0)


@pytest.mark.parametrize("wrong", [[1.0], [1.0, 1.0], [1.0, 3.0, 2.0], [1.0, np.nan], []])
def test_centres_that_do_not_go_on_are_refused(wrong: list[float]) -> None:
    with pytest.raises(MetadataError) as caught:
        Rectilinear(np.array(wrong), np.array([1.0, 2.0]), UTM)
    assert caught.value.key == "x"


POINTS = {"au-gcp.tif": 24, "cog_gcps.tif": 210}


@pytest.mark.parametrize("name", POINTS)
def test_control_points_place_pixels_as_gdal_warps_them(data_dir: Path, name: str) -> None:
    """GDAL warps an image of its own columns and rows, exactly (tolerance 0), onto a grid that it chooses."""
    with rasterio.open(data_dir / "raster" / name) as dataset:
        points, declared = dataset.gcps
        height, width = dataset.shape
    assert len(points) == POINTS[name]
    cols, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    profile = {"driver": "GTiff", "width": width, "height": height, "count": 2, "dtype": "float64"}
    with MemoryFile() as memory:
        with memory.open(**profile, gcps=points, crs=declared) as image:
            image.write(np.stack([cols, rows]))
        options: dict[str, Any] = {"crs": "EPSG:3857", "resampling": Resampling.nearest, "add_alpha": True}
        with memory.open() as image, WarpedVRT(image, tolerance=0, **options) as warped:
            expected_cols, expected_rows, alpha = warped.read()
            target = Grid(warped.shape, warped.transform, MERCATOR)
    known = [(point.col, point.row, point.x, point.y) for point in points]
    placed = ControlPoints((height, width), known, crs.from_wkt2(declared.to_wkt()))
    found_cols, found_rows = Mapping(target, placed).centres(target.window).to_arrays()
    off = np.minimum(np.abs(found_cols - np.rint(found_cols)), np.abs(found_rows - np.rint(found_rows)))
    inside = (found_cols >= 0) & (found_cols < width) & (found_rows >= 0) & (found_rows < height)
    clear = off > PROMISED
    assert (inside & clear).sum() > 10_000
    assert_array_equal(inside[clear], alpha[clear] > 0)
    assert_array_equal(np.floor(found_cols)[inside & clear] + 0.5, expected_cols[inside & clear])
    assert_array_equal(np.floor(found_rows)[inside & clear] + 0.5, expected_rows[inside & clear])


def test_control_points_on_a_plane_are_an_affine_transform() -> None:
    t = Affine(20, 3, 5e5, 2, -25, 5e6)
    corners = [(col, row, *(t @ (col, row))) for col, row in ((0, 0), (100, 0), (0, 80), (100, 80))]
    placed = ControlPoints((80, 100), corners, UTM)
    grid = Grid((80, 100), t, UTM)
    cols, rows = np.meshgrid(np.linspace(0, 100, 7), np.linspace(0, 80, 5))
    assert_allclose(placed.coordinates(cols, rows), grid.coordinates(cols, rows), rtol=1e-9)
    assert_allclose(placed.positions(*grid.coordinates(cols, rows)), (cols, rows), atol=1e-6)
    assert placed.residual < 1e-6
    assert_allclose(placed.bounds, grid.bounds)


def test_a_polynomial_that_comes_back_to_the_same_pixels_elsewhere_makes_no_second_image() -> None:
    """Columns are a parabola of x, with its vertex at x = -2: each column from 0 to 100 lies at two places."""
    x, y = np.meshgrid(np.linspace(0, 8, 6), np.linspace(0, 50, 6))
    points = [((at + 2) ** 2 - 4, 100 - 2 * other, at, other) for at, other in zip(x.ravel(), y.ravel(), strict=True)]
    placed = ControlPoints((100, 96), points, UTM)
    assert placed.residual < 1e-6
    at = np.linspace(0.5, 7.5, 50)
    cols, rows = placed.positions(at, np.full(50, 20.0))
    assert_allclose(cols, (at + 2) ** 2 - 4, atol=1e-6)
    assert_allclose(rows, 60, atol=1e-6)
    ghosts, _ = placed.positions(-4 - at, np.full(50, 20.0))
    assert np.isnan(ghosts).all()


def test_control_points_across_the_antimeridian_lie_side_by_side() -> None:
    points = [(col, row, (179 + col / 10 + 180) % 360 - 180, row / 10) for col in (0, 10, 20) for row in (0, 5, 10)]
    placed = ControlPoints((10, 20), points, DEGREES)
    cols, rows = placed.positions(np.array([179.0, -180.0, 180.0, -179.5]), np.array([0.5] * 4))
    assert_allclose(cols, [0, 10, 10, 15], atol=1e-6)
    assert_allclose(rows, 5, atol=1e-6)


@pytest.mark.parametrize(
    "points",
    [
        [(0, 0, 1, 1), (5, 5, 2, 2)],
        [(0, 0, 1, 1), (5, 5, 2, 2), (9, 9, np.nan, 3)],
        [(0, 0, 1, 1), (5, 5, 2, 2), (9, 9, 3, 3)],
        [(col, row, col * 10, row * 10) for col in (0, 10, 20) for row in (0, 10)],
    ],
    ids=["two", "nan", "one line", "two lines"],
)
def test_too_few_control_points_are_refused(points: list[tuple[float, ...]]) -> None:
    with pytest.raises(MetadataError) as caught:
        ControlPoints((10, 10), points, UTM)
    assert caught.value.key == "control points"


def some() -> list[Placement]:
    longitudes, latitudes = np.meshgrid(np.arange(10.0, 15), np.arange(40.0, 44))
    return [
        Rectilinear(np.array([1.0, 2, 4]), np.array([9.0, 5]), UTM),
        ControlPoints((8, 9), [(0, 0, 5e5, 5e6), (9, 0, 6e5, 5e6), (0, 8, 5e5, 4e6)], UTM),
        Geolocation(longitudes, latitudes, DEGREES),
    ]


@pytest.mark.parametrize("number", range(3))
def test_a_placement_survives_other_processes_and_its_description_tells_it_from_others(number: int) -> None:
    placed = some()[number]
    again = pickle.loads(pickle.dumps(placed))
    assert again == placed
    assert hash(again) == hash(placed)
    x, y = placed.coordinates(np.array([1.5]), np.array([1.5]))
    assert_array_equal(again.positions(x, y), placed.positions(x, y))
    document = json.loads(json.dumps(placed.to_document()))
    assert placement.from_document(document, placed.crs) == placed
    assert all(placed != other for other in some() if other.kind != placed.kind)


def test_a_geolocation_that_is_only_described_knows_no_positions() -> None:
    described = placement.from_document(some()[2].to_document(), DEGREES)
    with pytest.raises(NotImplementedError):
        described.positions(np.zeros(1), np.zeros(1))


@pytest.mark.parametrize("number", range(3))
def test_the_footprint_of_a_placement_holds_all_its_pixels(number: int) -> None:
    placed = some()[number]
    grid = Grid((1, 1), Affine(4.1e7, 0, -2.05e7, 0, -4.1e7, 2.05e7), MERCATOR)
    box = footprint.extent(placed, MERCATOR, grid.bounds)
    cols, rows = np.meshgrid(np.linspace(0, placed.width, 9), np.linspace(0, placed.height, 9))
    to_mercator = pyproj.Transformer.from_crs(placed.crs.proj, 3857, always_xy=True)
    x, y = to_mercator.transform(*placed.coordinates(cols, rows))
    assert (x >= box.xmin).all()
    assert (x <= box.xmax).all()
    assert (y >= box.ymin).all()
    assert (y <= box.ymax).all()
