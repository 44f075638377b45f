from __future__ import annotations

import json
import math
import time
import warnings
from dataclasses import FrozenInstanceError
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from rio_tiler.colormap import apply_cmap, parse_color

from geozarr.errors import ParameterError, UnknownNameError
from tiler import colormaps
from tiler.block import Block
from tiler.colors import Classes, Intervals, Ramp, parse_colormap
from tiler.colors import parse_color as our_color
from tiler.render import to_bytes

RED, GREEN, BLUE = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 128)
DTYPES = ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "float32")


def packed(*colors: tuple[int, ...]) -> bytes:
    return b"".join(map(bytes, colors))


def shown(colors: Any, values: np.ndarray, value_range: tuple[float, float] | None = None) -> np.ndarray:
    """Red, green, blue, alpha of each value; zeros where nothing is shown."""
    values = np.atleast_2d(values)
    pixels, opaque = colors.pixels(values, np.ones(values.shape, bool), value_range)
    assert (pixels.dtype, pixels.shape, opaque.shape) == (np.uint8, values.shape, values.shape)
    return np.where(opaque[..., np.newaxis], colors.table[pixels], 0)


def by_rio_tiler(values: np.ndarray, colormap: Any) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data, alpha = apply_cmap(np.atleast_2d(values)[np.newaxis], colormap)
    return np.moveaxis(np.concatenate((data, alpha[np.newaxis])), 0, -1)


# --- ramps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["viridis", "terrain_r", "gray"])
def test_a_plain_ramp_has_all_256_colours_of_its_name(name: str) -> None:
    ramp = Ramp(name)
    assert np.array_equal(ramp.table, colormaps.table(name))
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(shown(ramp, values)[0], colormaps.table(name))
    assert np.array_equal(shown(ramp, values * 2.0, (0.0, 510.0))[0], colormaps.table(name))


@given(
    values=arrays.arrays(st.sampled_from(["float32", "int16", "uint16", "int64"]), (4, 5)),
    low=st.integers(-100, 100),
    width=st.integers(1, 300),
)
def test_a_plain_ramp_stretches_as_an_image_does(values: np.ndarray, low: int, width: int) -> None:
    mask = np.arange(20).reshape(4, 5) % 3 > 0
    pixels, opaque = Ramp("viridis").pixels(values, mask, (low, low + width))
    assert np.array_equal(pixels, to_bytes(Block(values[np.newaxis], mask[np.newaxis]), ((low, low + width),))[0])
    assert np.array_equal(opaque, mask)


def test_without_a_range_values_are_shades_themselves_and_clipped() -> None:
    for dtype in ("int16", "float64"):
        pixels, _ = Ramp("viridis").pixels(np.array([[-7, 0, 128, 255, 300]], dtype), np.ones((1, 5), bool), None)
        assert pixels.tolist() == [[0, 0, 128, 255, 255]]


def test_a_ramp_with_ends_has_253_shades_spread_over_all_256() -> None:
    table = Ramp("viridis", below=RED, above=GREEN).table
    chosen = [math.floor(Fraction(255 * index, 252) + Fraction(1, 2)) for index in range(253)]
    assert (chosen[0], chosen[-1]) == (0, 255)
    assert np.array_equal(table[:253], colormaps.table("viridis")[chosen])
    assert table[253:].tolist() == [list(RED), list(GREEN), [0, 0, 0, 0]]


@given(
    values=arrays.arrays(st.sampled_from(["float32", "float64", "int16", "uint8", "int32"]), (3, 4)),
    low=st.floats(-200, 200, allow_subnormal=False),
    width=st.floats(0.01, 300),
    below=st.sampled_from([None, RED, (0, 0, 0, 0)]),
    above=st.sampled_from([None, GREEN, (0, 0, 0, 0)]),
)
def test_values_beyond_the_range_have_the_colours_of_its_ends(
    values: np.ndarray, low: float, width: float, below: Any, above: Any
) -> None:
    high = low + width
    found = shown(Ramp("viridis", below, above), values, (low, high))
    last = 255 if below is None and above is None else 252
    for index, value in np.ndenumerate(values.astype(np.float64)):
        if value < low and below is not None:
            expected = below
        elif value > high and above is not None:
            expected = above
        else:
            share = 0.0 if np.isnan(value) else (min(max(value, low), high) - low) * (last / (high - low))
            shade = math.floor(Fraction(math.floor(share + 0.5) * 255, last) + Fraction(1, 2))
            expected = tuple(colormaps.table("viridis")[shade])
        assert tuple(found[index]) == expected


def test_ends_are_compared_as_they_are_written() -> None:
    # The float32 nearest to 0.1 is above 0.1, and the one nearest to 0.7 is below it.
    values = np.array([[0.1, 0.7]], np.float32)
    assert shown(Ramp("gray", above=RED), values, (0.0, 0.1)).tolist()[0][0] == list(RED)
    assert shown(Ramp("gray", below=RED), values, (0.7, 1.0)).tolist()[0][1] == list(RED)


def test_the_ends_themselves_are_in_the_range() -> None:
    for dtype in ("float64", "int16"):
        found = shown(Ramp("gray", RED, RED), np.array([1, 2, 8, 9], dtype), (2.0, 8.0))[0].tolist()
        table = colormaps.table("gray")
        assert found == [list(RED), table[0].tolist(), table[255].tolist(), list(RED)]


def test_a_masked_ramp_with_ends_fits_a_palette() -> None:
    values = np.linspace(-1.0, 2.0, 5000).reshape(50, 100)
    pixels, opaque = Ramp("viridis", RED, GREEN).pixels(values, values < 1.9, (0.0, 1.0))
    assert set(pixels[opaque].tolist()) == set(range(255))  # every shade and both ends, and one index to spare


# --- classes ---------------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(data=st.data(), dtype=st.sampled_from((*DTYPES, "float64")))
def test_classes_are_shown_as_rio_tiler_shows_them(data: st.DataObject, dtype: str) -> None:
    number = st.integers(-40, 300) | st.floats(-10, 10).map(lambda value: round(value, 1))
    keys = data.draw(st.lists(number, min_size=1, max_size=20, unique=True))
    colors = data.draw(st.lists(st.tuples(*[st.integers(0, 255)] * 4), min_size=len(keys), max_size=len(keys)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.array(data.draw(st.lists(st.sampled_from(keys) | st.just(1), min_size=1, max_size=20))).astype(
            dtype
        )
    expected = by_rio_tiler(values, dict(zip(keys, colors, strict=True)))
    assert np.array_equal(shown(Classes(tuple(keys), packed(*colors)), values), expected)


@pytest.mark.parametrize(
    ("dtype", "value"), [("int64", 2**53 + 1), ("int64", -(2**63)), ("uint64", 2**64 - 1), ("int64", 2**63 - 1)]
)
def test_classes_of_64_bits_are_exact(dtype: str, value: int) -> None:
    near = [value + step for step in (-1, 0, 1) if np.iinfo(dtype).min <= value + step <= np.iinfo(dtype).max]
    found = shown(Classes((value,), packed(RED)), np.array(near, dtype))
    assert [tuple(color) == RED for color in found[0]] == [number == value for number in near]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_class_of_floats_is_that_float_and_no_neighbour(dtype: str) -> None:
    value = np.array(0.1, dtype)
    around = [
        np.nextafter(value, value.dtype.type(-1)),
        value,
        np.nextafter(value, value.dtype.type(1)),
        np.nan,
        np.inf,
    ]
    found = shown(Classes((0.1,), packed(RED)), np.array(around, dtype))
    assert [tuple(color) == RED for color in found[0]] == [False, True, False, False, False]


def test_what_has_no_colour_or_is_masked_is_not_shown() -> None:
    values = np.array([[1, 2, 3, 2]], np.int16)
    pixels, opaque = Classes((2,), packed(GREEN)).pixels(values, np.array([[True, True, True, False]]), None)
    assert opaque.tolist() == [[False, True, False, False]]
    assert pixels[0, 1] == 0


def test_255_classes_fit_and_one_more_does_not() -> None:
    colors = packed(*[(index, 0, 0, 255) for index in range(255)])
    classes = Classes(tuple(range(1000, 1255)), colors)
    assert shown(classes, np.arange(999, 1256))[0, :, 0].tolist() == [0, *range(255), 0]
    with pytest.raises(ParameterError) as caught:
        Classes(tuple(range(1000, 1256)), colors + bytes(4))
    assert caught.value.parameter == "colormap"


# --- intervals -------------------------------------------------------------------------------------------------------

ENDS = st.integers(-40, 300) | st.floats(-50, 50).map(lambda value: round(value, 1))


@settings(max_examples=200)
@given(data=st.data(), dtype=st.sampled_from((*DTYPES, "float64")))
def test_intervals_are_shown_as_rio_tiler_shows_them(data: st.DataObject, dtype: str) -> None:
    pairs = st.tuples(ENDS, ENDS).map(sorted).filter(lambda pair: pair[0] < pair[1]).map(tuple)
    bounds = data.draw(st.lists(pairs, min_size=1, max_size=12))
    colors = [(index + 1, 0, 0, 255) for index in range(len(bounds))]
    edges = st.sampled_from([end for pair in bounds for end in pair])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.array(data.draw(st.lists(edges | ENDS, min_size=1, max_size=20))).astype(dtype)
    if dtype == "bool":
        expected = by_rio_tiler(values.astype(np.uint8), list(zip(bounds, colors, strict=True)))
    else:
        expected = by_rio_tiler(values, list(zip(bounds, colors, strict=True)))
    assert np.array_equal(shown(Intervals(tuple(bounds), packed(*colors)), values), expected)


def test_intervals_of_64_bits_are_exact() -> None:
    bounds = ((2**53 + 1, 2**53 + 2), (2**63 - 1, 2**63), (-(2**70), -(2**63) + 1))
    values = np.array([2**53, 2**53 + 1, 2**53 + 2, 2**63 - 2, 2**63 - 1, -(2**63), -(2**63) + 1])
    found = shown(Intervals(bounds, packed(RED, GREEN, BLUE)), values)[0].tolist()
    nothing = [0, 0, 0, 0]
    assert found == [nothing, list(RED), nothing, nothing, list(GREEN), list(BLUE), nothing]


def test_an_interval_holds_its_low_end_and_not_its_high_end_and_later_ones_win() -> None:
    intervals = Intervals(((0, 10), (5, 7.5)), packed(RED, GREEN))
    values = np.array([-0.1, 0.0, 4.9, 5.0, 7.4, 7.5, 9.9, 10.0, np.nan, np.inf])
    found = [tuple(color) for color in shown(intervals, values)[0]]
    off = (0, 0, 0, 0)
    assert found == [off, RED, RED, GREEN, GREEN, RED, RED, off, off, off]


@pytest.mark.parametrize("kind", [Classes((128,), packed(RED)), Intervals(((127.5, 129),), packed(RED))])
def test_with_a_range_the_bytes_of_the_stretch_are_looked_up(kind: Any) -> None:
    # As in TiTiler, where `rescale` comes before the colormap: 5 of 0 to 10 is 127.5, which is rounded up to 128.
    assert shown(kind, np.array([5.0, 128.0]), (0.0, 10.0))[0].tolist() == [list(RED), [0, 0, 0, 0]]


# --- what they are ---------------------------------------------------------------------------------------------------


def test_colours_are_keys_that_tell_them_apart() -> None:
    kinds = [
        Ramp("viridis"),
        Ramp("viridis", below=RED),
        Ramp("viridis", above=RED),
        Ramp(bytes(1024)),
        Classes((1,), packed(RED)),
        Classes((1,), packed(GREEN)),
        Classes((2,), packed(RED)),
        Intervals(((1, 2),), packed(RED)),
        Intervals(((1, 3),), packed(RED)),
    ]
    assert len(set(kinds)) == len(kinds)
    before = [repr(kind) for kind in kinds]
    for kind in kinds:
        shown(kind, np.arange(5))
    assert [repr(kind) for kind in kinds] == before
    assert len(set(before)) == len(kinds)
    assert Ramp("viridis", RED) == Ramp("viridis", RED)
    with pytest.raises(FrozenInstanceError):
        kinds[0].below = GREEN  # type: ignore[misc]


@pytest.mark.parametrize(
    "kind", [Ramp("viridis"), Ramp(bytes(1024), RED), Classes((1,), packed(RED)), Intervals(((1, 2),), packed(RED))]
)
def test_tables_are_palettes_that_cannot_be_changed(kind: Any) -> None:
    assert (kind.table.shape, kind.table.dtype) == ((256, 4), np.uint8)
    with pytest.raises(ValueError, match="read-only"):
        kind.table[0] = 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: Ramp(bytes(1023)),
        lambda: Ramp("viridis", below=(0, 0, 256, 0)),
        lambda: Ramp("viridis", above=(0, 0, 0)),  # type: ignore[arg-type]
        lambda: Classes((), b""),
        lambda: Classes((1, 1), packed(RED, RED)),
        lambda: Classes((1,), bytes(3)),
        lambda: Classes((math.nan,), packed(RED)),
        lambda: Classes((10**400,), packed(RED)),
        lambda: Intervals(((2, 2),), packed(RED)),
        lambda: Intervals(((0, math.inf),), packed(RED)),
    ],
)
def test_what_makes_no_colours_is_refused(make: Any) -> None:
    with pytest.raises(ParameterError) as caught:
        make()
    assert caught.value.parameter == "colormap"


def test_an_unknown_name_is_an_error() -> None:
    with pytest.raises(UnknownNameError):
        Ramp("no such colormap")


# --- the colormap parameter ------------------------------------------------------------------------------------------


def test_an_object_of_all_bytes_is_a_ramp() -> None:
    text = json.dumps({str(index): f"#{index % 16:x}0{index // 16:x}" for index in range(256)}, separators=(",", ":"))
    assert len(text) <= 4096
    ramp = parse_colormap(text)
    assert isinstance(ramp, Ramp)
    expected = [[index % 16 * 17, 0, index // 16 * 17, 255] for index in range(256)]
    assert ramp.table.tolist() == expected


@pytest.mark.parametrize(
    "document",
    [
        {"1": [255, 0, 0], "2": "#0f0", "3": [1, 2, 3, 4]},
        {"0": "#102030", "255": "#10203040", "-7": "#1234"},
        [[[0, 1], [1, 2, 3, 4]], [[1, 2.5], "#fff"], [[-3, -1], [9, 9, 9]]],
    ],
)
def test_colormaps_mean_what_they_mean_to_titiler(document: Any) -> None:
    # titiler.core.dependencies.ColorMapParams, with its parse_color
    if isinstance(document, dict):
        theirs: Any = {int(key): parse_color(color) for key, color in document.items()}
    else:
        theirs = [(tuple(bounds), parse_color(color)) for bounds, color in document]
    ours = parse_colormap(json.dumps(document))
    for dtype in ("uint8", "int16", "float32"):
        values = np.array([0, 1, 2, 3, 255, 7]).astype(dtype)
        assert np.array_equal(shown(ours, values), by_rio_tiler(values, theirs))


def test_values_with_fractions_and_exponents_are_classes() -> None:
    ours = parse_colormap('{"0.5": "#f00", "-1e3": "#00f"}')
    assert ours == Classes((0.5, -1000.0), packed((255, 0, 0, 255), (0, 0, 255, 255)))
    assert parse_colormap('{"9007199254740993": "#f00"}') == Classes((2**53 + 1,), packed((255, 0, 0, 255)))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "viridis",
        "null",
        "1",
        '"#fff"',
        "{}",
        "[]",
        '{"1": [1, 2]}',
        '{"1": [1, 2, 3, 4, 5]}',
        '{"1": [1, 2, 256]}',
        '{"1": [1, 2, -1]}',
        '{"1": [1, 2, 3.5]}',
        '{"1": [true, 2, 3]}',
        '{"1": ["1", 2, 3]}',
        '{"1": "red"}',
        '{"1": "#ff"}',
        '{"1": "#fffff"}',
        '{"1": "#ggg"}',
        '{"1": "#fff\\n"}',
        '{"1": "#\u0661\u0661\u0661"}',
        '{"1": null}',
        '{"1": {"1": 1}}',
        '{"one": "#fff"}',
        '{" 1": "#fff"}',
        '{"1_0": "#fff"}',
        '{"\u0661": "#fff"}',
        '{"nan": "#fff"}',
        '{"1e999": "#fff"}',
        '{"0x10": "#fff"}',
        '{"1": "#fff", "1": "#000"}',
        '{"1": "#fff", "01": "#000"}',
        '{"1": "#fff", "1.0": "#000"}',
        '[[0, 1], "#fff"]',
        '[[[0, 1]]]',
        '[[[0, 1], "#fff", 1]]',
        '[[[0, 1, 2], "#fff"]]',
        '[[["0", 1], "#fff"]]',
        '[[[false, true], "#fff"]]',
        '[[[1, 0], "#fff"]]',
        '[[[1, 1], "#fff"]]',
        '[[[0, NaN], "#fff"]]',
        '[[[0, Infinity], "#fff"]]',
        '[[[0, 1e999], "#fff"]]',
        '[[[[0], 1], "#fff"]]',
        "[" * 4096,
    ],
)  # fmt: skip
def test_a_colormap_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        parse_colormap(text)
    assert caught.value.parameter == "colormap"


@pytest.mark.parametrize(
    "text", ['{"1":"#fff"' + " " * 100_000 + "}", '{"' + "1" * 100_000 + '":"#fff"}', "[" * 100_000]
)
def test_long_colormaps_are_refused_at_once(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ParameterError):
        parse_colormap(text)
    assert time.perf_counter() - began < 0.01


def test_256_colours_for_other_values_are_too_many() -> None:
    text = json.dumps({str(index): "#fff" for index in range(1, 257)}, separators=(",", ":"))
    with pytest.raises(ParameterError, match="255"):
        parse_colormap(text)


@given(st.text(max_size=60) | st.from_regex(r"[\[\]{}:,\"#0-9a-f. -]{0,40}", fullmatch=True))
def test_any_text_is_colours_or_a_typed_error(text: str) -> None:
    try:
        colors = parse_colormap(text)
    except ParameterError:
        return
    assert colors.table.shape == (256, 4)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("transparent", (0, 0, 0, 0)),
        ("#f00", RED),
        ("#0F08", (0, 255, 0, 136)),
        ("#0000ff80", BLUE),
        ("#102030", (16, 32, 48, 255)),
    ],
)
def test_a_colour_is_read(text: str, expected: tuple[int, ...]) -> None:
    assert our_color("color_below", text) == expected
    if text != "transparent":
        assert parse_color(text) == expected


@pytest.mark.parametrize("text", ["", "#", "#ff", "#fffff", "#fffffffff", "red", "#ggg", "#fff ", "#" + "f" * 100_000])
def test_a_colour_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ParameterError) as caught:
        our_color("color_below", text)
    assert caught.value.parameter == "color_below"
