from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import morecantile
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr import (
    Bounds,
    MetadataError,
    ParameterError,
    TileLimits,
    TileMatrix,
    TileMatrixSet,
    TileOutsideLimitsError,
    UnknownNameError,
    UnsupportedError,
    crs,
    tms,
)
from strategies import PLAIN_SETS, known_crs, known_tms, tiles

if TYPE_CHECKING:
    from pathlib import Path

EDGE = math.pi * 6378137.0  # half the side of the Web Mercator square
# 17-083r4 Annex D: sets of which each matrix has 2 x 2 tiles for each tile of the next coarser one.
NESTED_SETS = (
    "EuropeanETRS89_LAEAQuad",
    "NZTM2000Quad",
    "UTM31WGS84Quad",
    "WGS1984Quad",
    "WebMercatorQuad",
    "WorldCRS84Quad",
    "WorldMercatorWGS84Quad",
)


def document(**changes: object) -> dict:
    """A set of two matrices with letters as ids, the coarse one 2 x 1 tiles of 10 x 10 cells of 4 m."""
    matrix = {
        "id": "coarse",
        "scaleDenominator": 4 / 0.28e-3,
        "cellSize": 4,
        "pointOfOrigin": [100, 1000],
        "tileWidth": 10,
        "tileHeight": 10,
        "matrixWidth": 2,
        "matrixHeight": 1,
    }
    fine = {"id": "fine", "scaleDenominator": 2 / 0.28e-3, "cellSize": 2, "matrixWidth": 4, "matrixHeight": 2}
    return {
        "id": "Letters",
        "crs": "http://www.opengis.net/def/crs/EPSG/0/32618",
        "tileMatrices": [{**matrix, **fine}, matrix],
        **changes,
    }


def letters(*, corner: str = "topLeft") -> TileMatrixSet:
    made = document()
    for matrix in made["tileMatrices"]:
        matrix["cornerOfOrigin"] = corner
    return tms.load(made)


# Documents


@pytest.mark.parametrize("name", tms.known_ids())
def test_a_registered_set_survives_its_document(name: str) -> None:
    made = known_tms(name)
    again = tms.from_document(json.loads(json.dumps(made.to_document())))
    assert again == made
    assert again.to_document() == made.to_document()


@pytest.mark.parametrize("name", tms.known_ids())
def test_numbers_of_a_registered_set_are_kept_bit_by_bit(name: str) -> None:
    theirs = {matrix.id: matrix for matrix in morecantile.tms.get(name).tileMatrices}
    ours = known_tms(name).to_document()["tileMatrices"]
    assert {matrix["id"] for matrix in ours} == set(theirs)
    for matrix in ours:
        other = theirs[matrix["id"]]
        assert matrix["cellSize"] == other.cellSize
        assert matrix["scaleDenominator"] == other.scaleDenominator
        assert tuple(matrix["pointOfOrigin"]) == tuple(other.pointOfOrigin)


def test_the_ogc_documents_survive(spec_dir: Path) -> None:
    paths = sorted((spec_dir / "examples" / "tms" / "2.0" / "tilematrixset").glob("*.json"))
    assert len(paths) == 11
    for path in paths:
        theirs = json.loads(path.read_text(encoding="utf-8"))
        made = tms.load(path)
        ours = made.to_document()
        assert tms.from_document(ours) == made
        kept = ("id", "uri", "title", "crs")
        assert {key: ours.get(key) for key in kept} == {key: theirs.get(key) for key in kept}
        by_id = {matrix["id"]: matrix for matrix in ours["tileMatrices"]}
        for matrix in theirs["tileMatrices"]:
            matrix.setdefault("cornerOfOrigin", "topLeft")
            matrix.pop("title", None)
            if matrix.get("variableMatrixWidths") == []:
                del matrix["variableMatrixWidths"]
            assert by_id[matrix["id"]] == matrix


def test_the_order_of_the_axes_is_the_ogc_documents(spec_dir: Path) -> None:
    # They name the axes X, Y; E, N; Lon, Lat; we name them E, N or Lon, Lat, in the same order.
    words = {"X": "E", "Y": "N"}
    for path in sorted((spec_dir / "examples" / "tms" / "2.0" / "tilematrixset").glob("*.json")):
        theirs = json.loads(path.read_text(encoding="utf-8"))["orderedAxes"]
        assert tms.load(path).to_document()["orderedAxes"] == [words.get(axis, axis) for axis in theirs]


@pytest.mark.parametrize("name", tms.known_ids())
def test_registered_sets_are_read_by_morecantile_again(name: str) -> None:
    again = known_tms(name).to_morecantile()
    theirs = morecantile.tms.get(name)
    assert again.crs._pyproj_crs == theirs.crs._pyproj_crs
    assert again.tileMatrices == theirs.tileMatrices
    assert again.bbox == theirs.bbox


def test_morecantile_reads_northings_first_where_the_abbreviations_mislead() -> None:
    # EPSG:31467 calls its northing X.
    made = tms.load(document(crs="EPSG:31467", tileMatrices=[{**document()["tileMatrices"][1], "id": "0"}]))
    assert made.tileMatrices[0].pointOfOrigin == (1000, 100)
    bounds = made.to_morecantile().xy_bounds(1, 0, 0)
    assert tuple(bounds) == tuple(made.tile_bounds("0", row=0, col=1)) == (1040, 60, 1080, 100)


def test_ids_that_are_no_numbers_stay_out_of_morecantile() -> None:
    with pytest.raises(UnsupportedError, match="whole numbers"):
        letters().to_morecantile()


def test_point_of_origin_is_in_the_order_of_the_crs() -> None:
    lat_lon, lon_lat = known_tms("WGS1984Quad"), known_tms("WorldCRS84Quad")
    assert lat_lon.tileMatrices[0].pointOfOrigin == lon_lat.tileMatrices[0].pointOfOrigin == (-180, 90)
    assert lat_lon.to_document()["tileMatrices"][0]["pointOfOrigin"] == [90, -180]
    assert lon_lat.to_document()["tileMatrices"][0]["pointOfOrigin"] == [-180, 90]


def test_matrices_are_sorted_from_coarse_to_fine() -> None:
    assert letters().ids == ("coarse", "fine")
    assert letters().index_of("fine") == 1


# How far the registered numbers are from 0.28 mm pixels; Canada's follow 96 dpi, CDB1, GNOSIS and UPS were rounded.
DENOMINATOR_ERRORS = {
    "CanadianNAD83_LCC": 0.06,
    "CDB1GlobalGrid": 1e-4,
    "GNOSISGlobalGrid": 3e-5,
    "UPSArcticWGS84Quad": 3e-8,
    "UPSAntarcticWGS84Quad": 3e-8,
}


@pytest.mark.parametrize("name", tms.known_ids())
def test_scale_denominators_belong_to_the_cell_sizes(name: str) -> None:
    made = known_tms(name)
    for matrix in made.to_document()["tileMatrices"]:
        expected = matrix["cellSize"] * made.crs.metres_per_unit / tms.PIXEL_SIZE
        assert matrix["scaleDenominator"] == pytest.approx(expected, rel=DENOMINATOR_ERRORS.get(name, 1e-10))


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("http://www.opengis.net/def/crs/EPSG/0/3857", "EPSG:3857"),
        ("https://www.opengis.net/def/crs/EPSG/9.9.1/3857", "EPSG:3857"),
        ({"uri": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}, "OGC:CRS84"),
        ("http://www.opengis.net/def/crs/OGC/0/CRS84", "OGC:CRS84"),
        ("http://www.opengis.net/def/crs/IAU/2015/30100", "IAU_2015:30100"),
        ("urn:ogc:def:crs:EPSG::3035", "EPSG:3035"),
        ("EPSG:3035", "EPSG:3035"),
        ("[EPSG:3035]", "EPSG:3035"),
        ({"wkt": known_crs("EPSG:27700").to_projjson()}, "EPSG:27700"),
    ],
)
def test_a_crs_is_read_in_every_form_of_the_standard(value: object, code: str) -> None:
    made = tms.load(document(crs=value))
    assert made.crs.code == code
    assert tms.load(made.to_document()) == made


def test_the_key_of_tms_1_is_read_too() -> None:
    old = document(supportedCRS="urn:ogc:def:crs:EPSG::32618")
    del old["crs"]
    assert tms.load(old).crs == known_crs("EPSG:32618")


def test_a_crs_without_a_code_is_written_as_projjson() -> None:
    made = letters()
    own = replace(made, crs=crs.from_wkt2(made.crs.wkt2.replace('"False easting",500000', '"False easting",500001')))
    assert own.crs.code is None
    written = own.to_document()
    assert written["crs"]["wkt"]["type"] == "ProjectedCRS"
    assert tms.load(written) == own


@pytest.mark.parametrize(
    "value",
    [
        "",
        "WGS 84",
        "+proj=longlat",
        "+proj=longlat +title=a:b",
        "grid.prj",
        "http://example.com/def/crs/EPSG/0/3857",
        "http://www.opengis.net/def/crs-compound?1=http://www.opengis.net/def/crs/EPSG/0/3857",
        "http://www.opengis.net/def/crs/EPSG/0/99999999",
        "http://www.opengis.net/def/crs/EPSG/0/4978",
        {"uri": "grid.prj"},
        {"wkt": "PROJCRS[]"},
        {"wkt": {"proj": "longlat"}},
        {},
        [],
        5,
        True,
    ],
)
def test_a_crs_in_another_form_is_refused(value: object) -> None:
    with pytest.raises(MetadataError) as caught:
        tms.load(document(crs=value))
    assert (caught.value.node, caught.value.key) == ("tileMatrixSet", "crs")


def test_a_reference_system_without_a_definition_is_not_supported() -> None:
    with pytest.raises(UnsupportedError) as caught:
        tms.load(document(crs={"referenceSystem": {"name": "x"}}))
    assert caught.value.feature == "crs.referenceSystem"


MALFORMED_SETS = [
    ({"crs": None}, "crs"),
    ({"tileMatrices": None}, "tileMatrices"),
    ({"tileMatrices": []}, "tileMatrices"),
    ({"tileMatrices": {}}, "tileMatrices"),
    ({"tileMatrices": "x"}, "tileMatrices"),
    ({"tileMatrices": [5]}, "tileMatrices[]"),
    ({"tileMatrices": [None]}, "tileMatrices[]"),
    ({"id": 5}, "id"),
    ({"uri": ["x"]}, "uri"),
    ({"title": {}}, "title"),
]


@pytest.mark.parametrize(("change", "key"), MALFORMED_SETS)
def test_a_malformed_set_is_refused_by_its_key(change: dict, key: str) -> None:
    with pytest.raises(MetadataError) as caught:
        tms.load(document(**change))
    assert caught.value.key == key


MALFORMED_MATRICES = [
    *[(key, None) for key in document()["tileMatrices"][0]],
    *[(key, "5") for key in ("scaleDenominator", "cellSize", "tileWidth", "tileHeight", "matrixWidth", "matrixHeight")],
    *[(key, value) for key in ("cellSize", "scaleDenominator") for value in (0, -1, math.nan, math.inf, 10**400, True)],
    *[(key, value) for key in ("tileWidth", "matrixHeight") for value in (0, -1, 1.5, math.nan, math.inf, [1])],
    *[
        ("pointOfOrigin", value)
        for value in (5, "0 0", [], [1], [1, 2, 3], ["1", 2], [math.nan, 0], [10**400, 0], {"x": 1, "y": 2}, [True, 0])
    ],
    *[("cornerOfOrigin", value) for value in ("topRight", "TOPLEFT", None, 5, [], {})],
    *[("variableMatrixWidths", value) for value in (5, {}, "x", [5], ["coalesce"], [None])],
]
MALFORMED_MATRICES = [case for case in MALFORMED_MATRICES if case != ("variableMatrixWidths", {})]


@pytest.mark.parametrize(("key", "value"), MALFORMED_MATRICES)
def test_a_malformed_matrix_is_refused_by_its_key(key: str, value: object) -> None:
    made = document()
    made["tileMatrices"][0][key] = value
    with pytest.raises(MetadataError) as caught:
        tms.load(made)
    assert caught.value.key == key


@pytest.mark.parametrize(
    "rows",
    [
        {"coalesce": 1, "minTileRow": 0, "maxTileRow": 0},
        {"coalesce": 2, "minTileRow": 1, "maxTileRow": 0},
        {"coalesce": 2, "minTileRow": -1, "maxTileRow": 0},
        {"coalesce": 2, "minTileRow": 0, "maxTileRow": 2},  # there are rows 0 and 1
        {"coalesce": 3, "minTileRow": 0, "maxTileRow": 0},  # four columns do not make threes
        {"coalesce": 2, "minTileRow": 0},
        {"coalesce": "2", "minTileRow": 0, "maxTileRow": 0},
    ],
)
def test_coalesced_rows_that_cannot_be_are_refused(rows: dict) -> None:
    made = document()
    made["tileMatrices"][0]["variableMatrixWidths"] = [rows]
    with pytest.raises(MetadataError):
        tms.load(made)


def test_a_row_is_coalesced_once() -> None:
    made = document()
    rows = {"coalesce": 2, "minTileRow": 0, "maxTileRow": 1}
    made["tileMatrices"][0]["variableMatrixWidths"] = [rows, {**rows, "minTileRow": 1}]
    with pytest.raises(MetadataError) as caught:
        tms.load(made)
    assert caught.value.key == "variableMatrixWidths"


@pytest.mark.parametrize("name", ["id", "scaleDenominator"])
def test_an_id_or_a_denominator_used_twice_is_refused(name: str) -> None:
    made = document()
    made["tileMatrices"][0][name] = made["tileMatrices"][1][name]
    with pytest.raises(MetadataError) as caught:
        tms.load(made)
    assert caught.value.key == f"tileMatrices[].{name}"
    assert caught.value.found == [made["tileMatrices"][1][name]]


def test_a_set_is_loaded_from_a_json_file(tmp_path: Path) -> None:
    path = tmp_path / "letters.json"
    path.write_text(json.dumps(document()), encoding="utf-8")
    assert tms.load(path) == tms.load(str(path)) == letters()


@pytest.mark.parametrize("data", [b"", b"{", b"\xff{}", b"[" * 100_000, b"[]", b"5"])
def test_a_file_that_is_no_json_object_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "broken.json"
    path.write_bytes(data)
    with pytest.raises(MetadataError) as caught:
        tms.load(path)
    assert caught.value.node.endswith("broken.json")


@pytest.mark.parametrize("name", ["webmercatorquad", "", "nowhere.json", "/tmp", "WebMercatorQuad\0"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        tms.load(name)
    assert (caught.value.kind, caught.value.name) == ("TileMatrixSet", name)
    assert "WebMercatorQuad" in caught.value.known


def test_an_unknown_matrix_is_refused_with_the_known_ones() -> None:
    for ask in (letters().matrix, letters().index_of, lambda name: letters().subset((name,))):
        with pytest.raises(UnknownNameError) as caught:
            ask("0")
        assert caught.value.known == ("coarse", "fine")


def test_subset_keeps_some_matrices() -> None:
    part = known_tms("WebMercatorQuad").subset(("5", "3"))
    assert part.ids == ("3", "5")
    assert part.matrix("5") == known_tms("WebMercatorQuad").matrix("5")


# Tiles


@given(tiles())
def test_a_tile_is_the_only_one_in_its_own_box(tile: tuple[TileMatrixSet, str, int, int]) -> None:
    made, matrix_id, row, col = tile
    bounds = made.tile_bounds(matrix_id, row=row, col=col)
    assert made.limits_of(matrix_id, bounds) == TileLimits(matrix_id, row, row, col, col)


@given(tiles())
def test_a_tile_lies_where_morecantile_has_it(tile: tuple[TileMatrixSet, str, int, int]) -> None:
    made, matrix_id, row, col = tile
    theirs = morecantile.tms.get(made.id).xy_bounds(col, row, int(matrix_id))
    ours = made.tile_bounds(matrix_id, row=row, col=col)
    # Both round a few times; a cell of the finest matrices is a million units in the last place of its corner.
    assert ours == pytest.approx(tuple(theirs), abs=1e-6 * made.matrix(matrix_id).cellSize)


@given(tiles(), st.integers(0, 3), st.integers(0, 3))
def test_limits_of_the_box_of_limits_are_those_limits(
    tile: tuple[TileMatrixSet, str, int, int], more_rows: int, more_cols: int
) -> None:
    made, matrix_id, row, col = tile
    matrix = made.matrix(matrix_id)
    last_row, last_col = min(row + more_rows, matrix.matrixHeight - 1), min(col + more_cols, matrix.matrixWidth - 1)
    limits = TileLimits(matrix_id, row, last_row, col, last_col)
    assert made.limits_of(matrix_id, made.grid(limits).bounds) == limits
    assert made.grid(limits).shape == (limits.height * matrix.tileHeight, limits.width * matrix.tileWidth)


def test_deep_tiles_of_a_deep_set_are_told_apart() -> None:
    # Zoom 30: a cell is 0.15 mm, 40 000 units in the last place of the edge of the world.
    base = known_tms("WebMercatorQuad").matrix("0")
    deep = replace(
        base,
        id="30",
        cellSize=base.cellSize / 2**30,
        scaleDenominator=base.scaleDenominator / 2**30,
        matrixWidth=2**30,
        matrixHeight=2**30,
    )
    made = TileMatrixSet("deep", known_crs("EPSG:3857"), (deep,))
    for row, col in ((0, 0), (2**30 - 1, 2**30 - 1), (123_456_789, 987_654_321), (2**29, 2**29 - 1)):
        limits = made.limits_of("30", made.tile_bounds("30", row=row, col=col))
        assert limits == TileLimits("30", row, row, col, col)


def test_tiles_of_letters_lie_where_arithmetic_says() -> None:
    # Tile (1, 3) of 10 cells of 2 m: 20 m a tile, the fourth from x = 100, the second downwards from y = 1000.
    assert letters().tile_bounds("fine", row=1, col=3) == Bounds(160, 960, 180, 980)
    assert letters().tile_window("fine", row=1, col=3).slices == (slice(10, 20), slice(30, 40))


def test_rows_of_a_bottom_left_set_count_upwards() -> None:
    made = letters(corner="bottomLeft")
    # The same tile, now second upwards from y = 1000; in the raster, whose row 0 is at the top, it is the first.
    assert made.tile_bounds("fine", row=1, col=3) == Bounds(160, 1020, 180, 1040)
    assert made.tile_window("fine", row=1, col=3).slices == (slice(0, 10), slice(30, 40))
    assert made.matrix("fine").top_left == (100, 1040)
    assert tms.load(made.to_document()) == made
    for row, col in itertools.product(range(2), range(4)):
        limits = made.limits_of("fine", made.tile_bounds("fine", row=row, col=col))
        assert limits == TileLimits("fine", row, row, col, col)
    assert made.limits_of("fine", Bounds(0, 0, 5000, 5000)) == made.matrix("fine").limits


@pytest.mark.parametrize("corner", ["topLeft", "bottomLeft"])
@pytest.mark.parametrize(("row", "col"), [(-1, 0), (0, -1), (2, 0), (0, 4), (10**30, 0)])
def test_nothing_is_clamped(corner: str, row: int, col: int) -> None:
    made = letters(corner=corner)
    for ask in (made.tile_window, made.tile_bounds):
        with pytest.raises(TileOutsideLimitsError) as caught:
            ask("fine", row=row, col=col)
        assert caught.value.tile == ("fine", row, col)
        assert caught.value.limits == TileLimits("fine", 0, 1, 0, 3)
    if row >= 0 and col >= 0:
        with pytest.raises(TileOutsideLimitsError):
            made.grid(TileLimits("fine", row, row, col, col))


@pytest.mark.parametrize(
    ("corner", "bounds", "tile"),
    [
        # 20 m tiles from x = 100; the matrix spans y 960 to 1000 downwards, or 1000 to 1040 upwards.
        ("topLeft", Bounds(205, 965, 206, 966), ("fine", 1, 5)),
        ("topLeft", Bounds(50, 965, 51, 966), ("fine", 1, -3)),
        ("topLeft", Bounds(105, 1005, 106, 1006), ("fine", -1, 0)),
        ("topLeft", Bounds(105, 900, 106, 901), ("fine", 4, 0)),
        ("bottomLeft", Bounds(105, 985, 106, 986), ("fine", -1, 0)),
        ("bottomLeft", Bounds(105, 1041, 106, 1042), ("fine", 2, 0)),
    ],
)
def test_a_box_outside_names_the_tile_it_would_be_in(corner: str, bounds: Bounds, tile: tuple) -> None:
    with pytest.raises(TileOutsideLimitsError) as caught:
        letters(corner=corner).limits_of("fine", bounds)
    assert caught.value.tile == tile


def test_a_box_that_only_touches_the_edge_opens_no_tile() -> None:
    made = letters()
    assert made.limits_of("fine", Bounds(120, 960, 140, 980)) == TileLimits("fine", 1, 1, 1, 1)
    assert made.limits_of("fine", Bounds(119, 960, 140, 980)) == TileLimits("fine", 1, 1, 0, 1)


@pytest.mark.parametrize("bounds", [Bounds(math.nan, 0, 1, 1), Bounds(0, 0, math.inf, 1), Bounds(1, 0, 0, 1)])
def test_a_box_that_is_none_is_refused(bounds: Bounds) -> None:
    with pytest.raises(ParameterError):
        letters().limits_of("fine", bounds)


@pytest.mark.parametrize("name", ["CDB1GlobalGrid", "GNOSISGlobalGrid"])
def test_rows_of_coalesced_tiles_have_no_tile_raster(name: str) -> None:
    made = known_tms(name)
    matrix = next(matrix for matrix in made.tileMatrices if matrix.variableMatrixWidths)
    asks = (
        lambda: made.tile_window(matrix.id, row=0, col=0),
        lambda: made.limits_of(matrix.id, Bounds(0, 0, 1, 1)),
        lambda: made.grid(matrix.limits),
    )
    for ask in asks:
        with pytest.raises(UnsupportedError, match="coalesced"):
            ask()


# Nesting


def nesting(name: str) -> dict[tuple[str, str], str | None]:
    made = known_tms(name)
    pairs = itertools.pairwise(made.ids)
    return {(coarser, finer): made.why_not_nested(finer=finer, coarser=coarser) for coarser, finer in pairs}


@pytest.mark.parametrize("name", NESTED_SETS)
def test_quad_sets_nest_all_the_way(name: str) -> None:
    assert set(nesting(name).values()) == {None}


@pytest.mark.parametrize("name", ["UPSArcticWGS84Quad", "UPSAntarcticWGS84Quad"])
def test_the_rounded_cells_of_the_ups_sets_nest_until_rounding_shows(name: str) -> None:
    made = known_tms(name)
    for (coarser, finer), reason in nesting(name).items():
        fine, coarse = made.matrix(finer), made.matrix(coarser)
        apart = abs(coarse.cellSize / fine.cellSize / 2 - 1) * fine.matrixWidth * fine.tileWidth
        assert (reason is None) == (apart <= tms.NESTING_TOLERANCE)
        assert reason is None or "far corner" in reason
    assert nesting(name)["16", "17"] is None
    assert nesting(name)["22", "23"] is not None


def test_canadian_scales_are_round_numbers_and_do_not_nest() -> None:
    reasons = nesting("CanadianNAD83_LCC")
    assert all(reason is not None and "ratio 1." in reason for reason in reasons.values())


def test_the_antarctic_set_of_new_zealand_nests_where_it_has_the_tiles() -> None:
    made = known_tms("LINZAntarticaMapTilegrid")
    for (coarser, finer), reason in nesting(made.id).items():
        has_tiles = made.matrix(finer).matrixWidth >= 2 * made.matrix(coarser).matrixWidth
        assert (reason is None) == has_tiles
        assert reason is None or "fewer than 2 x 2 tiles" in reason


@pytest.mark.parametrize("name", ["CDB1GlobalGrid", "GNOSISGlobalGrid"])
def test_sets_with_coalesced_rows_do_not_nest(name: str) -> None:
    assert all(reason is not None and "coalesced" in reason for reason in nesting(name).values())


def test_letters_nest_in_one_direction() -> None:
    assert letters().why_not_nested(finer="fine", coarser="coarse") is None
    reversed_reason = letters().why_not_nested(finer="coarse", coarser="fine")
    assert reversed_reason is not None
    assert "ratio 0.5" in reversed_reason
    same = letters().why_not_nested(finer="fine", coarser="fine")
    assert same is not None
    assert "ratio 1:" in same


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"tileWidth": 20}, "tile size"),
        ({"cornerOfOrigin": "bottomLeft"}, "cornerOfOrigin"),
        ({"pointOfOrigin": (101.0, 1000.0)}, "0.5 cells apart"),  # a metre is half a cell
        ({"cellSize": 2.1}, "ratio 1.904"),
        ({"matrixWidth": 3}, "fewer than 2 x 2 tiles"),
        ({"matrixHeight": 1}, "fewer than 2 x 2 tiles"),
    ],
)
def test_each_way_not_to_nest_has_its_reason(change: dict, words: str) -> None:
    made = letters()
    fine = replace(made.matrix("fine"), **change)
    reason = replace(made, tileMatrices=(made.matrix("coarse"), fine)).why_not_nested(finer="fine", coarser="coarse")
    assert reason is not None
    assert words in reason


def test_rounding_below_a_hundredth_of_a_cell_still_nests() -> None:
    made = letters()
    # 40 cells across: 1e-4 of a cell each makes 0.002 cells at the far corner when halved.
    fine = replace(made.matrix("fine"), cellSize=2 * (1 + 1e-4))
    matrices = (made.matrix("coarse"), fine)
    assert replace(made, tileMatrices=matrices).why_not_nested(finer="fine", coarser="coarse") is None


# Limits


@given(tiles(sets=NESTED_SETS))
def test_children_have_their_parent_s_box(tile: tuple[TileMatrixSet, str, int, int]) -> None:
    made, matrix_id, row, col = tile
    index = made.index_of(matrix_id)
    if index + 1 == len(made.ids):
        return
    finer = made.tileMatrices[index + 1]
    parent = TileLimits(matrix_id, row, row, col, col)
    children = parent.refine(finer)
    assert (children.height, children.width) == (2, 2)
    assert children.coarsen(made.matrix(matrix_id)) == parent
    cell = made.matrix(matrix_id).cellSize
    # The matrices may be a hundredth of a cell apart.
    assert made.grid(children).bounds == pytest.approx(made.grid(parent).bounds, abs=0.01 * cell)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(0, 100), st.integers(0, 100))
def test_coarsen_then_refine_covers(row: int, more_rows: int, col: int, more_cols: int) -> None:
    coarse, fine = letters().matrix("coarse"), letters().matrix("fine")
    limits = TileLimits("fine", row, row + more_rows, col, col + more_cols)
    around = limits.coarsen(coarse).refine(fine)
    assert around.contains(limits.minTileRow, limits.minTileCol)
    assert around.contains(limits.maxTileRow, limits.maxTileCol)
    assert around.height <= limits.height + 2
    assert around.width <= limits.width + 2


def test_limits_hold_both_ends() -> None:
    limits = TileLimits("a", 2, 4, 1, 1)
    assert (limits.height, limits.width) == (3, 1)
    assert limits.contains(2, 1)
    assert limits.contains(4, 1)
    assert not limits.contains(5, 1)
    assert not limits.contains(3, 0)


@pytest.mark.parametrize("numbers", [(-1, 0, 0, 0), (1, 0, 0, 0), (0, 0, 2, 1), (0, 0, -1, 0)])
def test_limits_that_run_backwards_are_refused(numbers: tuple[int, int, int, int]) -> None:
    with pytest.raises(MetadataError) as caught:
        TileLimits("a", *numbers)
    assert caught.value.found == numbers


LIMITS = TileLimits("a", 1, 2, 3, 4)
SNAKE = {"min_tile_row": 1, "max_tile_row": 2, "min_tile_col": 3, "max_tile_col": 4}


@pytest.mark.parametrize(
    "documents",
    [{"a": LIMITS.to_document()}, [LIMITS.to_document()], {"a": SNAKE}, {"a": {**SNAKE, "minTileRow": 1}}],
    ids=["keyed", "array", "snake case", "mixed"],
)
def test_limits_are_read_in_each_form(documents: object) -> None:
    assert tms.limits_from_documents(documents) == {"a": LIMITS}


@pytest.mark.parametrize(
    "documents",
    [
        None,
        5,
        "a",
        [5],
        [{}],
        ["tileMatrix"],
        [LIMITS.to_document()] * 2,
        [{**LIMITS.to_document(), "tileMatrix": []}],
        {"a": 5},
        {"a": []},
        {"a": {}},
        {"a": {**LIMITS.to_document(), "tileMatrix": "b"}},
        {"a": {**LIMITS.to_document(), "minTileRow": 1.5}},
        {"a": {**LIMITS.to_document(), "minTileRow": "1"}},
        {"a": {**LIMITS.to_document(), "minTileRow": None}},
        {"a": {**LIMITS.to_document(), "maxTileRow": 0}},
        {"a": {**LIMITS.to_document(), "maxTileRow": 10**400}},
    ],
)
def test_malformed_limits_are_refused(documents: object) -> None:
    with pytest.raises(MetadataError):
        tms.limits_from_documents(documents)


# Zoom


def test_the_nearest_zoom_is_by_ratio() -> None:
    made = known_tms("WebMercatorQuad")
    size = made.matrix("10").cellSize
    assert tms.zoom_for_cell_size(made, size) == "10"
    assert tms.zoom_for_cell_size(made, size * 1.41) == "10"  # just under the root of 2
    assert tms.zoom_for_cell_size(made, size * 1.42) == "9"
    assert tms.zoom_for_cell_size(made, 1e12) == "0"
    assert tms.zoom_for_cell_size(made, 1e-12) == "24"


@pytest.mark.parametrize("size", [0, -1, math.nan, math.inf])
def test_a_cell_size_that_is_none_is_refused(size: float) -> None:
    with pytest.raises(ParameterError) as caught:
        tms.zoom_for_cell_size(known_tms("WebMercatorQuad"), size)
    assert caught.value.parameter == "cell_size"


def test_web_mercator_is_the_square_that_everyone_draws() -> None:
    made = known_tms("WebMercatorQuad")
    assert made.tile_bounds("0", row=0, col=0) == pytest.approx((-EDGE, -EDGE, EDGE, EDGE), rel=1e-12)
    assert made.matrix_grid("1").shape == (512, 512)
    assert "WebMercatorQuad" in PLAIN_SETS


def test_a_matrix_built_by_hand_is_checked() -> None:
    with pytest.raises(MetadataError) as caught:
        TileMatrix("0", 1.0, 1.0, (0.0, 0.0), 256, 256, 0, 1)
    assert (caught.value.node, caught.value.key) == ("tileMatrix '0'", "matrixWidth")
