"""Targets in other CRS, across the antimeridian and over poles, beside the field that the pyramids are made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from affine import Affine

import sphere
from geozarr import crs
from geozarr.errors import LimitError
from geozarr.grid import Bounds, Grid
from geozarr.window import Window
from sphere import DEGREES, MERCATOR, TURN, tile_at
from tiler import extent, select
from tiler.select import Warp
from tiler.source import ReadLimits, available_levels

if TYPE_CHECKING:
    from pathlib import Path

    from tiler.source import PyramidSource

DEGREE = TURN / 360
GRIDS = {
    "world": Grid((360, 720), Affine(0.5, 0, -180, 0, -0.5, 90), DEGREES),
    "from 0 to 360": Grid((360, 720), Affine(0.5, 0, 0, 0, -0.5, 90), DEGREES),
    # 225, then 113 columns: a turn is 112.5 of the third level's.
    "odd": Grid((225, 450), Affine(0.8, 0, -180, 0, -0.8, 90), DEGREES),
    "across": Grid((400, 800), Affine(0.025, 0, 170, 0, -0.025, -10), DEGREES),
    "mercator": Grid((512, 512), Affine(TURN / 512, 0, -TURN / 2, 0, -TURN / 512, TURN / 2), MERCATOR),
    "mercator across": Grid((400, 800), Affine(0.025 * DEGREE, 0, 170 * DEGREE, 0, -0.025 * DEGREE, -1.1e6), MERCATOR),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PyramidSource]:
    folder = tmp_path_factory.mktemp("globe")
    return {name: sphere.write(folder / f"{index}.zarr", grid) for index, (name, grid) in enumerate(GRIDS.items())}


def grid(code: str, size: float, x: float, y: float, *, side: int = 192) -> Grid:
    return Grid((side, side), Affine(size, 0, x, 0, -size, y), crs.from_code(code))


WHOLE = {  # targets that a whole world covers
    "tile of Web Mercator": tile_at("WebMercatorQuad", 3, 20, 40),
    "its westernmost tile": tile_at("WebMercatorQuad", 2, -179, 40),
    "its only tile": tile_at("WebMercatorQuad", 0, 20, 40),
    "tile of WGS 84": tile_at("WGS1984Quad", 3, 20, 40),
    "its eastern half": tile_at("WGS1984Quad", 0, 20, 40),
    "UTM 31": tile_at("UTM31WGS84Quad", 4, 3.2, 45),
    "LAEA of Europe": tile_at("EuropeanETRS89_LAEAQuad", 2, 10, 50),
    "degrees beyond 180": grid("EPSG:4326", 0.1, 170.3, 10),
    "degrees beyond -180": grid("EPSG:4326", 0.1, -189.7, 10),
    "degrees from 0 to 360": Grid((90, 180), Affine(2, 0, 0, 0, -1.8, 81), DEGREES),
    "Mercator beyond its edge": grid("EPSG:3857", 0.1 * DEGREE, 170.3 * DEGREE, 1e6),
    "UTM 1": grid("EPSG:32601", 8000, -300_000, 3e6),
    "UTM 60": grid("EPSG:32660", 8000, 100_000, 3e6),
    "near the pole, across 180": grid("EPSG:3413", 5000, -1.9e6, 1.9e6),
    "tile near the pole": tile_at("UPSArcticWGS84Quad", 5, 178, 84),
}
POLAR = {
    "a quarter with the pole at its corner": tile_at("UPSArcticWGS84Quad", 1, 30, 88),
    "the pole within": grid("EPSG:3413", 20_000, -1.9e6, 2.1e6),
    "the other pole within": grid("EPSG:3031", 20_000, -1.9e6, 1.8e6),
    # Points of a footprint are 500 km apart here, 9 cells; the pole is amid four of them.
    "the pole far from all points": grid("EPSG:3413", 28_000, -16.5 * 500_000, 16.5 * 500_000, side=575),
    "the pole at a side": grid("EPSG:3413", 20_000, 0, 2e6),
}


def read(source: PyramidSource, target: Grid, method: str | None = None) -> tuple[np.ndarray, float]:
    """Values with NaN for what is not valid, and the side of a cell that they were taken from, in degrees."""
    bands = source.pyramid.bands(())
    choice = select.choose(source.pyramid.levels, target, available=available_levels(bands))
    assert choice is not None
    block = source.read(choice, bands, method=method, reproject_method=method)
    size = max(source.pyramid.levels.levels[choice.level].grid.cell_size)
    return np.where(block.mask[0], block.values[0], np.nan), size if size < 10 else size / DEGREE


# The centre of the nearest cell is at most half a diagonal away, the field as steep as STEEPEST. Means of a 2 x 2 of
# finer levels' cells differ from the centre by a second order: 10 % is ample. Interpolated ones are off by the second
# order and by GDAL's approximation, 1/8 of a cell; averages of single cells by half a cell again.
ALLOWED = {None: 0.71 * 1.1, "nearest": 0.71 * 1.1, "bilinear": 0.25, "cubic": 0.25, "average": 0.8}


def assert_is_field(source: PyramidSource, target: Grid, method: str | None, *, covers: bool = True) -> None:
    found, size = read(source, target, method)
    expected = sphere.expected(target)
    valid = ~np.isnan(found)
    assert valid.all() if covers else valid.any()
    error = np.abs(found - expected)[valid]
    assert error.max() <= ALLOWED[method] * sphere.STEEPEST * size


@pytest.mark.parametrize("method", [None, "bilinear", "average"])
@pytest.mark.parametrize("name", ["world", "from 0 to 360", "odd", "mercator"])
@pytest.mark.parametrize("place", WHOLE)
def test_other_grids_show_the_field_without_a_seam(
    sources: dict[str, PyramidSource], name: str, place: str, method: str | None
) -> None:
    target = WHOLE[place]
    is_beyond = name == "mercator" and np.abs(sphere.degrees_at(target)[1]).max() > 85.05
    assert_is_field(sources[name], target, method, covers=not is_beyond)


@pytest.mark.parametrize("method", [None, "bilinear", "average"])
@pytest.mark.parametrize("name", ["world", "from 0 to 360", "odd"])
@pytest.mark.parametrize("place", POLAR)
def test_poles_are_no_holes(sources: dict[str, PyramidSource], name: str, place: str, method: str | None) -> None:
    assert_is_field(sources[name], POLAR[place], method)


@pytest.mark.parametrize("method", [None, "bilinear", "average"])
@pytest.mark.parametrize("name", ["world", "from 0 to 360", "mercator", "across"])
@pytest.mark.parametrize("code", ["ESRI:54009", "EPSG:8857", "ESRI:102017", "EPSG:3035"])
def test_maps_of_the_world_are_whole_to_their_rims(
    sources: dict[str, PyramidSource], name: str, code: str, method: str | None
) -> None:
    """Mollweide, Equal Earth and discs of equal area, within squares whose corners are nowhere."""
    x, y = (4.321e6, 3.21e6) if code == "EPSG:3035" else (0, 0)
    target = grid(code, 150_000, x - 19.5e6, y + 19.5e6, side=260)
    found, size = read(sources[name], target, method)
    lon, lat = sphere.degrees_at(target)
    with np.errstate(invalid="ignore"):
        inside = on_map = sphere.is_on_map(target)
        if name == "mercator":
            inside = on_map & (np.abs(lat) < 84)
        if name == "across":
            inside = on_map & (np.mod(lon, 360) > 172) & (np.mod(lon, 360) < 188) & (lat > -18) & (lat < -12)
    valid = ~np.isnan(found)
    assert inside.any()
    assert valid[inside].all()
    assert not valid[~on_map].any()
    error = np.abs(found - sphere.expected(target))[inside]
    # GDAL loses whole lines of a disc to NaN of PROJ where both its middle and its corners are nowhere in Mercator:
    # these cells are the nearest.
    method = "nearest" if (code, name) == ("ESRI:102017", "mercator") else method
    # Cells at a rim are stretched, and 1.35 degrees wide elsewhere.
    assert np.percentile(error, 99) <= ALLOWED[method] * sphere.STEEPEST * max(size, 1.35)


def test_mercator_ends_before_the_pole(sources: dict[str, PyramidSource]) -> None:
    target = POLAR["the pole within"]
    found, _ = read(sources["mercator"], target)
    latitude = sphere.degrees_at(target)[1]
    # The square of Web Mercator ends at atan(sinh(pi)).
    assert np.array_equal(~np.isnan(found), latitude < np.degrees(np.arctan(np.sinh(np.pi))))
    assert_is_field(sources["mercator"], target, "bilinear", covers=False)


ACROSS = {
    "tile in the west": tile_at("WebMercatorQuad", 5, -179, -15),
    "tile in the east": tile_at("WebMercatorQuad", 5, 179, -15),
    "degrees across 180": grid("EPSG:4326", 0.03, 177.7, -12.1),
    "degrees across -180": grid("EPSG:4326", 0.03, -182.3, -12.1),
    "Mercator across its edge": grid("EPSG:3857", 0.03 * DEGREE, 177.7 * DEGREE, -1.5e6),
    "UTM 1": grid("EPSG:32701", 3000, 100_000, 10e6 - 1.4e6),
    "UTM 60": grid("EPSG:32760", 3000, 400_000, 10e6 - 1.4e6),
    "polar": grid("EPSG:3031", 12_000, -1e6, -8e6 + 1e6),
    "the world's only tile": tile_at("WebMercatorQuad", 0, -179, -15),
    "half of the world": tile_at("WGS1984Quad", 0, -179, -15),
    "degrees from 0 to 360": Grid((180, 360), Affine(1, 0, 0, 0, -1, 90), DEGREES),
}


@pytest.mark.parametrize("method", [None, "bilinear", "average"])
@pytest.mark.parametrize("name", ["across", "mercator across"])
@pytest.mark.parametrize("place", ACROSS)
def test_pyramids_across_the_antimeridian_are_whole(
    sources: dict[str, PyramidSource], name: str, place: str, method: str | None
) -> None:
    target = ACROSS[place]
    found, size = read(sources[name], target, method)
    valid = ~np.isnan(found)
    lon, lat = sphere.degrees_at(target)
    outline = sources[name].pyramid.levels.finest.grid
    x, y = (lon, lat) if outline.crs == DEGREES else crs.transformer(DEGREES, MERCATOR).transform(lon, lat)
    turn, middle = (360, 180) if outline.crs == DEGREES else (TURN, TURN / 2)
    cols, rows = ~outline.transform @ (
        np.mod(np.asarray(x) - middle + turn / 2, turn) + middle - turn / 2,
        np.asarray(y),
    )
    # Half a cell of the coarsest level and of the target at the edges may be either way; `average` grows by a cell.
    reach = 8 + 2 * target.cell_size[0] / min(outline.cell_size) * (1 if target.crs.is_geographic else 1 / DEGREE)
    inside = (rows > reach) & (rows < 400 - reach) & (cols > reach) & (cols < 800 - reach)
    assert valid[inside].all()
    assert valid.any()
    # At the edges, a mean is of what part of the target's cell there is.
    size = max(size, target.cell_size[0] if target.crs.is_geographic else target.cell_size[0] / DEGREE)
    error = np.abs(found - sphere.expected(target))[valid]
    assert error.max() <= 2 * ALLOWED[method] * sphere.STEEPEST * size


@pytest.mark.parametrize("method", ["nearest", "bilinear", "average"])
@pytest.mark.parametrize(
    ("code", "x", "y", "elsewhere"),
    [
        ("EPSG:5514", -900_000, -900_000, tile_at("WebMercatorQuad", 6, 4, 67)),  # the Czech grid, told of Norway
        ("EPSG:2056", 2_400_000, 1_350_000, tile_at("WebMercatorQuad", 6, -174, -48)),  # the Swiss one, of its antipode
    ],
)
def test_no_place_shows_what_is_elsewhere(
    tmp_path: Path, code: str, x: float, y: float, elsewhere: Grid, method: str
) -> None:
    """Formulas of these projections lead from far away into their maps, as PROJ 9.5 computes them."""
    source = sphere.write(tmp_path / "x.zarr", grid(code, 1000, x, y, side=512))
    lon, lat = sphere.degrees_at(elsewhere)
    cols, rows = ~source.pyramid.levels.finest.grid.transform @ tuple(
        np.asarray(values) for values in crs.transformer(DEGREES, crs.from_code(code)).transform(lon, lat)
    )
    assert ((rows > 0) & (rows < 512) & (cols > 0) & (cols < 512)).any()
    block = source.read_grid(elsewhere, source.pyramid.bands(()), method=method, reproject_method=method)
    assert block is None or not block.mask.any()
    # At home it is there.
    home = sphere.degrees_at(source.pyramid.levels.finest.grid)
    block = source.read_grid(
        tile_at("WebMercatorQuad", 7, float(home[0].mean()), float(home[1].mean())),
        source.pyramid.bands(()),
        reproject_method=method,
    )
    assert block is not None
    assert block.mask.mean() > 0.5


def test_cells_in_place_come_from_beyond_the_edge_too(sources: dict[str, PyramidSource]) -> None:
    source = sources["world"]
    whole = source.pyramid.levels.finest.grid
    bands = source.pyramid.bands(())
    stored = source.read_window(0, whole.window, bands).values[0]
    for first in (700, -20, 1430):
        block = source.read_grid(whole.crop(Window(100, first, 30, 40)), bands)
        assert block is not None
        assert block.mask.all()
        assert np.array_equal(block.values[0], stored[100:130].take(range(first, first + 40), axis=1, mode="wrap"))


@pytest.mark.parametrize("method", ["bilinear", "cubic", "lanczos", "average"])
@pytest.mark.parametrize("code", ["EPSG:4326", "EPSG:3857"])
def test_neighbours_meet_where_cells_are_much_larger_than_those_of_the_level(
    sources: dict[str, PyramidSource], code: str, method: str
) -> None:
    """Kernels reach beyond the target by as many of its own cells as always."""
    size = 15 * (1 if code == "EPSG:4326" else DEGREE)  # the coarsest cells have 2 degrees
    large = Grid((6, 10), Affine(size, 0, -4.7 * size, 0, -size, 2.6 * size), crs.from_code(code))
    source = sources["world"]
    whole = source.read_grid(large, source.pyramid.bands(()), method=method, reproject_method=method)
    part = source.read_grid(
        large.crop(Window(2, 3, 2, 4)), source.pyramid.bands(()), method=method, reproject_method=method
    )
    assert whole is not None
    assert part is not None
    # GDAL takes the width of its kernel from the size of what it warps, which is rounded to cells: 1/1000 here.
    # Kernels that end too early, 4 cells away, differ by 16/1000.
    assert np.abs(part.values[0] - whole.values[0, 2:4, 3:7]).max() <= 0.005 * np.ptp(whole.values)


def test_little_is_read_across_the_antimeridian(sources: dict[str, PyramidSource]) -> None:
    levels = sources["world"].pyramid.levels
    for name in ("degrees beyond 180", "degrees beyond -180", "Mercator beyond its edge", "UTM 1", "UTM 60"):
        choice = select.choose(levels, WHOLE[name], available=frozenset({0, 1, 2}))
        assert isinstance(choice, Warp)
        assert len(choice.pieces) == 2
        width = levels.levels[choice.level].grid.width
        assert sum(piece.window.width for piece in choice.pieces) < width / 4
        assert {piece.window.col_stop for piece in choice.pieces} >= {width}
        assert 0 in {piece.window.col for piece in choice.pieces}


def test_boxes_are_told_across_the_antimeridian(sources: dict[str, PyramidSource]) -> None:
    source = sources["world"]
    bands = source.pyramid.bands(())
    levels = source.pyramid.levels
    one = extent.part_grid(levels, Bounds(170, -20, -170, 0), DEGREES, DEGREES, width=100)
    other = extent.part_grid(levels, Bounds(170, -20, 190, 0), DEGREES, DEGREES, width=100)
    assert one == other
    assert one.bounds == pytest.approx((170, -20, 190, 0))
    assert (
        np.nanmax(np.abs(source.read_grid(one, bands).values[0] - sphere.expected(one))) <= 0.8 * sphere.STEEPEST * 0.5
    )
    for code in ("EPSG:3857", "EPSG:32660"):
        target = extent.part_grid(levels, Bounds(175, -20, -175, 0), DEGREES, crs.from_code(code), width=100)
        assert_is_field(source, target, "bilinear")


def test_a_point_is_found_in_any_turn(sources: dict[str, PyramidSource]) -> None:
    for name, lon in (("across", -175.01), ("across", 184.99), ("from 0 to 360", -80.1), ("world", 279.9)):
        source = sources[name]
        block = source.read_point(lon, -15.01, DEGREES, source.pyramid.bands(()))
        assert block is not None
        step = source.pyramid.levels.finest.grid.cell_size[0]
        assert abs(block.values[0, 0, 0] - sphere.field(lon, -15.01)) <= 0.71 * step * sphere.STEEPEST
    assert sources["across"].read_point(100, -15, DEGREES, sources["across"].pyramid.bands(())) is None


@pytest.fixture(scope="module")
def chunked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The world in chunks of 64 x 64 cells."""
    path = tmp_path_factory.mktemp("chunked") / "x.zarr"
    sphere.write(path, GRIDS["world"], chunk=64)
    return path


def limited(path: Path, **limits: int) -> PyramidSource:
    return sphere.reopened(path, limits=ReadLimits(**limits))


@pytest.mark.parametrize(("chunks", "level"), [(64, 0), (12, 0), (11, 1), (6, 1), (5, 2), (3, 2)])
def test_a_ring_that_costs_too_much_is_read_from_a_coarser_level(
    chunked: Path, monkeypatch: pytest.MonkeyPatch, chunks: int, level: int
) -> None:
    """The ring from 77 degrees to the pole is 720, 360 and 180 columns: 12, 6 and 3 chunks of 64, one row of them."""
    source = limited(chunked, chunks=chunks)
    bands = source.pyramid.bands(())
    target = grid("EPSG:3413", 20_000, -1e6, 1e6, side=100)
    levels: list[int] = []
    reading = source.read_window
    monkeypatch.setattr(source, "read_window", lambda at, *rest: levels.append(at) or reading(at, *rest))
    block = source.read_grid(target, bands)
    assert block is not None
    assert set(levels) == {level}
    assert block.mask.all()
    assert np.abs(block.values[0] - sphere.expected(target)).max() <= 0.8 * sphere.STEEPEST * 0.5 * 2**level


def test_what_no_level_can_afford_is_refused(chunked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = limited(chunked, chunks=2)
    monkeypatch.setattr(source, "read_window", lambda *_: pytest.fail("something was read"))
    with pytest.raises(LimitError) as caught:
        source.read_grid(grid("EPSG:3413", 20_000, -1e6, 1e6, side=100), source.pyramid.bands(()))
    # The coarsest level's ring has 180 columns, in 3 chunks of 64.
    assert (caught.value.limit, caught.value.allowed, caught.value.found) == ("chunks of a read", 2, 3)


def test_aligned_cells_never_come_from_another_level(chunked: Path) -> None:
    source = limited(chunked, chunks=2)
    with pytest.raises(LimitError):
        source.read_grid(source.pyramid.levels.finest.grid, source.pyramid.bands(()))


def test_a_target_of_too_many_cells_is_refused_before_anything_else(sources: dict[str, PyramidSource]) -> None:
    source = sources["world"]
    for target in (grid("EPSG:32631", 1e-3, 5e5, 1e6, side=10**7), grid("EPSG:4326", 1e-9, 400, 400, side=10**7)):
        with pytest.raises(LimitError) as caught:
            source.read_grid(target, source.pyramid.bands(()))
        assert caught.value.found == 10**14
