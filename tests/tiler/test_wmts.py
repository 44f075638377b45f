"""WMTS capabilities: what clients make of them is what the service serves.

Tiles are worked out from the document alone, as QGIS does: from the top left corner, and the scale denominator times
0.28 mm, with the axis order and the units that PROJ knows of the CRS; and compared with morecantile's. GDAL's WMTS
driver and OWSLib read the same documents.
"""

from __future__ import annotations

import functools
import math
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import morecantile
import pyproj
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from rasterio.env import Env

from geozarr import TileLimits, crs, levels, tms
from geozarr.errors import UnsupportedError
from offered import STATISTICS, Steps, native, pyramid, variable
from strategies import known_tms
from tiler import layers, wmts
from tiler.select import Tileset

if TYPE_CHECKING:
    from pathlib import Path

    from geozarr import Levels

NAMES = {"w": "http://www.opengis.net/wmts/1.0", "o": "http://www.opengis.net/ows/1.1"}
HREF = "{http://www.w3.org/1999/xlink}href"
QUAD = tms.load("WebMercatorQuad")
EUROPE = native("EPSG:32631", left=400_000, top=5_700_000, width=200_000, height=300_000, cells=2000)
ALIGNED = levels.from_tms(QUAD, TileLimits("8", 85, 86, 130, 131), count=3)
LOCAL = morecantile.TileMatrixSet.custom(
    [2_000_000, 1_500_000, 6_000_000, 5_500_000], pyproj.CRS.from_epsg(3035), id="local", maxzoom=12
)
TIME = Steps("time", "time", ("2024-01-01", "2024-01-02", "2024-01-03"), "days since 1970-01-01", "Day of image")


def local_set() -> tms.TileMatrixSet:
    return tms.from_document(LOCAL.model_dump(mode="json", exclude_none=True))


CASES: dict[str, tuple[Levels, tms.TileMatrixSet, morecantile.TileMatrixSet]] = {
    "WebMercatorQuad": (EUROPE, QUAD, morecantile.tms.get("WebMercatorQuad")),
    "aligned": (ALIGNED, QUAD, morecantile.tms.get("WebMercatorQuad")),
    "WorldCRS84Quad": (EUROPE, known_tms("WorldCRS84Quad"), morecantile.tms.get("WorldCRS84Quad")),
    "WGS1984Quad": (EUROPE, known_tms("WGS1984Quad"), morecantile.tms.get("WGS1984Quad")),
    "UTM31WGS84Quad": (EUROPE, known_tms("UTM31WGS84Quad"), morecantile.tms.get("UTM31WGS84Quad")),
    "local": (EUROPE, local_set(), LOCAL),
}


def capabilities(
    layout: Levels, *sets: tms.TileMatrixSet, axes: tuple[Steps, ...] = (), variables: tuple[Any, ...] = ()
) -> bytes:
    tilesets = [Tileset(layout, one) for one in sets]
    return wmts.capabilities(pyramid(layout, *variables), tilesets, axes, name="x", base="https://e.org/m")


def parsed(*arguments: Any, **options: Any) -> ET.Element:
    return ET.fromstring(capabilities(*arguments, **options))


def text(element: ET.Element, path: str) -> str:
    found = element.find(path, NAMES)
    assert found is not None
    assert found.text is not None
    return found.text


def numbers(element: ET.Element, path: str) -> list[float]:
    return [float(part) for part in text(element, path).split()]


class Client:
    """What a client works out from a document, for one set.

    Parameters
    ----------
    document : Element
        The capabilities.
    """

    def __init__(self, document: ET.Element) -> None:
        self.set = document.find("w:Contents/w:TileMatrixSet", NAMES)
        self.crs = pyproj.CRS.from_user_input(text(self.set, "o:SupportedCRS"))
        axis = self.crs.axis_info[0]
        self.is_swapped = axis.direction == "north"
        self.metres = axis.unit_conversion_factor * (6378137.0 if self.crs.is_geographic else 1.0)

    def tile(self, matrix: ET.Element, x: float, y: float) -> tuple[int, int]:
        """Column and row of the tile that holds a point."""
        left, top = numbers(matrix, "w:TopLeftCorner")[:: -1 if self.is_swapped else 1]
        cell = float(text(matrix, "w:ScaleDenominator")) * 0.28e-3 / self.metres
        col = (x - left) / (cell * int(text(matrix, "w:TileWidth")))
        row = (top - y) / (cell * int(text(matrix, "w:TileHeight")))
        return math.floor(col), math.floor(row)

    def limits(self, document: ET.Element, layer: str, matrix_id: str) -> tuple[int, int, int, int]:
        """First and last column, first and last row of a matrix."""
        for one in document.iterfind(
            f"w:Contents/w:Layer[o:Identifier='{layer}']/w:TileMatrixSetLink//w:TileMatrixLimits", NAMES
        ):
            if text(one, "w:TileMatrix") == matrix_id:
                return tuple(int(text(one, f"w:{end}Tile{way}")) for way in ("Col", "Row") for end in ("Min", "Max"))
        raise AssertionError(f"no limits of {matrix_id}")


@functools.cache
def document_of(case: str) -> tuple[ET.Element, Client]:
    document = parsed(*CASES[case][:2])
    return document, Client(document)


@pytest.mark.parametrize("case", CASES)
@given(u=st.floats(0.001, 0.999), v=st.floats(0.001, 0.999))
def test_a_point_is_in_the_tile_that_morecantile_finds(case: str, u: float, v: float) -> None:
    layout, _, reference = CASES[case]
    document, client = document_of(case)
    bounds = layout.finest.grid.bounds
    x, y = bounds.xmin + u * (bounds.xmax - bounds.xmin), bounds.ymin + v * (bounds.ymax - bounds.ymin)
    lon, lat = pyproj.Transformer.from_crs(layout.crs.proj, "EPSG:4326", always_xy=True).transform(x, y)
    inside = pyproj.Transformer.from_crs("EPSG:4326", client.crs, always_xy=True).transform(lon, lat)
    matrices = client.set.findall("w:TileMatrix", NAMES)
    assert len(matrices) >= 2
    for matrix in matrices:
        name = text(matrix, "o:Identifier")
        tile = reference.tile(lon, lat, int(name))
        found = client.tile(matrix, *inside)
        # A point that is nearer to an edge than rounding errors is in either tile.
        left, bottom, right, top = reference.xy_bounds(tile)
        distance = min(inside[0] - left, right - inside[0], inside[1] - bottom, top - inside[1])
        assert found == (tile.x, tile.y) or distance < 1e-6 * (right - left)
        first_col, last_col, first_row, last_row = client.limits(document, "x", name)
        assert first_col <= tile.x <= last_col
        assert first_row <= tile.y <= last_row
        assert (int(text(matrix, "w:MatrixWidth")), int(text(matrix, "w:MatrixHeight"))) == (
            reference.matrix(int(name)).matrixWidth,
            reference.matrix(int(name)).matrixHeight,
        )


# 07-057r7, 6.1 and annex E: corners in the order of the CRS, denominators of the well-known scale sets.
def test_corners_and_scales_are_those_of_the_standard() -> None:
    world = native("EPSG:4326", left=-180, top=90, width=360, height=180, cells=256)
    found = {}
    for name in ("WorldCRS84Quad", "WGS1984Quad", "WebMercatorQuad"):
        (matrix, *_) = parsed(world, known_tms(name)).findall("w:Contents/w:TileMatrixSet/w:TileMatrix", NAMES)
        scale = float(text(matrix, "w:ScaleDenominator")) * 2 ** int(text(matrix, "o:Identifier"))
        found[name] = numbers(matrix, "w:TopLeftCorner"), scale
    assert found["WorldCRS84Quad"] == ([-180, 90], pytest.approx(279541132.0143589, rel=1e-9))
    assert found["WGS1984Quad"] == ([90, -180], pytest.approx(279541132.0143589, rel=1e-9))
    corner, scale = found["WebMercatorQuad"]
    assert corner == pytest.approx([-20037508.3427892, 20037508.3427892])
    assert scale == pytest.approx(559082264.0287178, rel=1e-9)


def test_scales_follow_from_cells_where_the_registered_ones_do_not() -> None:
    canada = native("EPSG:3978", left=-1_000_000, top=500_000, width=500_000, height=500_000)
    registered = known_tms("CanadianNAD83_LCC")
    for matrix in parsed(canada, registered).findall("w:Contents/w:TileMatrixSet/w:TileMatrix", NAMES):
        cell = float(text(matrix, "w:ScaleDenominator")) * 0.28e-3
        wanted = registered.matrix(text(matrix, "o:Identifier"))
        assert cell == pytest.approx(wanted.cellSize, rel=1e-12)
        assert wanted.scaleDenominator * 0.28e-3 != pytest.approx(cell, rel=0.01)


def test_names_of_crs_are_urns() -> None:
    found = parsed(EUROPE, *(case[1] for name, case in CASES.items() if name != "aligned"))
    assert [element.text for element in found.iterfind("w:Contents/w:TileMatrixSet/o:SupportedCRS", NAMES)] == [
        "urn:ogc:def:crs:EPSG::3857",
        "urn:ogc:def:crs:OGC:1.3:CRS84",
        "urn:ogc:def:crs:EPSG::4326",
        "urn:ogc:def:crs:EPSG::32631",
        "urn:ogc:def:crs:EPSG::3035",
    ]


def test_boxes_have_the_order_of_their_crs() -> None:
    document = parsed(EUROPE, known_tms("WGS1984Quad"), known_tms("WorldCRS84Quad"), local_set())
    layer = document.find("w:Contents/w:Layer", NAMES)
    west, south = numbers(layer, "o:WGS84BoundingBox/o:LowerCorner")
    assert (1, 48) < (west, south) < (3, 50)
    boxes = {box.get("crs"): numbers(box, "o:LowerCorner") for box in layer.iterfind("o:BoundingBox", NAMES)}
    assert boxes["urn:ogc:def:crs:EPSG::4326"] == pytest.approx([south, west])
    assert boxes["urn:ogc:def:crs:OGC:1.3:CRS84"] == pytest.approx([west, south])
    transformer = pyproj.Transformer.from_crs("EPSG:32631", "EPSG:3035")  # in the order of EPSG:3035
    northings, eastings = zip(*(transformer.transform(400_000 + 2e3 * i, 5_400_000) for i in range(101)), strict=True)
    assert boxes["urn:ogc:def:crs:EPSG::3035"][0] == pytest.approx(min(northings), abs=50)
    assert boxes["urn:ogc:def:crs:EPSG::3035"][1] == pytest.approx(min(eastings), abs=50)


def test_elements_have_the_order_of_the_schema() -> None:
    # wmtsGetCapabilities_response.xsd and owsDatasetDescriptionSummary, owsCommon of OWS 1.1.0
    document = parsed(EUROPE, QUAD, axes=(TIME,), variables=(variable("t", "uint8", ("time", 3), units="K"),))

    def children(path: str) -> list[str]:
        found = document.find(path, NAMES)
        return list(dict.fromkeys(child.tag.partition("}")[2] for child in found))

    assert children(".") == ["ServiceIdentification", "Contents", "ServiceMetadataURL"]
    assert children("o:ServiceIdentification") == ["Title", "ServiceType", "ServiceTypeVersion"]
    assert children("w:Contents") == ["Layer", "TileMatrixSet"]
    assert children("w:Contents/w:Layer[2]") == [
        *("Title", "Abstract", "WGS84BoundingBox", "Identifier", "BoundingBox"),
        *("Style", "Format", "Dimension", "TileMatrixSetLink", "ResourceURL"),
    ]
    assert children("w:Contents/w:Layer/w:Style") == ["Identifier", "LegendURL"]
    assert children("w:Contents/w:Layer/w:Dimension") == ["Title", "Abstract", "Identifier", "UOM", "Default", "Value"]
    assert children("w:Contents/w:TileMatrixSet") == ["Title", "Identifier", "SupportedCRS", "TileMatrix"]
    assert children("w:Contents/w:TileMatrixSet/w:TileMatrix") == [
        *("Identifier", "ScaleDenominator", "TopLeftCorner", "TileWidth", "TileHeight", "MatrixWidth", "MatrixHeight"),
    ]


def test_prefixes_are_those_that_qgis_knows() -> None:
    document = capabilities(EUROPE, QUAD).decode()
    assert re.search(r"<Capabilities xmlns=\"http://www.opengis.net/wmts/1.0\"", document)
    assert {"<Contents>", "<ows:ServiceIdentification>", "<ows:Identifier>", "<ows:SupportedCRS>"} <= set(
        re.findall(r"<[A-Za-z:]+>", document)
    )
    assert ' xlink:href="' in document


def templates(document: ET.Element, layer: str) -> dict[str, str]:
    found = document.iterfind(f"w:Contents/w:Layer[o:Identifier='{layer}']/w:ResourceURL", NAMES)
    return {one.get("format"): one.get("template") for one in found}


def filled(template: str, **values: str) -> str:
    """Replace names in a template as QGIS and GDAL do, in either case and without escaping anything."""
    for name, value in values.items():
        found = re.search(re.escape(f"{{{name}}}"), template, flags=re.IGNORECASE)
        template = template if found is None else template[: found.start()] + value + template[found.end() :]
    assert "{" not in template
    return template


def test_templates_lead_to_the_tiles() -> None:
    odd = "a&b <x>\"'{TileRow}/"
    made = (variable("t", "uint8", ("time", 3)), variable(odd.replace("/", "")))
    document = parsed(EUROPE, QUAD, axes=(TIME,), variables=made)
    place = {"TileMatrixSet": "WebMercatorQuad", "TileMatrix": "7", "TileCol": "65", "TileRow": "43"}
    assert list(templates(document, "x")) == ["image/png", "image/jpeg", "image/webp"]
    for suffix, template in zip(("png", "jpeg", "webp"), templates(document, "x:t").values(), strict=True):
        address = urlsplit(filled(template, **place, time="2024-01-02"))
        assert address.geturl().startswith("https://e.org/m/x/tiles/")
        assert address.path == f"/m/x/tiles/WebMercatorQuad/7/65/43.{suffix}"
        assert parse_qsl(address.query) == [("variable", "t"), ("sel", "time=nearest::2024-01-02")]
    (last,) = [one for one in document.iterfind("w:Contents/w:Layer", NAMES) if "&" in text(one, "o:Identifier")]
    template = last.find("w:ResourceURL", NAMES).get("template")
    assert dict(parse_qsl(urlsplit(filled(template, **place)).query)) == {"variable": odd.replace("/", "")}
    address = urlsplit(filled(templates(document, "x")["image/png"], **place, time="2024-01-02"))
    assert parse_qsl(address.query) == [("sel", "time=nearest::2024-01-02")]


def test_legends_are_those_of_the_layers() -> None:
    document = parsed(EUROPE, QUAD, variables=(variable("t 2"),))
    found = [one.find("w:Style/w:LegendURL", NAMES).get(HREF) for one in document.iterfind("w:Contents/w:Layer", NAMES)]
    assert found == ["https://e.org/m/x/legend.png", "https://e.org/m/x/legend.png?variable=t%202"]
    assert document.find("w:ServiceMetadataURL", NAMES).get(HREF) == "https://e.org/m/x/WMTSCapabilities.xml"


def test_layers_have_names_of_their_own() -> None:
    many = (variable("x"), variable("height", "float32"), *(variable(f"v{index}") for index in range(80)))
    document = parsed(EUROPE, QUAD, variables=many)
    found = [text(layer, "o:Identifier") for layer in document.iterfind("w:Contents/w:Layer", NAMES)]
    assert found[:3] == ["x", "x:x", "x:v0"]
    assert len(found) == len(set(found)) == 65


def test_texts_of_a_store_stay_texts() -> None:
    name = "</ows:Title><Layer>&amp;\x00\x0b\ud800\ufffe]]>\U0001f30d"
    odd = variable("t", statistics=STATISTICS, long_name=name, units="<m>")
    layer = parsed(EUROPE, QUAD, variables=(odd,)).findall("w:Contents/w:Layer", NAMES)[1]
    assert text(layer, "o:Title") == "</ows:Title><Layer>&amp;]]>\U0001f30d"
    assert text(layer, "o:Abstract") == "t in <m>"


def dimensions(*axes: Steps) -> dict[str, dict[str, Any]]:
    """Dimensions of a layer that has all of some axes, and what its template asks for."""
    leading = tuple((axis.name, axis.size) for axis in axes)
    document = parsed(EUROPE, QUAD, axes=axes, variables=(variable("t", "uint8", *leading),))
    layer = document.findall("w:Contents/w:Layer", NAMES)[1]
    template = layer.find("w:ResourceURL", NAMES).get("template")
    asked = dict(value.split("=", 1) for name, value in parse_qsl(urlsplit(template).query) if name == "sel")
    found = {}
    for one in layer.iterfind("w:Dimension", NAMES):
        unit = one.find("o:UOM", NAMES)
        found[text(one, "o:Identifier")] = {
            "title": text(one, "o:Title"),
            "unit": None if unit is None else unit.text,
            "default": text(one, "w:Default"),
            "values": [value.text for value in one.iterfind("w:Value", NAMES)],
            "asks": asked.pop(text(one, "o:Identifier")),
        }
    assert not asked
    return found


def test_regular_times_are_a_span_of_which_the_nearest_step_is_shown() -> None:
    assert dimensions(TIME) == {
        "time": {
            "title": "Time",
            "unit": "ISO8601",
            "default": "2024-01-01",
            "values": ["2024-01-01/2024-01-03/P1D"],
            "asks": "nearest::{time}",
        }
    }


def test_other_values_are_listed_and_asked_for_as_they_are() -> None:
    times = Steps("time", "time", ("2024-01-01T00:00:00Z", "2024-01-01T06:00:00Z", "2024-01-03T00:00:00Z"))
    level = Steps("level", "number", ("1000", "850", "500"), "hPa", "Pressure")
    member = Steps("member", "text", ("control", "p1"))
    found = dimensions(times, level, member)
    assert found["time"]["values"] == list(times.labels)
    assert found["time"]["asks"] == "exact::{time}"
    assert found["level"] == {
        "title": "Pressure",
        "unit": "hPa",
        "default": "1000",
        "values": ["1000", "850", "500"],
        "asks": "exact::{level}",
    }
    assert (found["member"]["title"], found["member"]["unit"]) == ("member", None)
    assert found["member"]["values"] == ["control", "p1"]


def test_the_list_of_values_has_an_end() -> None:
    regular = Steps("regular", "number", tuple(map(str, range(1001))))
    squares = Steps("squares", "number", tuple(str(number**2) for number in range(1001)))
    days = tuple(f"{2000 + number // 336}-{number // 28 % 12 + 1:02}-{number % 28 + 1:02}" for number in range(1344))
    found = dimensions(
        regular,
        squares,
        Steps("days", "time", days),
        Steps("names", "text", tuple(f"n{number}" for number in range(1001))),
        Steps("index", "index", (), size=70_000),
    )
    assert found["regular"]["values"] == ["0/1000/1"]
    assert found["squares"]["values"] == ["0/1000000/0"]
    # 28 days of each month for 4 years: 1456 days from the first to the last, in 1343 steps.
    assert found["days"]["values"] == ["2000-01-01/2003-12-28/P1D"]
    assert found["names"]["values"] == [f"n{number}" for number in range(1000)]
    assert found["index"]["values"] == ["0/69999/1"]
    assert [one["asks"].partition(":")[0] for one in found.values()] == [
        *("nearest", "nearest", "nearest", "exact", "nearest"),
    ]
    assert len(dimensions(Steps("z", "number", tuple(str(n * n) for n in range(1000))))["z"]["values"]) == 1000


def test_values_that_cannot_stand_in_an_address_are_left_out() -> None:
    # Clients do not escape what they put into a template.
    assert dimensions(Steps("m", "text", ("a&b", "ok", "x y", "50%", "q?", "ü")))["m"]["values"] == ["ok"]
    assert dimensions(Steps("m", "text", ("a&b", "x y"))) == {}
    assert dimensions(Steps("z", "number", ("1e+20", "-2.5e-3", "3"))) == {
        "z": {
            "title": "z",
            "unit": None,
            "default": "1e20",
            "values": ["1e20", "-2.5e-3", "3"],
            "asks": "exact::{z}",
        }
    }


@pytest.mark.parametrize("name", ["a b", "a}", "{x", "é", "1st", "TileRow", "style", "", "x" * 65])
def test_names_that_no_template_can_hold_are_left_out(name: str) -> None:
    assert dimensions(Steps(name, "number", ("1", "2"))) == {}


def test_names_that_differ_in_case_only_are_told_once() -> None:
    assert list(dimensions(Steps("Z", "number", ("1", "2")), Steps("z", "number", ("1", "2", "3")))) == ["Z"]


def test_the_default_is_the_step_that_is_shown() -> None:
    assert dimensions(Steps("z", "number", ("5", "1", "3")))["z"]["default"] == "5"
    assert dimensions(Steps("z", "number", (None, "1", "3")))["z"]["default"] == "1"


def test_qgis_is_told_which_dimension_is_the_time() -> None:
    steps = ("2024-01-01", "2024-01-05")
    run, valid, named = (Steps(name, "time", steps, None, name.upper()) for name in ("run", "valid", "time"))
    assert [one["title"] for one in dimensions(run, valid).values()] == ["Time", "VALID"]
    assert [one["title"] for one in dimensions(run, named).values()] == ["RUN", "Time"]
    assert dimensions(Steps("z", "number", ("1",), None, "Depth"))["z"]["title"] == "Depth"


def turned(one: tms.TileMatrixSet) -> tms.TileMatrixSet:
    matrices = tuple(
        replace(matrix, cornerOfOrigin="bottomLeft", pointOfOrigin=(matrix.pointOfOrigin[0], -matrix.pointOfOrigin[1]))
        for matrix in one.tileMatrices
    )
    return replace(one, id="below", tileMatrices=matrices)


def uncoded() -> tms.TileMatrixSet:
    document = crs.from_code("EPSG:32631").to_projjson()
    document.pop("id")
    document["conversion"]["parameters"][1]["value"] = 2.5
    return replace(known_tms("UTM31WGS84Quad"), id="turned", crs=crs.from_projjson(document))


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (turned(QUAD), "from below"),
        (uncoded(), "no code"),
        (replace(QUAD, id="a/b"), "address"),
        (replace(QUAD, tileMatrices=tuple(replace(m, id=f"z {m.id}") for m in QUAD.tileMatrices)), "address"),
        (known_tms("NZTM2000Quad"), "reach"),
    ],
)
def test_sets_that_wmts_cannot_tell_of_are_refused(chosen: tms.TileMatrixSet, reason: str) -> None:
    assert reason in str(wmts.why_not(pyramid(EUROPE), Tileset(EUROPE, chosen)))
    with pytest.raises(UnsupportedError) as caught:
        capabilities(EUROPE, QUAD, chosen)
    assert caught.value.feature == f"WMTS of TileMatrixSet {chosen.id}"
    assert wmts.why_not(pyramid(EUROPE), Tileset(EUROPE, QUAD)) is None


def test_only_the_matrices_of_levels_are_told() -> None:
    document = parsed(ALIGNED, QUAD)
    assert [text(one, "o:Identifier") for one in document.iterfind(".//w:TileMatrix[o:Identifier]", NAMES)] == [
        *("8", "9", "10"),
    ]
    assert Client(document).limits(document, "x", "10") == (520, 527, 340, 347)


@pytest.mark.parametrize(("west", "width"), [(177.0, 5.0), (0.0, 360.0), (-190.0, 20.0)])
def test_a_box_in_degrees_never_runs_from_east_to_west(west: float, width: float) -> None:
    around = native("EPSG:4326", left=west, top=-16, width=width, height=2)
    box = parsed(around, known_tms("WGS1984Quad")).find("w:Contents/w:Layer/o:WGS84BoundingBox", NAMES)
    assert numbers(box, "o:LowerCorner") == [-180, -18]
    assert numbers(box, "o:UpperCorner") == [180, -16]


def test_another_body_has_no_box_on_the_earth() -> None:
    mars = native("IAU_2015:49910", left=0, top=10, width=1_000_000, height=1_000_000)
    grid = tms.from_document(
        {
            "id": "mars",
            "crs": "http://www.opengis.net/def/crs/IAU/2015/49910",
            "tileMatrices": [
                {
                    "id": "0",
                    "scaleDenominator": 1e8,
                    "cellSize": 28000.0,
                    "pointOfOrigin": [-1e7, 5e6],
                    "tileWidth": 256,
                    "tileHeight": 256,
                    "matrixWidth": 4,
                    "matrixHeight": 2,
                }
            ],
        }
    )
    document = parsed(mars, grid)
    assert text(document, "w:Contents/w:TileMatrixSet/o:SupportedCRS") == "urn:ogc:def:crs:IAU:2015:49910"
    assert document.find("w:Contents/w:Layer/o:WGS84BoundingBox", NAMES) is None


def test_owslib_reads_it() -> None:
    owslib = pytest.importorskip("owslib.wmts")
    document = capabilities(
        EUROPE, QUAD, known_tms("WGS1984Quad"), axes=(TIME,), variables=(variable("t", "uint8", ("time", 3)),)
    )
    service = owslib.WebMapTileService("https://e.org/m/x/WMTSCapabilities.xml", xml=document)
    assert service.identification.title == "x"
    assert list(service.contents) == ["x", "x:t"]
    assert list(service.tilematrixsets) == ["WebMercatorQuad", "WGS1984Quad"]
    layer = service["x:t"]
    assert layer.dimensions["time"]["values"] == ["2024-01-01/2024-01-03/P1D"]
    assert layer.dimensions["time"]["default"] == "2024-01-01"
    assert layer.formats == ["image/png", "image/jpeg", "image/webp"]
    west, south, east, north = layer.boundingBoxWGS84
    assert 1 < west < 3 < east < 5
    assert 48 < south < 50 < north < 52
    assert layer.styles["default"]["isDefault"]
    assert layer.styles["default"]["legend"] == "https://e.org/m/x/legend.png?variable=t"
    links = layer.tilematrixsetlinks["WebMercatorQuad"].tilematrixlimits
    wanted = layers.limits_of(pyramid(EUROPE), Tileset(EUROPE, QUAD))
    assert [
        (one.tilematrix, one.mintilerow, one.maxtilerow, one.mintilecol, one.maxtilecol) for one in links.values()
    ] == [(one.tileMatrix, one.minTileRow, one.maxTileRow, one.minTileCol, one.maxTileCol) for one in wanted]
    place = {"tilematrixset": "WGS1984Quad", "tilematrix": "9", "row": 114, "column": 518}
    tile = service.buildTileResource(layer="x:t", **place, time="2024-01-02")
    address, query = "https://e.org/m/x/tiles/WGS1984Quad/9/518/114", "variable=t&sel=time=nearest::2024-01-02"
    assert tile in [f"{address}.{suffix}?{query}" for suffix in ("png", "jpeg", "webp")]


@pytest.mark.parametrize("name", CASES)
def test_gdal_opens_it_in_place(name: str, tmp_path: Path) -> None:
    layout, chosen, _ = CASES[name]
    with Env() as env:
        if "WMTS" not in env.drivers():
            pytest.skip("this GDAL has no WMTS driver")
    path = tmp_path / "capabilities.xml"
    path.write_bytes(capabilities(layout, QUAD, *(() if chosen is QUAD else (chosen,)), variables=(variable("t"),)))
    tileset = Tileset(layout, chosen)
    box = layers.bounds_within(pyramid(layout), tileset)
    cell = chosen.matrix(tileset.maxzoom).cellSize
    with rasterio.open(f"WMTS:{path},layer=x:t,tilematrixset={chosen.id}") as opened:
        assert crs.from_wkt2(opened.crs.to_wkt()).is_same_place(chosen.crs)
        assert (opened.transform.a, -opened.transform.e) == pytest.approx((cell, cell), rel=1e-9)
        assert opened.bounds == pytest.approx(box, abs=2.1 * cell)
        # The finest matrix, whole cells from its corner on.
        left, top = chosen.matrix(tileset.maxzoom).top_left
        steps = (opened.bounds.left - left) / cell, (top - opened.bounds.top) / cell
        assert steps == pytest.approx([round(step) for step in steps], abs=1e-3)
        assert len(opened.overviews(1)) == len(layers.matrices_of(tileset)) - 1
