from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st

from geozarr import crs, levels, tms
from geozarr.errors import ParameterError, TileOutsideLimitsError, UnknownNameError, UnsupportedError
from geozarr.grid import Bounds, Grid
from geozarr.tms import TileLimits, TileMatrix, TileMatrixSet
from geozarr.window import Window
from pyramid_factory import web_mercator_levels
from tiler import select
from tiler.footprint import Piece
from tiler.select import Copy, Tileset, Warp, own_tms, whole_set

QUAD = tms.load("WebMercatorQuad")
LAYOUT = web_mercator_levels(zoom=10, count=3, row=100, col=50)  # zooms 10, 9, 8; tile (100, 50) of zoom 8
ALL = frozenset({0, 1, 2})
OWN = Tileset(LAYOUT, QUAD)


@given(zoom=st.integers(8, 10), row=st.integers(0, 3), col=st.integers(0, 3))
def test_a_stored_tile_is_the_chunk_at_its_offset_from_the_limits(zoom: int, row: int, col: int) -> None:
    side = 2 ** (zoom - 8)
    row, col = row % side, col % side
    found = OWN.choose(str(zoom), row=100 * side + row, col=50 * side + col, available=ALL)
    assert found == Copy(10 - zoom, Window(256 * row, 256 * col, 256, 256))


@pytest.mark.parametrize(("row", "col"), [(399, 200), (400, 199), (404, 200), (400, 204), (0, 0)])
def test_a_tile_outside_the_limits_is_refused(row: int, col: int) -> None:
    with pytest.raises(TileOutsideLimitsError) as caught:
        OWN.choose("10", row=row, col=col, available=ALL)
    assert caught.value.tile == ("10", row, col)
    assert caught.value.limits == TileLimits("10", 400, 403, 200, 203)


def test_a_tile_outside_the_matrix_is_refused() -> None:
    for row, col in ((2**12, 0), (0, 2**12)):
        with pytest.raises(TileOutsideLimitsError):
            OWN.choose("12", row=row, col=col, available=ALL)


def test_an_unknown_matrix_is_refused() -> None:
    with pytest.raises(UnknownNameError):
        OWN.choose("25", row=0, col=0, available=ALL)


@given(steps=st.integers(1, 14), row=st.integers(0, 4 * 2**14 - 1), col=st.integers(0, 4 * 2**14 - 1))
def test_a_finer_tile_repeats_the_cells_of_its_ancestor(steps: int, row: int, col: int) -> None:
    factor = 2**steps
    row, col = row % (4 * factor), col % (4 * factor)
    found = OWN.choose(str(10 + steps), row=400 * factor + row, col=200 * factor + col, available=ALL)
    # The centre of each cell of the tile, in cells of the finest level, counted in whole quarters of a tile cell.
    rows = [(256 * row + step) * 2 + 1 for step in range(256)]
    cols = [(256 * col + step) * 2 + 1 for step in range(256)]
    assert [found.window.row + step for step in found.rows] == [value // (2 * factor) for value in rows]
    assert [found.window.col + step for step in found.cols] == [value // (2 * factor) for value in cols]
    assert found.level == 0
    assert found.window.height == max(1, 256 // factor)


def test_finer_tiles_have_the_limits_of_the_finest_level_halved() -> None:
    OWN.choose("12", row=1600, col=815, available=ALL)
    with pytest.raises(TileOutsideLimitsError) as caught:
        OWN.choose("12", row=1599, col=800, available=ALL)
    assert caught.value.limits == TileLimits("12", 1600, 1615, 800, 815)


def test_a_coarser_tile_is_shrunk_from_the_coarsest_level() -> None:
    found = OWN.choose("6", row=25, col=12, available=ALL)
    assert isinstance(found, Warp)
    assert (found.level, found.shrink) == (2, pytest.approx(4.0))
    assert found.pieces == (Piece(Window(0, 0, 256, 256), 0),)
    with pytest.raises(TileOutsideLimitsError):
        OWN.choose("6", row=25, col=13, available=ALL)


def test_parents_of_the_limits_are_served_down_to_the_single_tile() -> None:
    for zoom in range(8):
        assert isinstance(OWN.choose(str(zoom), row=100 >> (8 - zoom), col=50 >> (8 - zoom), available=ALL), Warp)


def test_a_level_that_lacks_the_data_is_made_from_another() -> None:
    found = OWN.choose("9", row=200, col=100, available=frozenset({0}))
    assert isinstance(found, Warp)
    assert (found.level, found.shrink) == (0, pytest.approx(2.0))
    # Without the finest level, its tiles are parts of the next one.
    assert OWN.choose("10", row=401, col=200, available=frozenset({1})).window == Window(128, 0, 128, 128)


def test_rows_counted_from_below_are_flipped() -> None:
    turned = tuple(
        replace(matrix, cornerOfOrigin="bottomLeft", pointOfOrigin=(matrix.pointOfOrigin[0], -matrix.pointOfOrigin[1]))
        for matrix in QUAD.tileMatrices
    )
    below = replace(QUAD, id="below", tileMatrices=turned)
    limits = TileLimits("8", 255 - 100, 255 - 100, 50, 50)
    layout = levels.from_tms(below, limits, count=3)
    assert layout.finest.grid.bounds == pytest.approx(LAYOUT.finest.grid.bounds)
    tileset = Tileset(layout, below)
    for zoom, row in (("10", 400), ("9", 201), ("13", 3201)):
        same = OWN.choose(zoom, row=row, col=50 * 2 ** (int(zoom) - 8), available=ALL)
        height = 2 ** int(zoom)
        assert tileset.choose(zoom, row=height - 1 - row, col=50 * 2 ** (int(zoom) - 8), available=ALL) == same


def test_matrices_whose_tops_do_not_meet_are_not_copied_from() -> None:
    # Counted from below, 3 rows of fine tiles stand beside 1 coarse one: the third row is above its top.
    coarse = TileMatrix("0", 2000.0, 2.0, (0.0, 0.0), 256, 256, 1, 1, "bottomLeft")
    fine = TileMatrix("1", 1000.0, 1.0, (0.0, 0.0), 256, 256, 2, 3, "bottomLeft")
    below = TileMatrixSet("below", QUAD.crs, (coarse, fine))
    layout = levels.from_tms(below, TileLimits("0", 0, 0, 0, 0), count=1)
    found = Tileset(layout, below).choose("1", row=0, col=0, available=frozenset({0}))
    assert isinstance(found, Warp)
    # The lowest fine row lies over the lower half of the coarse tile's 256 rows.
    assert found.pieces == (Piece(Window(128 - 4, 0, 128 + 4, 128 + 4), 0),)


def test_the_zoom_range_is_that_of_the_levels() -> None:
    assert (OWN.minzoom, OWN.maxzoom, OWN.is_aligned) == ("8", "10", True)
    other = Tileset(LAYOUT, tms.load("WorldCRS84Quad"))
    # WorldCRS84Quad has cells of 180 / 256 / 2**z degrees, WebMercatorQuad of 360 / 256 / 2**z at the equator; the
    # latitude makes Mercator's cells smaller, by the cosine, in y alone.
    latitude = math.radians(select.transform_point(0, LAYOUT.finest.grid.bounds.ymin, QUAD.crs, degrees())[1])
    wanted = 10 - 1 + math.log2(1 / math.sqrt(math.cos(latitude)))
    assert int(other.maxzoom) == round(wanted)
    assert not other.is_aligned


def degrees() -> crs.CRS:
    return crs.from_code("EPSG:4326")


def test_the_whole_registered_set_is_served_where_the_store_names_a_part() -> None:
    assert LAYOUT.tms is not None
    assert LAYOUT.tms.ids == ("8", "9", "10")
    assert own_tms(LAYOUT) == QUAD
    assert own_tms(levels.from_halving(LAYOUT.finest.grid, count=2)) is None


def test_a_custom_set_goes_on_by_halving_and_doubling() -> None:
    found = whole_set(replace(LAYOUT.tms, id="mine"))
    assert found.ids == tuple(str(number) for number in range(31))
    for zoom in ("0", "7", "11", "24"):
        matrix, same = found.matrix(zoom), QUAD.matrix(zoom)
        assert matrix.cellSize == pytest.approx(same.cellSize, rel=1e-12)
        assert (matrix.matrixWidth, matrix.matrixHeight) == (same.matrixWidth, same.matrixHeight)


def test_a_set_whose_name_is_registered_but_not_its_matrices_stays_its_own() -> None:
    smaller = tuple(
        replace(matrix, cellSize=matrix.cellSize / 1.5, scaleDenominator=matrix.scaleDenominator / 1.5)
        for matrix in LAYOUT.tms.tileMatrices
    )
    found = whole_set(replace(LAYOUT.tms, tileMatrices=smaller))
    assert found.matrix("8").cellSize == QUAD.matrix("8").cellSize / 1.5


def test_a_set_whose_ids_are_no_numbers_is_served_as_it_is() -> None:
    named = tuple(replace(matrix, id=f"level-{matrix.id}") for matrix in LAYOUT.tms.tileMatrices)
    found = whole_set(replace(LAYOUT.tms, id="mine", tileMatrices=named))
    assert found.ids == ("level-8", "level-9", "level-10")


def test_sets_that_have_no_single_grid_are_not_supported() -> None:
    with pytest.raises(UnsupportedError, match="coalesced"):
        Tileset(LAYOUT, tms.load("GNOSISGlobalGrid"))


def test_a_grid_in_place_is_copied_from_the_level_of_its_cells() -> None:
    target = LAYOUT.levels[1].grid.crop(Window(-3, 5, 20, 30))
    assert select.choose(LAYOUT, target, available=ALL) == Copy(1, Window(-3, 5, 20, 30))


@pytest.mark.parametrize(("ratio", "level"), [(0.2, 0), (1.0, 0), (1.4, 0), (1.42, 1), (2.8, 1), (2.9, 2), (50.0, 2)])
def test_the_level_is_the_nearest_in_cell_size_by_ratio(ratio: float, level: int) -> None:
    bounds = LAYOUT.finest.grid.bounds
    x, y = (bounds.xmin + bounds.xmax) / 2 + 0.3, (bounds.ymin + bounds.ymax) / 2
    cell = LAYOUT.finest.grid.cell_size[0] * ratio
    target = Grid((4, 4), Affine(cell, 0, x, 0, -cell, y), QUAD.crs)
    assert select.choose(LAYOUT, target, available=ALL).level == level


@pytest.mark.parametrize(
    ("ratio", "coarser", "finer"),
    [
        (0.2, 0, 0),
        (0.9, 0, 0),
        (1.0, 0, 0),
        (1.005, 0, 0),
        (1.1, 1, 0),
        (1.9, 1, 0),
        (1.995, 1, 1),
        (2.0, 1, 1),
        (2.01, 1, 1),
        (2.1, 2, 1),
        (3.9, 2, 1),
        (4.0, 2, 2),
        (4.5, 2, 2),
        (100.0, 2, 2),
    ],
)
def test_a_strategy_prefers_coarser_or_finer_cells(ratio: float, coarser: int, finer: int) -> None:
    """Levels have cells of 1, 2 and 4; equal within a hundredth, and the last of all where none is as wished."""
    bounds = LAYOUT.finest.grid.bounds
    x, y = (bounds.xmin + bounds.xmax) / 2 + 0.3, (bounds.ymin + bounds.ymax) / 2
    cell = LAYOUT.finest.grid.cell_size[0] * ratio
    target = Grid((4, 4), Affine(cell, 0, x, 0, -cell, y), QUAD.crs)
    assert select.choose(LAYOUT, target, available=ALL, strategy="coarser").level == coarser
    assert select.choose(LAYOUT, target, available=ALL, strategy="finer").level == finer
    # In another CRS as well, where the cell's size is told in the middle.
    utm = crs.from_code("EPSG:32611")
    place = select.transform_point(x, y, QUAD.crs, utm)
    latitude = math.radians(select.transform_point(x, y, QUAD.crs, degrees())[1])
    cell *= math.cos(latitude)  # metres of Web Mercator there, less 0.1 % for the scale of UTM and the ellipsoid
    target = Grid((4, 4), Affine(cell, 0, place[0], 0, -cell, place[1]), utm)
    if ratio not in (1.005, 1.995, 2.01):
        assert select.choose(LAYOUT, target, available=ALL, strategy="coarser").level == coarser
        assert select.choose(LAYOUT, target, available=ALL, strategy="finer").level == finer


def test_a_strategy_knows_what_levels_there_are() -> None:
    bounds = LAYOUT.finest.grid.bounds
    cell = LAYOUT.finest.grid.cell_size[0]
    target = Grid((4, 4), Affine(2 * cell, 0, bounds.xmin + 0.3, 0, -2 * cell, bounds.ymax), QUAD.crs)
    some = frozenset({0, 2})
    assert select.choose(LAYOUT, target, available=some, strategy="coarser").level == 2
    assert select.choose(LAYOUT, target, available=some, strategy="finer").level == 0


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ParameterError) as caught:
        select.choose(LAYOUT, LAYOUT.finest.grid, available=ALL, strategy="best")
    assert (caught.value.parameter, caught.value.found) == ("level strategy", "best")


def test_tiles_of_stored_cells_know_no_strategy() -> None:
    for strategy in select.STRATEGIES:
        assert OWN.choose("9", row=200, col=100, available=ALL, strategy=strategy) == Copy(1, Window(0, 0, 256, 256))
        assert OWN.choose("11", row=800, col=400, available=ALL, strategy=strategy).level == 0
    other = Tileset(LAYOUT, tms.load("WGS1984Quad"))
    lon, lat = select.transform_point(*_middle(LAYOUT.finest.grid), QUAD.crs, degrees())
    matrix = other.tms.matrix_grid("9")
    col, row = (int(value // 256) for value in ~matrix.transform @ (lon, lat))
    levels_of = {
        strategy: other.choose("9", row=row, col=col, available=ALL, strategy=strategy).level
        for strategy in select.STRATEGIES
    }
    assert levels_of["finer"] < levels_of["coarser"]
    assert levels_of["nearest"] in (levels_of["finer"], levels_of["coarser"])


def _middle(grid: Grid) -> tuple[float, float]:
    return (grid.bounds.xmin + grid.bounds.xmax) / 2, (grid.bounds.ymin + grid.bounds.ymax) / 2


def test_a_dear_level_gives_way_to_the_next_that_is_not() -> None:
    bounds = LAYOUT.finest.grid.bounds
    cell = LAYOUT.finest.grid.cell_size[0]
    target = Grid((64, 64), Affine(cell, 0, bounds.xmin + 0.3, 0, -cell, bounds.ymax), QUAD.crs)
    wanted = select.choose(LAYOUT, target, available=ALL)
    assert wanted.level == 0
    for most, level in ((10**6, 0), (4000, 1), (1000, 2), (0, 2)):
        asked: list[int] = []

        def is_affordable(warp: Warp, most: int = most, asked: list[int] = asked) -> bool:
            asked.append(warp.level)
            return sum(piece.window.size for piece in warp.pieces) <= most

        found = select.affordable(LAYOUT, wanted, available=ALL, is_affordable=is_affordable)
        assert found.level == level
        assert asked == list(range(min(level + 1, 2)))  # the last is taken as it is
        assert found.shrink == pytest.approx(1 / 2**level)
        (piece,) = found.pieces
        # 64, 32 and 16 cells, one that the edge lies in, and 4 on the side where there are any.
        assert piece.window == Window(0, 0, 64 // 2**level + 4, 64 // 2**level + 5)
    some = select.affordable(LAYOUT, wanted, available=frozenset({0, 2}), is_affordable=lambda warp: warp.level == 1)
    assert some.level == 2


def test_the_grid_of_a_tile_is_that_of_its_matrix() -> None:
    plain = OWN.tile_grid("9", row=200, col=100)
    assert plain == LAYOUT.levels[1].grid.crop(Window(0, 0, 256, 256))
    with pytest.raises(TileOutsideLimitsError):
        OWN.tile_grid("9", row=512, col=0)
    with pytest.raises(UnknownNameError):
        OWN.tile_grid("31", row=0, col=0)


def test_a_grid_elsewhere_touches_nothing() -> None:
    bounds = LAYOUT.finest.grid.bounds
    beside = Bounds(bounds.xmax, bounds.ymin, bounds.xmax + 1000, bounds.ymax)
    target = select.grid_of_bounds(beside, QUAD.crs, height=8, width=8)
    assert select.choose(LAYOUT, target, available=ALL) is None
    far = select.grid_of_bounds(Bounds(100, 10, 101, 11), degrees(), height=8, width=8)
    assert select.choose(LAYOUT, far, available=ALL) is None


def test_the_window_covers_every_target_cell_and_little_more() -> None:
    utm = crs.from_code("EPSG:32611")
    inside = select.transform_bounds(LAYOUT.finest.grid.bounds, QUAD.crs, utm)
    middle = Bounds(
        *(inside[i] + (inside[i + 2] - inside[i]) * 0.3 for i in (0, 1)),
        *(inside[i] + (inside[i + 2] - inside[i]) * 0.6 for i in (0, 1)),
    )
    target = select.grid_of_bounds(middle, utm, height=200, width=200)
    found = select.choose(LAYOUT, target, available=ALL)
    rows, cols = np.mgrid[0:200, 0:200] + 0.5
    xs, ys = target.transform @ (cols, rows)
    px, py = crs.transformer(utm, QUAD.crs).transform(xs, ys)
    level = LAYOUT.levels[found.level].grid
    cell_cols, cell_rows = ~level.transform @ (np.asarray(px), np.asarray(py))
    ((window, turns),) = ((piece.window, piece.turns) for piece in found.pieces)
    assert turns == 0
    assert window.row < cell_rows.min()
    assert window.row_stop > cell_rows.max()
    assert window.col < cell_cols.min()
    assert window.col_stop > cell_cols.max()
    assert window.height < np.ptp(cell_rows) + 12
    assert window.width < np.ptp(cell_cols) + 12


def test_a_pole_inside_a_box_is_in_its_image() -> None:
    polar = crs.from_code("EPSG:3031")
    box = select.transform_bounds(Bounds(-1e6, -1e6, 1e6, 1e6), polar, degrees())
    assert box.ymin == pytest.approx(-90)
    assert box.xmax - box.xmin > 340  # samples are about 10 degrees apart on this box


def test_points_without_an_image_are_left_out() -> None:
    mercator = select.transform_bounds(Bounds(-180, -90, 180, 90), degrees(), QUAD.crs)
    assert all(map(math.isfinite, mercator))
    assert select.transform_point(0, 91, degrees(), QUAD.crs) is None


@given(x=st.integers(-50, 350), y=st.integers(-50, 250))
def test_a_cell_holds_the_points_between_its_edges(x: int, y: int) -> None:
    grid = Grid((20, 30), Affine(10, 0, 0, 0, -10, 200), QUAD.crs)
    found = select.cell_at(grid, x, y)
    if not (0 <= x <= 300 and 0 <= y <= 200):
        assert found is None
    else:
        row, col = found
        assert col * 10 <= x <= col * 10 + 10
        assert 200 - row * 10 - 10 <= y <= 200 - row * 10


def test_a_small_image_is_found_in_a_large_target() -> None:
    utm = Grid((300, 200), Affine(1000.0, 0, 400_000.0, 0, -1000.0, 4_500_000.0), crs.from_code("EPSG:32613"))
    layout = levels.from_halving(utm, count=1)
    world = QUAD.matrix_grid("0")
    found = select.choose(layout, world, available=frozenset({0}))
    assert found.pieces == (Piece(utm.window, 0),)
    # 105 W and 39 N lie at column 53 and row 97 of 256.
    assert found.part.contains(Window(97, 53, 1, 1))
    assert found.part.height < 10
