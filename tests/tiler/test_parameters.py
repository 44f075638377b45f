from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geozarr.errors import ParameterError
from tiler import parameters
from tiler.colors import Ramp
from tiler.dimensions import Selector
from tiler.picture import Wish


def wish(query: str) -> Wish:
    return parameters.parse_wish(parameters.parse_query(query.encode(), parameters.PICTURE))


def test_nothing_asked_is_an_empty_wish() -> None:
    assert wish("") == Wish()


def test_repeated_and_comma_separated_values_are_the_same() -> None:
    expected = Wish(("red", "green", "blue"), (1, 2), ((0.0, 255.0), (-1.5, 20.0)), Ramp("viridis"))
    ranges = "rescale=0,255&rescale=-1.5,2e1&colormap_name=viridis"
    assert wish(f"variable=red,green,blue&bidx=1,2&{ranges}") == expected
    assert wish(f"variable=red&bidx=1&variable=green&variable=blue&bidx=2&{ranges}") == expected


def test_selectors_are_read_in_the_order_of_their_dimensions() -> None:
    expected = (Selector("level", "exact", "500"), Selector("time", "nearest", "2024-01-02T06:00:00+02:00"))
    assert wish("sel=time%3Dnearest::2024-01-02T06:00:00%2B02:00&sel=level=500").selectors == expected
    assert wish("sel=a=1,2").selectors == (Selector("a", "exact", "1,2"),)


def test_names_are_percent_decoded_once() -> None:
    assert wish("variable=%C3%A9t%C3%A9%20%252F").variables == ("été %2F",)


@pytest.mark.parametrize(
    "query",
    [
        "url=http://127.0.0.1/",
        "Variable=red",
        "variable",
        "variable=",
        "variable=red,",
        "variable=red,red",
        "variable=red&variable=red",
        "variable=a,b,c,d,e",
        "bidx=",
        "bidx=-1",
        "bidx=1.0",
        "bidx=+1",
        "bidx=01",
        "bidx=0x1",
        "bidx=%D9%A1",
        "bidx=1e3",
        "bidx=99999999999",
        "bidx= 1",
        "sel=",
        "sel=time",
        "sel=time=",
        "sel==1",
        "sel=time=closest::1",
        "sel=time=1&sel=time=2",
        "sel=time=%00",
        "sel=time=" + "1" * 300,
        "&".join(f"sel=d{index}=1" for index in range(9)),
        "rescale=1",
        "rescale=1,2,3",
        "rescale=2,1",
        "rescale=1,1",
        "rescale=nan,1",
        "rescale=0,inf",
        "rescale=0,1e999",
        "rescale=0,0x10",
        "rescale=0,1_000",
        "rescale=,1",
        "rescale=0;1",
        "colormap_name=",
        "colormap_name=viridis&colormap_name=magma",
        "variable=%FF",
        "variable=\u00e9",
        "&".join(["rescale=0,1"] * 33),
        "variable=" + "x" * 5000,
    ],
)
def test_what_is_not_written_plainly_is_refused(query: str) -> None:
    with pytest.raises(ParameterError):
        wish(query)


@given(st.text(max_size=60))
def test_any_query_is_a_wish_or_an_error(text: str) -> None:
    for query in (
        text,
        quote(text),
        urlencode({"variable": text}),
        urlencode({"rescale": text}),
        urlencode({"sel": text}),
    ):
        try:
            wish(query)
        except ParameterError:
            continue


@given(st.integers(0, 9_999_999_999))
def test_plain_whole_numbers_are_read(number: int) -> None:
    assert parameters.parse_whole("x", str(number)) == number


@pytest.mark.parametrize(
    "text",
    ["", "-1", "+1", "1.0", "1e3", "0x10", " 1", "1 ", "01", "00", "\u0661", "1_0", "9" * 11, str(10**30), "1\n"],
)
def test_other_whole_numbers_are_refused(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parameters.parse_whole("x", text)
    assert caught.value.parameter == "x"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_finite_numbers_are_read(number: float) -> None:
    assert parameters.parse_number("lon", repr(number)) == number


@pytest.mark.parametrize("text", ["", "nan", "inf", "-infinity", "1e999", "0x1p3", "1,5", "1_0", " 1", ".", "e5"])
def test_other_numbers_are_refused(text: str) -> None:
    with pytest.raises(ParameterError):
        parameters.parse_number("lon", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7", (7, 1, None)),
        ("0.png", (0, 1, "png")),
        ("12.jpeg", (12, 1, "jpeg")),
        ("3.npy", (3, 1, "npy")),
        ("3@2x", (3, 2, None)),
        ("3@4x.tif", (3, 4, "tif")),
    ],
)
def test_a_row_may_carry_a_scale_and_a_format(text: str, expected: tuple[int, int, str | None]) -> None:
    assert parameters.parse_row(text) == expected


BAD_ROWS = (
    "7.",
    "7.gif",
    "7@",
    "7@0x",
    "7@5x",
    "7@2",
    "7@2x@2x",
    "7.png@2x",
    "7.PNG",
    "7.png.png",
    ".png",
    "7png",
    "-7.png",
)


@pytest.mark.parametrize("text", BAD_ROWS)
def test_other_formats_are_refused(text: str) -> None:
    with pytest.raises(ParameterError):
        parameters.parse_row(text)


def test_a_matrix_is_an_id_of_the_set_or_a_number() -> None:
    assert parameters.parse_matrix_id("level-3", ("level-3",)) == "level-3"
    assert parameters.parse_matrix_id("44", ("1", "2")) == "44"
    with pytest.raises(ParameterError):
        parameters.parse_matrix_id("level-4", ("level-3",))


@pytest.mark.parametrize("text", ["+proj=merc", "EPSG", "EPSG:", "file:/etc/hosts", "http://x/y", "EPSG:1+2", ""])
def test_a_crs_is_an_authority_code_only(text: str) -> None:
    with pytest.raises(ParameterError):
        parameters.parse_crs_code(text)
    assert parameters.parse_crs_code("EPSG:3857") == "EPSG:3857"
