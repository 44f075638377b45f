from __future__ import annotations

import itertools
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import pyproj
import pytest
from pyproj.enums import PJType

from geozarr import CRS, MetadataError, UnsupportedError, crs
from strategies import CODES, known_crs

WGS84_RADIUS = 6378137.0
# Albers with parameters that no authority registers.
OWN_ALBERS = pyproj.CRS.from_user_input(
    "+proj=aea +lat_0=40 +lon_0=-96.5 +lat_1=50 +lat_2=70.25 +datum=NAD83 +units=m"
).to_wkt("WKT2_2019")
UTM = known_crs("EPSG:32618").wkt2


@pytest.mark.parametrize("code", CODES)
def test_a_crs_survives_each_representation(code: str) -> None:
    made = known_crs(code)
    assert made.code == code
    for again in (crs.from_code(made.code), crs.from_wkt2(made.wkt2), crs.from_projjson(made.to_projjson())):
        assert again == made
        assert hash(again) == hash(made)
        assert again.code == code
        assert again.is_northing_first == made.is_northing_first


@pytest.mark.parametrize("code", CODES)
def test_wkt1_is_read_as_the_same_crs(code: str) -> None:
    wkt1 = known_crs(code).proj.to_wkt("WKT1_GDAL", pretty=True)
    assert crs.from_wkt2(wkt1).is_same_place(known_crs(code))
    assert not crs.from_wkt2(wkt1).wkt2.startswith(("PROJCS", "GEOGCS"))


def test_equality_counts_axis_order_and_same_place_does_not() -> None:
    lat_lon, lon_lat = known_crs("EPSG:4326"), known_crs("OGC:CRS84")
    assert lat_lon != lon_lat
    assert lat_lon.is_same_place(lon_lat)
    assert not lat_lon.is_same_place(known_crs("EPSG:3857"))
    assert lat_lon != "EPSG:4326"


def test_different_systems_differ() -> None:
    for one, other in itertools.combinations(CODES, 2):
        assert known_crs(one) != known_crs(other)


@pytest.mark.parametrize("factor", ["0.0174532925199433", "0.01745329251994328", "0.017453292519943", "0.0174532925"])
def test_equal_crs_have_equal_hashes_however_their_numbers_are_written(factor: str) -> None:
    one = known_crs("EPSG:4326")
    other = crs.from_wkt2(one.wkt2.replace("0.0174532925199433", factor))
    assert one != other or hash(one) == hash(other)


# The order of an authority's axes as its own register has it: EPSG's for Krovak is south, west, which no reader swaps.
@pytest.mark.parametrize(
    ("code", "is_northing_first"),
    [
        ("EPSG:4326", True),
        ("OGC:CRS84", False),
        ("EPSG:3857", False),
        ("EPSG:3395", False),
        ("EPSG:32618", False),
        ("EPSG:2056", False),
        ("EPSG:27700", False),
        ("EPSG:3035", True),
        ("EPSG:31467", True),
        ("EPSG:2193", True),
        ("EPSG:5482", True),
        ("EPSG:32661", True),
        ("EPSG:5041", False),
        ("EPSG:5042", False),
        ("EPSG:3031", False),
        ("EPSG:3413", False),
        ("EPSG:2048", False),
        ("EPSG:5513", False),
    ],
)
def test_axis_order_is_the_authority_s(code: str, is_northing_first: bool) -> None:
    assert crs.from_code(code).is_northing_first is is_northing_first


def _codes_of_the_register() -> list[str]:
    """Every 25th CRS of PROJ's register, and all of the kinds that are easily misread."""
    kinds = (PJType.PROJECTED_CRS, PJType.GEOGRAPHIC_2D_CRS)
    infos = pyproj.database.query_crs_info(pj_types=list(kinds), allow_deprecated=False)
    odd = ("Krovak", "UPS", "Polar", "Antarc", "Gauss-Kruger", "South Orientated", "Ographic")
    return [
        f"{info.auth_name}:{info.code}"
        for number, info in enumerate(infos)
        if number % 25 == 0 or (any(word in info.name for word in odd) and number % 3 == 0)
    ]


def test_x_and_y_are_those_of_proj_and_rasterio_for_the_whole_register() -> None:
    codes = _codes_of_the_register()
    assert len(codes) > 400
    wrong = []
    for code in codes:
        made = crs.from_code(code)
        # The axes that PROJ itself takes for (x, y) when asked for them.
        try:
            normal = pyproj.Transformer.from_crs(made.proj, made.proj, always_xy=True).source_crs
        except pyproj.exceptions.ProjError:  # a method that PROJ registers and cannot compute
            continue
        assert normal is not None
        is_swapped = normal.axis_info[0].name != made.proj.axis_info[0].name
        if is_swapped is not made.is_northing_first:
            wrong.append(code)
    assert wrong == []


@pytest.mark.parametrize(
    ("code", "metres", "unit"),
    [
        ("EPSG:3857", 1.0, "m"),
        ("EPSG:32618", 1.0, "m"),
        ("EPSG:4326", 2 * math.pi * WGS84_RADIUS / 360, "degree"),
        ("OGC:CRS84", 2 * math.pi * WGS84_RADIUS / 360, "degree"),
        ("EPSG:4807", 2 * math.pi * 6378249.2 / 400, "grade"),  # NTF (Paris) counts in grads, 400 in a circle
        ("EPSG:2263", 1200 / 3937, "US_survey_foot"),  # its definition
        ("EPSG:2222", 0.3048, "foot"),
        ("EPSG:3167", 20.116756, "20.116756 m"),  # British chain (Sears 1922 truncated)
    ],
)
def test_metres_per_unit(code: str, metres: float, unit: str) -> None:
    made = crs.from_code(code)
    assert made.metres_per_unit == pytest.approx(metres, rel=1e-12)
    assert made.unit == unit


def test_kilometres_are_a_thousand_metres() -> None:
    made = crs.from_wkt2(pyproj.CRS.from_user_input("+proj=laea +lat_0=90 +units=km +datum=WGS84").to_wkt("WKT2_2019"))
    assert (made.metres_per_unit, made.unit) == (1000.0, "km")


def test_a_crs_without_a_code_has_none_and_keeps_its_text() -> None:
    made = crs.from_wkt2(OWN_ALBERS)
    assert made.code is None
    assert crs.from_wkt2(made.wkt2) == made == crs.from_projjson(made.to_projjson())
    assert str(made) == (made.name if made.name not in ("unknown", "unnamed") else "unnamed Albers Equal Area")


def test_a_crs_is_named_by_its_code() -> None:
    assert str(known_crs("EPSG:3035")) == "EPSG:3035"
    assert known_crs("EPSG:3035").name == "ETRS89-extended / LAEA Europe"


def test_heights_are_dropped() -> None:
    assert crs.from_code("EPSG:7415").code == "EPSG:28992"  # RD New + NAP height
    assert crs.from_code("EPSG:4979").code == "EPSG:4326"  # WGS 84 with an ellipsoidal height
    assert len(crs.from_code("EPSG:4979").proj.axis_info) == 2


def test_a_bound_crs_is_unwrapped_also_inside_a_compound_one() -> None:
    bound = pyproj.CRS.from_user_input("+proj=utm +zone=32 +ellps=intl +towgs84=1,2,3 +type=crs")
    compound = pyproj.CRS.from_user_input(
        "+proj=utm +zone=32 +ellps=intl +towgs84=1,2,3 +geoidgrids=@null +vunits=m +type=crs"
    )
    assert bound.is_bound
    assert compound.is_compound
    for made in (crs.from_pyproj(bound), crs.from_pyproj(compound)):
        assert made.proj.type_name == "Projected CRS"
        assert made.proj.ellipsoid.name.startswith("International")


@pytest.mark.parametrize(
    ("code", "kind"),
    [("EPSG:4978", "Geocentric"), ("EPSG:5703", "Vertical")],
)
def test_what_has_no_horizontal_part_is_refused(code: str, kind: str) -> None:
    with pytest.raises(MetadataError, match=kind) as caught:
        crs.from_code(code, node="/0")
    assert (caught.value.node, caught.value.key) == ("/0", "proj:code")


def test_a_local_engineering_crs_is_refused() -> None:
    wkt = 'ENGCRS["site",EDATUM["corner"],CS[Cartesian,2],AXIS["a",east],AXIS["b",north],LENGTHUNIT["metre",1]]'
    with pytest.raises(MetadataError) as caught:
        crs.from_wkt2(wkt)
    assert caught.value.key == "proj:wkt2"


def test_only_the_earth_is_earth() -> None:
    assert all(known_crs(code).is_earth for code in CODES)
    assert not crs.from_code("IAU_2015:49900").is_earth  # Mars
    assert not crs.from_code("IAU_2015:30100").is_earth  # the Moon
    assert crs.from_code("IAU_2015:49900").metres_per_unit == pytest.approx(2 * math.pi * 3396190 / 360)


def test_there_is_no_way_from_the_earth_to_mars() -> None:
    with pytest.raises(UnsupportedError, match="IAU_2015:49900"):
        crs.transformer(known_crs("EPSG:4326"), crs.from_code("IAU_2015:49900"))


def test_a_rotated_pole_is_geographic_and_told_apart() -> None:
    rotated = crs.from_pyproj(
        pyproj.CRS.from_user_input("+proj=ob_tran +o_proj=longlat +o_lon_p=0 +o_lat_p=39.25 +lon_0=18 +type=crs")
    )
    assert rotated.is_geographic
    assert rotated.is_rotated_pole
    assert not known_crs("EPSG:4326").is_rotated_pole
    assert not known_crs("EPSG:3857").is_rotated_pole


# What opens files or guesses, in all the places where a document could put it.
@pytest.mark.parametrize(
    "code",
    [
        "",
        "4326",
        "EPSG:",
        ":4326",
        "EPSG:4326:1",
        "EPSG:4326+5773",
        "EPSG: 4326",
        "EPSG:43\n26",
        "EPSG:99999999",
        "NOPE:4326",
        "WGS 84",
        "init:epsg:4326",
        "+init=epsg:4326",
        "urn:ogc:def:crs:EPSG::4326",
        "+proj=merc +foo=a:b",
        "+proj=longlat +nadgrids=grid.gsb +title=a:b",
        "/some/folder:x",
        "../crs.json:1",
        "EPSG:" + "1" * 1000,
        "EPSG:٤٣٢٦",
    ],
)
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(MetadataError) as caught:
        crs.from_code(code, node="/a")
    assert (caught.value.node, caught.value.key, caught.value.found) == ("/a", "proj:code", code)


@pytest.mark.parametrize("value", [None, 4326, ["EPSG:4326"], {"code": "EPSG:4326"}, True])
def test_a_representation_of_the_wrong_type_is_refused(value: object) -> None:
    for read, key in ((crs.from_code, "proj:code"), (crs.from_wkt2, "proj:wkt2"), (crs.from_projjson, "proj:projjson")):
        with pytest.raises(MetadataError) as caught:
            read(value)
        assert caught.value.key == key


@pytest.mark.parametrize(
    "text",
    [
        "",
        "EPSG:4326",
        "WGS 84",
        "+proj=longlat +datum=WGS84",
        "proj=longlat",
        "crs.prj",
        "{}",
        '{"proj": "longlat"}',
        'PROJCRS["cut off',
        "GEOGCRS[" * 5000,
        UTM + " " * 300_000,
        'ELLIPSOID["GRS 1980",6378137,298.257222101]',
        "\ud800",
    ],
)
def test_what_is_no_wkt_is_refused(text: str) -> None:
    with pytest.raises(MetadataError) as caught:
        crs.from_wkt2(text, node="/a", key="crs_wkt")
    assert (caught.value.node, caught.value.key) == ("/a", "crs_wkt")


def _nested(depth: int) -> dict:
    document: dict = {}
    for _ in range(depth):
        document = {"type": "BoundCRS", "source_crs": document}
    return document


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"type": "GeographicCRS"},
        {"proj": "longlat", "datum": "WGS84"},
        {"type": "crs", "proj": "longlat", "nadgrids": "grid.gsb"},
        {"init": "epsg:4326"},
        {"type": "Ellipsoid", "name": "x", "semi_major_axis": 1, "semi_minor_axis": 1},
        {"type": "GeographicCRS", "name": math.nan},
        {"type": "GeographicCRS", "name": "x" * 300_000},
        {"type": object()},
        _nested(400),
        _nested(100_000),
    ],
)
def test_what_is_no_projjson_is_refused(document: dict) -> None:
    with pytest.raises(MetadataError) as caught:
        crs.from_projjson(document, node="/a")
    assert (caught.value.node, caught.value.key) == ("/a", "proj:projjson")


@pytest.mark.parametrize(
    "wkt",
    [
        # A PROJ string rides in GDAL's WKT1 extension and comes out as a remark that PROJ obeys.
        known_crs("EPSG:3395").proj.to_wkt("WKT1_GDAL").removesuffix("]")
        + ',EXTENSION["PROJ4","+proj=merc +a=6378137 +b=6378137 +nadgrids=/some/file"]]',
        UTM.replace('METHOD["Transverse Mercator",ID["EPSG",9807]]', 'METHOD["PROJ hgridshift grids=/some/file"]'),
    ],
    ids=["extension", "method"],
)
def test_wkt_that_names_a_file_is_refused(wkt: str) -> None:
    assert pyproj.CRS.from_wkt(wkt)  # it is good enough for PROJ
    with pytest.raises(MetadataError, match="names no file"):
        crs.from_wkt2(wkt)


def test_the_null_grid_of_old_web_mercator_texts_is_no_file() -> None:
    wkt1 = known_crs("EPSG:3857").proj.to_wkt("WKT1_GDAL")
    assert "nadgrids=@null" in wkt1
    assert crs.from_wkt2(wkt1) == known_crs("EPSG:3857")


def test_a_value_made_from_nonsense_is_refused_at_construction() -> None:
    with pytest.raises(MetadataError):
        CRS("nonsense")


def test_a_crs_can_be_pickled() -> None:
    made = known_crs("EPSG:2056")
    assert made.code  # so that something is cached
    assert pickle.loads(pickle.dumps(made)) == made


def test_transformers_give_x_then_y() -> None:
    # New York: 73.9 degrees west is x, 40.7 degrees north is y.
    x, y = crs.transformer(known_crs("EPSG:4326"), known_crs("EPSG:3857")).transform(-73.9, 40.7)
    assert x == pytest.approx(math.radians(-73.9) * WGS84_RADIUS)
    assert y == pytest.approx(math.asinh(math.tan(math.radians(40.7))) * WGS84_RADIUS)


def test_transformers_can_be_shared_by_threads() -> None:
    shared = crs.transformer(known_crs("EPSG:4326"), known_crs("EPSG:32618"))
    points = [(-75 + number / 100, 18 + number / 50) for number in range(200)]
    expected = [shared.transform(*point) for point in points]

    def run(_: int) -> list[tuple[float, float]]:
        one = crs.transformer(known_crs("EPSG:4326"), known_crs("EPSG:32618"))
        return [one.transform(*point) for point in points]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(run, range(32))) == [expected] * 32


def test_an_arc_of_the_equator() -> None:
    assert crs.degrees_to_metres(360) == pytest.approx(2 * math.pi * WGS84_RADIUS)
    assert crs.degrees_to_metres(1, radius=360) == pytest.approx(2 * math.pi)
