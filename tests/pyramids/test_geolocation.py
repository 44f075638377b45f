"""A longitude and a latitude for each pixel place it, held against the projection that the pixels were made in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyproj
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

import builds
import pyramids
from geozarr import crs
from geozarr.errors import LimitError, MetadataError
from pyramids.geolocation import RADIUS, Geolocation

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEGREES = crs.from_code("OGC:CRS84")
POLAR = pyproj.Transformer.from_crs("EPSG:3413", "OGC:CRS84", always_xy=True)


class Swath:
    """Pixels of a square grid that lies askew in a polar projection.

    Parameters
    ----------
    shape : tuple of int
        Rows and columns.
    cell : float
        Metres along a side.
    angle : float
        Radians that rows are turned by.
    middle : tuple of float
        Where the middle lies in the projection.
    """

    def __init__(
        self,
        shape: tuple[int, int] = (60, 50),
        cell: float = 20_000,
        angle: float = 0.4,
        middle: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        self.shape, self.cell, self.angle, self.middle = shape, cell, angle, middle

    def ground(self, cols: Any, rows: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitudes and latitudes of positions in pixels."""
        along, down = np.asarray(cols) - self.shape[1] / 2, np.asarray(rows) - self.shape[0] / 2
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        x = self.middle[0] + self.cell * (along * cosine - down * sine)
        y = self.middle[1] + self.cell * (along * sine + down * cosine)
        found: tuple[NDArray[np.float64], NDArray[np.float64]] = POLAR.transform(x, y)
        return found

    def centres(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Longitudes and latitudes of all pixels."""
        cols, rows = np.meshgrid(np.arange(self.shape[1]) + 0.5, np.arange(self.shape[0]) + 0.5)
        return self.ground(cols, rows)

    def placed(self, **options: Any) -> Geolocation:
        return Geolocation(*self.centres(), DEGREES, **options)


# Over the pole, across the antimeridian (45 W is straight down), and far from both.
SWATHS = {
    "pole": Swath(),
    "antimeridian": Swath(middle=(-1.4e6, 1.4e6)),
    "europe": Swath(shape=(40, 90), cell=1_000, angle=-1.1, middle=(2.2e6, -1.3e6)),
}


@settings(max_examples=30)
@given(name=st.sampled_from(list(SWATHS)), seed=st.integers(0, 99))
def test_positions_are_those_of_the_projection(name: str, seed: int) -> None:
    swath = SWATHS[name]
    height, width = swath.shape
    lot = np.random.default_rng(seed)
    cols, rows = lot.uniform(0, width, 200), lot.uniform(0, height, 200)
    found_cols, found_rows = swath.placed().positions(*swath.ground(cols, rows))
    # Between centres by straight lines on the ground, where the projection's lines bend a little.
    assert_allclose(found_cols, cols, atol=2e-3)
    assert_allclose(found_rows, rows, atol=2e-3)


@pytest.mark.parametrize("name", SWATHS)
def test_centres_are_where_they_are_and_both_ways_agree(name: str) -> None:
    swath = SWATHS[name]
    placed = swath.placed()
    cols, rows = np.meshgrid(np.arange(swath.shape[1]) + 0.5, np.arange(swath.shape[0]) + 0.5)
    assert_allclose(placed.positions(*swath.centres()), (cols, rows), atol=1e-9)
    lot = np.random.default_rng(1)
    cols, rows = lot.uniform(0, swath.shape[1], 300), lot.uniform(0, swath.shape[0], 300)
    # A chord through the Earth and a great circle differ by the square of a pixel's size.
    assert_allclose(placed.positions(*placed.coordinates(cols, rows)), (cols, rows), atol=1e-4)


@pytest.mark.parametrize("name", SWATHS)
def test_beyond_the_outer_edge_there_is_no_position(name: str) -> None:
    swath = SWATHS[name]
    height, width = swath.shape
    lot = np.random.default_rng(2)
    cols, rows = lot.uniform(-9, width + 9, 2000), lot.uniform(-9, height + 9, 2000)
    outside = (cols < -0.01) | (cols > width + 0.01) | (rows < -0.01) | (rows > height + 0.01)
    found_cols, found_rows = swath.placed().positions(*swath.ground(cols, rows))
    assert np.isnan(found_cols[outside]).all()
    assert np.isnan(found_rows[outside]).all()
    assert np.isfinite(swath.placed().positions(*swath.ground([0.01, width - 0.01], [0.01, height - 0.01]))).all()


def test_the_limit_is_the_distance_of_neighbours_unless_it_is_given() -> None:
    swath = SWATHS["europe"]
    assert swath.placed().limit == pytest.approx(1000, rel=0.1)
    edge = swath.ground([0.1], [20.5])
    assert np.isfinite(swath.placed().positions(*edge)).all()
    assert np.isnan(swath.placed(limit=300.0).positions(*edge)).all()


def test_pixels_without_a_position_leave_a_hole_and_nothing_else() -> None:
    swath = Swath()
    longitudes, latitudes = swath.centres()
    longitudes[20:30, 15:25] = np.nan
    placed = Geolocation(longitudes, latitudes, DEGREES)
    cols, rows = np.meshgrid(np.arange(50) + 0.5, np.arange(60) + 0.5)
    found = np.isfinite(placed.positions(*swath.centres())[0])
    expected = np.ones(swath.shape, np.bool_)
    expected[20:30, 15:25] = False
    assert (found == expected).all()
    known = placed.positions(*swath.centres())
    assert_allclose(known[0][expected], cols[expected], atol=1e-9)
    assert_allclose(known[1][expected], rows[expected], atol=1e-9)


def test_scans_that_overlap_give_the_nearest_centre_or_a_place_beside_it() -> None:
    """Ten rows a scan, each scan's last two rows lie again in the next one: the bow-tie of whiskbroom scanners."""
    swath = Swath(shape=(60, 40))
    row_of = np.concatenate([np.arange(10) + 8 * scan for scan in range(7)])[:60] + 0.5
    cols, rows = np.meshgrid(np.arange(40) + 0.5, row_of)
    placed = Geolocation(*swath.ground(cols, rows), DEGREES)
    lot = np.random.default_rng(3)
    at_col, at_row = lot.uniform(1, 39, 500), lot.uniform(1, 50, 500)
    found_cols, found_rows = placed.positions(*swath.ground(at_col, at_row))
    assert np.isfinite(found_cols).all()
    stands = np.interp(found_rows - 0.5, np.arange(60), row_of)
    assert np.abs(found_cols - at_col).max() < 0.6
    assert np.quantile(np.abs(stands - at_row), 0.7) < 0.01
    assert np.abs(row_of[np.clip(found_rows.astype(int), 0, 59)] - at_row).max() < 1.01


@pytest.mark.parametrize(
    ("longitudes", "latitudes"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2))),
        (np.zeros(4), np.zeros(4)),
        (np.zeros((1, 5)), np.zeros((1, 5))),
        (np.zeros((2, 2)), np.full((2, 2), 91.0)),
        (np.full((2, 2), 400.0), np.zeros((2, 2))),
        (np.full((3, 3), np.nan), np.full((3, 3), np.nan)),
    ],
)
def test_what_are_no_longitudes_and_latitudes_is_refused(longitudes: Any, latitudes: Any) -> None:
    with pytest.raises(MetadataError):
        Geolocation(longitudes, latitudes, DEGREES)


def test_longitudes_of_a_projection_are_refused() -> None:
    with pytest.raises(MetadataError) as caught:
        Geolocation(np.zeros((2, 2)), np.zeros((2, 2)), crs.from_code("EPSG:3857"))
    assert caught.value.key == "crs"


def field(longitudes: Any, latitudes: Any) -> NDArray[np.float64]:
    """Something smooth on the sphere: polynomials of a unit vector."""
    along, up = np.radians(longitudes), np.radians(latitudes)
    x, y, z = np.cos(up) * np.cos(along), np.cos(up) * np.sin(along), np.sin(up)
    return np.asarray(200 + 100 * x * y + 50 * z + 30 * x * z)


@pytest.mark.parametrize("name", SWATHS)
@pytest.mark.parametrize("tms", ["WebMercatorQuad", "UPSArcticWGS84Quad"])
def test_b19_b20_a_pyramid_of_a_swath_holds_the_field_without_hole_or_star(name: str, tms: str) -> None:
    swath = SWATHS[name]
    longitudes, latitudes = swath.centres()
    dataset = xr.Dataset(
        {"t": (("scanline", "pixel"), field(longitudes, latitudes), {"units": "K", "coordinates": "lon lat"})},
        {
            "lon": (("scanline", "pixel"), longitudes, {"units": "degrees_east", "standard_name": "longitude"}),
            "lat": (("scanline", "pixel"), latitudes, {"units": "degrees_north", "standard_name": "latitude"}),
        },
    )
    source = pyramids.open_source(dataset, crs="OGC:CRS84")
    assert [quirk.kind for quirk in source.quirks] == ["axis-names", "crs-given", "geolocation"]
    plan, store = builds.build(source, tms=tms, resampling="bilinear")
    grid = plan.levels.finest.grid
    found = builds.read(store, f"{plan.levels.finest.asset}/t")
    x, y = np.meshgrid(grid.x_centres(), grid.y_centres())
    at = pyproj.Transformer.from_crs(grid.crs.proj, "OGC:CRS84", always_xy=True).transform(x, y)
    to_polar = pyproj.Transformer.from_crs("OGC:CRS84", "EPSG:3413", always_xy=True)
    px, py = to_polar.transform(*at)
    cosine, sine = np.cos(swath.angle), np.sin(swath.angle)
    px, py = (px - swath.middle[0]) / swath.cell, (py - swath.middle[1]) / swath.cell
    cols, rows = px * cosine + py * sine + swath.shape[1] / 2, py * cosine - px * sine + swath.shape[0] / 2
    within = (cols > 0.6) & (cols < swath.shape[1] - 0.6) & (rows > 0.6) & (rows < swath.shape[0] - 0.6)
    beyond = (cols < -0.1) | (cols > swath.shape[1] + 0.1) | (rows < -0.1) | (rows > swath.shape[0] + 0.1)
    assert within.sum() > 500
    assert np.isnan(found[beyond]).all()
    # Bilinear interpolation is off by an eighth of the second difference between pixels, here of (cell / radius)^2.
    bound = 300 * (swath.cell / RADIUS) ** 2
    assert np.abs(found[within] - field(*at)[within]).max() < bound + 2e-3 * 300 * swath.cell / RADIUS


def swath(side: int) -> xr.Dataset:
    """A lat/lon pair a pixel, the first of which is missing."""
    row, col = np.mgrid[:side, :side].astype("f8")
    longitudes, latitudes = 10 + 0.01 * col + 0.002 * row, 45 - 0.008 * row
    longitudes[0, 0] = latitudes[0, 0] = -999.0
    stated = {"_FillValue": -999.0}
    return xr.Dataset(
        {"v": (("row", "col"), (row + col).astype("f4"), {"coordinates": "lon lat"})},
        coords={
            "lon": (("row", "col"), longitudes, {"standard_name": "longitude", "units": "degrees_east", **stated}),
            "lat": (("row", "col"), latitudes, {"standard_name": "latitude", "units": "degrees_north", **stated}),
        },
    )


def test_coordinates_of_the_user_are_left_as_they_are() -> None:
    given = swath(40)
    before = given.copy(deep=True)
    builds.build(given, crs="OGC:CRS84")
    xr.testing.assert_identical(given, before)


def test_b10_what_places_pixels_counts_as_memory() -> None:
    """A longitude, a latitude, a vector and a place in the table for each pixel, in each of the processes."""
    size = 600**2
    one = pyramids.open_source(swath(600), crs="OGC:CRS84")
    several = pyramids.open_source([swath(600)], crs="OGC:CRS84")
    assert one.grid.resident_bytes >= 64 * size
    bare = builds.plan_for(pyramids.open_source(builds.data_array(np.zeros((600, 600), "f4"), cell=(800, -800))))
    for source in (one, several):
        plan = builds.plan_for(source)
        assert plan.peak - bare.peak > 0.9 * 64 * size
    with pytest.raises(LimitError, match="memory"):
        builds.plan_for(one, memory=bare.peak - bare.cache)
