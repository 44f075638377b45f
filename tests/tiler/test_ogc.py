"""Documents of OGC API: valid by the schemas of the standards, and true."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7, DRAFT201909

from geozarr import TileLimits, crs, levels, tms
from geozarr.errors import UnknownNameError
from geozarr.grid import Bounds
from offered import Steps, native, pyramid, variable
from strategies import PLAIN_SETS, known_tms
from tiler import layers, ogc
from tiler.pages import Entry
from tiler.select import Tileset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from geozarr import Levels

REL = "http://www.opengis.net/def/rel/ogc/1.0/"
QUAD = tms.load("WebMercatorQuad")
UTM = native("EPSG:32613", left=440_000, top=4_430_000, width=200_000, height=300_000)
ALIGNED = levels.from_tms(QUAD, TileLimits("8", 100, 101, 50, 50), count=3)
LAEA = native("EPSG:3035", left=4_000_000, top=3_000_000, width=300_000, height=300_000)
TIME = Steps("time", "time", ("2024-01-01", "2024-01-02", "2024-01-03"), "days since 1970-01-01", "Day of image")
LEVEL = Steps("level", "number", ("1000", "850", "500.5"), "hPa", "Pressure")
MEMBER = Steps("member", "text", ("a", "b/&?"))
AXES = (TIME, LEVEL, MEMBER)
CUBE = variable("t 2m", "uint8", ("time", 3), ("level", 3), ("member", 2), long_name="Temperature", units="K")


@pytest.fixture(scope="module")
def errors(spec_dir: Path) -> Callable[[str, Any], list[str]]:
    """Validate against a schema of TileMatrixSet 2.0; the messages of what is wrong."""
    folder = spec_dir / "schemas"
    projjson = json.loads((folder / "projjson" / "v0.7" / "projjson.schema.json").read_text())
    registry = Registry().with_resource(
        "https://proj.org/schemas/v0.7/projjson.schema.json",
        Resource.from_contents(projjson, default_specification=DRAFT7),
    )
    for path in (folder / "tms" / "2.0").glob("*.json"):
        resource = Resource.from_contents(json.loads(path.read_text()), default_specification=DRAFT201909)
        registry = registry.with_resource(path.name, resource)

    def check(name: str, document: Any) -> list[str]:
        schema = {**json.loads((folder / "tms" / "2.0" / name).read_text()), "$id": name}
        validator = jsonschema.Draft201909Validator(schema, registry=registry)
        return [error.message for error in validator.iter_errors(json.loads(json.dumps(document, allow_nan=False)))]

    return check


def link(document: dict[str, Any], rel: str) -> dict[str, Any]:
    (found,) = [item for item in document["links"] if item["rel"] == rel]
    return found


def own_set() -> tms.TileMatrixSet:
    """A set that is registered nowhere, in a CRS with northing first."""
    document = {
        "id": "local",
        "crs": "http://www.opengis.net/def/crs/EPSG/0/3035",
        "tileMatrices": [
            {
                "id": name,
                "scaleDenominator": cell / 0.28e-3,
                "cellSize": cell,
                "pointOfOrigin": [5_500_000.0, 2_000_000.0],
                "tileWidth": 256,
                "tileHeight": 256,
                "matrixWidth": width,
                "matrixHeight": width,
            }
            for name, cell, width in (("coarse", 4000.0, 4), ("fine", 2000.0, 8))
        ],
    }
    return tms.from_document(document)


CASES: dict[str, tuple[Levels, tms.TileMatrixSet]] = {
    "aligned": (ALIGNED, QUAD),
    "degrees": (ALIGNED, known_tms("WGS1984Quad")),
    "own": (LAEA, own_set()),
    **{
        name: (UTM, known_tms(name))
        for name in PLAIN_SETS
        if layers.limits_of(pyramid(UTM), Tileset(UTM, known_tms(name)))
    },
}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Any, Tileset]:
    layout, chosen = request.param
    return pyramid(layout, CUBE, variable("count")), Tileset(layout, chosen)


def test_a_tileset_is_valid(errors: Callable, case: tuple[Any, Tileset]) -> None:
    found = ogc.tileset(*case, AXES, name="x", base="https://e.org/m")
    assert errors("tileSet.json", found) == []
    assert errors("tileSet.json", {**found, "crs": 1}) != []
    for layer in found["layers"]:
        assert errors("geospatialData.json", layer) == []
    assert errors("tileMatrixSet.json", case[1].tms.to_document()) == []


def test_a_tileset_has_what_the_standard_asks_for(case: tuple[Any, Tileset]) -> None:
    # 20-057, /req/tileset/description
    found = ogc.tileset(*case, AXES, name="x", base="https://e.org/m")
    item = case[1]
    assert found["dataType"] == "map"
    assert tms.from_document({**item.tms.to_document(), "crs": found["crs"]}).crs == item.tms.crs
    scheme = link(found, f"{REL}tiling-scheme")
    assert scheme["href"] == f"https://e.org/m/tileMatrixSets/{item.tms.id}"
    registered = None if item.tms.id == "WGS1984Quad" else item.tms.uri  # its document has another set's
    assert found.get("tileMatrixSetURI") == registered
    assert ("tileMatrixSet" in found) is (registered is None)
    items = [one for one in found["links"] if one["rel"] == "item"]
    assert [one["type"] for one in items] == ["image/png", "image/jpeg", "image/webp"]
    for one in items:
        assert one["templated"] is True
        address = urlsplit(one["href"])
        assert address.path == f"/m/collections/x/map/tiles/{item.tms.id}/{{tileMatrix}}/{{tileRow}}/{{tileCol}}"
        assert dict(parse_qsl(address.query)) == {"f": one["type"].removeprefix("image/")}


def test_limits_are_those_of_the_tiles(case: tuple[Any, Tileset]) -> None:
    found = ogc.tileset(*case, AXES, name="x", base="")
    limits = tms.limits_from_documents(found["tileMatrixSetLimits"])
    assert tuple(limits.values()) == layers.limits_of(*case)
    for name, limit in limits.items():
        matrix = case[1].tms.matrix(name)
        assert limit.maxTileRow < matrix.matrixHeight
        assert limit.maxTileCol < matrix.matrixWidth


def test_the_box_and_the_centre_are_in_the_order_of_the_crs(case: tuple[Any, Tileset]) -> None:
    found = ogc.tileset(*case, AXES, name="x", base="")
    item = case[1]
    box = layers.bounds_within(*case)
    turn = -1 if item.tms.crs.is_northing_first else 1
    assert found["boundingBox"]["lowerLeft"][::turn] == list(box[:2])
    assert found["boundingBox"]["upperRight"][::turn] == list(box[2:])
    assert found["boundingBox"]["orderedAxes"] == item.tms.to_document()["orderedAxes"]
    center = found["centerPoint"]
    x, y = center["coordinates"][::turn]
    half = center["cellSize"] / 2
    tile = item.tms.limits_of(center["tileMatrix"], Bounds(x - half, y - half, x + half, y + half))
    assert tms.limits_from_documents(found["tileMatrixSetLimits"])[center["tileMatrix"]].contains(
        tile.minTileRow, tile.minTileCol
    )


def test_layers_are_the_variables_with_their_own_tiles_and_steps() -> None:
    made = pyramid(UTM, CUBE, variable("count"))
    cube, count = ogc.tileset(made, Tileset(UTM, QUAD), AXES, name="x", base="")["layers"]
    assert (cube["id"], cube["title"], cube["dataType"]) == ("t 2m", "Temperature", "map")
    template = next(one["href"] for one in cube["links"] if one["rel"] == "item")
    assert parse_qsl(urlsplit(template).query) == [("variable", "t 2m"), ("f", "png")]
    assert link(cube, f"{REL}legend")["href"] == "/x/legend.png?variable=t%202m"
    assert cube["extents"] == {
        "time": {"interval": [["2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"]], "default": "2024-01-01T00:00:00Z"},
        "level": {"interval": [[500.5, 1000]], "default": 1000},
        "member": {"interval": [["a", "b/&?"]], "default": "a"},
    }
    assert "extents" not in count


def test_axes_are_told_by_ends_and_steps() -> None:
    found = ogc.tileset(pyramid(UTM, CUBE), Tileset(UTM, QUAD), AXES, name="x", base="/m")["extents"]
    assert found == {
        "time": {
            "interval": [["2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"]],
            "trs": "http://www.opengis.net/def/uom/ISO-8601/0/Gregorian",
            "description": "Day of image",
            "grid": {"cellsCount": 3, "resolution": "P1D", "firstCoordinate": "2024-01-01T00:00:00Z"},
        },
        "level": {
            "interval": [[500.5, 1000]],
            "definition": "/m/x/dimensions#level",
            "variableType": "continuous",
            "unit": "hPa",
            "unitLang": "UDUNITS",
            "description": "Pressure",
            "grid": {"cellsCount": 3, "coordinates": [1000, 850, 500.5]},
        },
        "member": {
            "interval": [["a", "b/&?"]],
            "definition": "/m/x/dimensions#member",
            "variableType": "categoricalNominal",
            "grid": {"cellsCount": 2, "coordinates": ["a", "b/&?"]},
        },
    }


def test_long_axes_are_not_listed() -> None:
    made = pyramid(UTM, CUBE)
    index = Steps("index", "index", (), size=10**12)
    squares = Steps("squares", "number", tuple(str(number**2) for number in range(1001)))
    empty = Steps("empty", "number", (None, None))
    found = ogc.tileset(made, Tileset(UTM, QUAD), (index, squares, empty), name="x", base="")["extents"]
    assert found["index"]["grid"] == {"cellsCount": 10**12, "resolution": 1, "firstCoordinate": 0}
    assert found["squares"]["interval"] == [[0, 10**6]]
    assert "grid" not in found["squares"]
    assert "empty" not in found


def test_times_of_other_calendars_are_texts() -> None:
    steps = Steps("time", "time", ("2000-02-29", "2000-02-30", "2000-03-01"))
    found = ogc.collection(pyramid(UTM), (), (steps,), name="x", base="")["extent"]
    assert "temporal" not in found
    assert found["time"]["interval"] == [["2000-02-29", "2000-03-01"]]
    assert "trs" not in found["time"]


def test_a_set_beside_the_data_is_not_found() -> None:
    with pytest.raises(UnknownNameError) as caught:
        ogc.tileset(pyramid(UTM), Tileset(UTM, known_tms("NZTM2000Quad")), (), name="x", base="")
    assert caught.value.name == "NZTM2000Quad"


def test_tilesets_are_listed_with_what_the_standard_asks_for(errors: Callable) -> None:
    # 20-057, /req/tilesets-list/tileset-links
    sets = [Tileset(UTM, QUAD), Tileset(LAEA, own_set())]
    found = ogc.tilesets(sets, name="x", base="https://e.org")
    assert link(found, "self")["href"] == "https://e.org/collections/x/map/tiles"
    assert [list(one) for one in found["tilesets"]] == [
        ["title", "dataType", "crs", "tileMatrixSetURI", "links"],
        ["title", "dataType", "crs", "links"],
    ]
    for one, item in zip(found["tilesets"], sets, strict=True):
        assert errors("tileSet.json", one) == []
        assert link(one, "self")["href"] == f"https://e.org/collections/x/map/tiles/{item.tms.id}"
        assert link(one, f"{REL}tiling-scheme")["href"] == f"https://e.org/tileMatrixSets/{item.tms.id}"


def test_tile_matrix_sets_are_listed_with_their_definitions(errors: Callable) -> None:
    found = ogc.tile_matrix_sets([QUAD, own_set()], base="")
    assert [one["id"] for one in found["tileMatrixSets"]] == ["WebMercatorQuad", "local"]
    assert [one.get("uri") for one in found["tileMatrixSets"]] == [QUAD.uri, None]
    assert link(found["tileMatrixSets"][1], "self")["href"] == "/tileMatrixSets/local"
    for one in found["tileMatrixSets"]:
        assert all(errors("link.json", item) == [] for item in one["links"])


@pytest.mark.parametrize(
    "uri", ["javascript:alert(1)//local", "http://www.opengis.net/def/tilematrixset/OGC/1.0/other"]
)
def test_a_text_that_is_not_the_uri_of_the_set_registers_nothing(uri: str) -> None:
    odd = Tileset(UTM, replace(QUAD, uri=uri, id="local"))
    assert "tileMatrixSetURI" not in ogc.tileset(pyramid(UTM), odd, (), name="x", base="")
    assert "tileMatrixSetURI" not in ogc.tilesets([odd], name="x", base="")["tilesets"][0]
    assert "uri" not in ogc.tile_matrix_sets([odd.tms], base="")["tileMatrixSets"][0]


def test_names_are_escaped_in_addresses() -> None:
    odd = Tileset(UTM, replace(QUAD, id="a b/c"))
    found = ogc.tileset(pyramid(UTM), odd, (), name="x", base="")
    assert link(found, "self")["href"] == "/collections/x/map/tiles/a%20b%2Fc"


def test_a_collection_tells_where_and_when() -> None:
    made = pyramid(LAEA, CUBE)
    found = ogc.collection(made, [Tileset(LAEA, own_set()), Tileset(LAEA, QUAD)], AXES, name="x", base="")
    assert found["id"] == "x"
    # EPSG:3035 lists northing before easting.
    assert found["extent"]["spatial"]["storageCrsBbox"] == [[2_700_000, 4_000_000, 3_000_000, 4_300_000]]
    west, south, east, north = found["extent"]["spatial"]["bbox"][0]
    assert (west, south) < (east, north)
    assert found["extent"]["temporal"]["interval"] == [["2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"]]
    assert set(found["extent"]) == {"spatial", "temporal", "level", "member"}
    assert found["storageCrs"] == "http://www.opengis.net/def/crs/EPSG/0/3035"
    assert found["crs"] == [found["storageCrs"], "http://www.opengis.net/def/crs/EPSG/0/3857"]
    # 20-057, /req/geodata-tilesets/desc-links; 20-024, /req/collections/description-links
    assert link(found, f"{REL}tilesets-map")["href"] == "/collections/x/map/tiles"
    assert link(found, "self") == {
        "rel": "self",
        "href": "/collections/x",
        "type": "application/json",
        "title": "This document",
    }


def test_an_axis_does_not_take_the_place_of_the_box_or_the_times() -> None:
    axes = (Steps("spatial", "number", ("1", "2")), Steps("temporal", "number", ("1", "2")), TIME)
    found = ogc.collection(pyramid(UTM), (), axes, name="x", base="")["extent"]
    assert "bbox" in found["spatial"]
    assert found["temporal"]["interval"] == [["2024-01-01T00:00:00Z", "2024-01-03T00:00:00Z"]]


def test_the_axis_named_time_is_the_temporal_one() -> None:
    run = Steps("run", "time", ("2020-01-01T00:00:00Z", "2020-01-01T06:00:00Z"))
    found = ogc.collection(pyramid(UTM), (), (run, TIME), name="x", base="")["extent"]
    assert found["temporal"]["interval"][0][0] == "2024-01-01T00:00:00Z"
    assert found["run"]["interval"] == [["2020-01-01T00:00:00Z", "2020-01-01T06:00:00Z"]]


def test_a_collection_across_the_antimeridian_has_west_above_east() -> None:
    made = pyramid(native("EPSG:4326", left=177, top=-16, width=5, height=2))
    assert ogc.collection(made, (), (), name="x", base="")["extent"]["spatial"]["bbox"] == [[177, -18, -178, -16]]


def test_another_body_has_no_place_on_the_earth() -> None:
    mars = pyramid(native("IAU_2015:49910", left=0, top=10, width=10, height=10))
    found = ogc.collection(mars, (), (), name="x", base="")
    assert found["extent"] == {}
    assert crs.from_code("IAU_2015:49910").code
    assert found["storageCrs"] == "http://www.opengis.net/def/crs/IAU/2015/49910"


def test_the_landing_page_leads_everywhere() -> None:
    # 19-072, /req/landing-page/root-success; 20-024, /req/collections/collections-list-op
    bounds = Bounds(177.0, -18.0, -178.0, -16.0)
    entries = [Entry("x", "Title", bounds, "/m/x/map"), Entry("broken", "broken", None, "", "cannot be read")]
    found = ogc.landing_page(entries, title="Tiles", base="/m")
    wanted = {"self", "service-desc", "data", f"{REL}conformance", f"{REL}data", f"{REL}tiling-schemes"}
    assert wanted <= {one["rel"] for one in found["links"]}
    assert all(one["href"].startswith("/m/") for one in found["links"])
    assert found["datasets"] == [
        {"name": "x", "title": "Title", "map": "/m/x/map", "info": "/m/x/info", "bounds": [177, -18, -178, -16]},
        {"name": "broken", "error": "cannot be read"},
    ]


def test_collections_are_wrapped_with_a_link() -> None:
    one = ogc.collection(pyramid(UTM), (), (), name="x", base="")
    found = ogc.collections([one], base="")
    assert link(found, "self")["href"] == "/collections"
    assert found["collections"] == [one]


def test_conformance_names_classes_of_the_standards() -> None:
    found = ogc.conformance()["conformsTo"]
    assert len(set(found)) == len(found)
    pattern = re.compile(r"https?://www\.opengis\.net/spec/(ogcapi-(common|tiles)-[12]/1\.0|tms/2\.0)/conf/[a-z0-9-]+")
    assert all(pattern.fullmatch(one) for one in found)
    # 20-057, table 6: each class comes with those that it depends on.
    tiles = {one.rpartition("/")[2] for one in found if "ogcapi-tiles-1" in one}
    assert {"core", "tileset", "tilesets-list", "geodata-tilesets"} <= tiles
    assert not tiles & {"dataset-tilesets", "oas30", "xml", "datetime"}
