"""Legends: colours stand where their values are, and ticks at round numbers."""

from __future__ import annotations

import io
import itertools
import json
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from geozarr.errors import ParameterError
from tiler import colormaps, legend
from tiler.legend import Classes, Entry, Ramp, Rgb

VIRIDIS = colormaps.table("viridis")
RAMP = Ramp(VIRIDIS, 0.0, 100.0, "m", "Height")
COVER = legend.from_flags(
    [1, 2, 5],
    "open_water evergreen_forest ice",
    [(0, 0, 255, 255), (0, 100, 0, 255), (200, 200, 255, 128)],
    title="Land cover",
)


def drawn(*arguments: Any, **options: Any) -> np.ndarray:
    """Pixels of a legend, shape (row, col, 4)."""
    picture = Image.open(io.BytesIO(legend.image(*arguments, **options)))
    assert (picture.format, picture.mode) == ("PNG", "RGBA")
    return np.asarray(picture)


def test_a_ramp_is_told_by_the_colour_of_each_step() -> None:
    found = legend.document(RAMP)
    assert {key: found[key] for key in ("type", "title", "min", "max", "units")} == {
        "type": "ramp",
        "title": "Height",
        "min": 0.0,
        "max": 100.0,
        "units": "m",
    }
    assert len(found["stops"]) == 256
    # matplotlib's viridis runs from 0.267004, 0.004874, 0.329415 to 0.993248, 0.906157, 0.143936.
    ends = ((0.267004, 0.004874, 0.329415, 1), (0.993248, 0.906157, 0.143936, 1))
    for stop, value, color in zip((found["stops"][0], found["stops"][-1]), (0.0, 100.0), ends, strict=True):
        assert stop["value"] == value
        assert list(bytes.fromhex(stop["color"][1:])) == pytest.approx([255 * part for part in color], abs=1)
    for index, stop in enumerate(found["stops"]):
        assert stop["value"] == pytest.approx(100 * index / 255)
        assert bytes.fromhex(stop["color"][1:]) == bytes(VIRIDIS[index])
    json.dumps(found, allow_nan=False)


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9))
def test_each_stop_has_the_colour_that_its_value_is_drawn_in(low: float, width: float) -> None:
    assume(width > 1e-9 * abs(low))  # float64 tells 256 values apart by far
    high = low + width
    for index, stop in enumerate(legend.document(Ramp(VIRIDIS, low, high))["stops"]):
        assert low <= stop["value"] <= high
        # As values are stretched: to 0 to 255, rounded half up.
        share = (Fraction(stop["value"]) - Fraction(low)) / (Fraction(high) - Fraction(low))
        assert math.floor(share * 255 + Fraction(1, 2)) == index


def test_classes_are_told_with_their_meanings() -> None:
    assert legend.document(COVER) == {
        "type": "classes",
        "title": "Land cover",
        "entries": [
            {"value": 1, "label": "open water", "color": "#0000ffff"},
            {"value": 2, "label": "evergreen forest", "color": "#006400ff"},
            {"value": 5, "label": "ice", "color": "#c8c8ff80"},
        ],
    }


def test_classes_without_meanings_are_told_by_their_values() -> None:
    black = (0, 0, 0, 255)
    entries = (Entry(3, black), Entry(2.5, black, ""), Entry((0.0, 10.5), black), Entry(1e9, black))
    assert [one["label"] for one in legend.document(Classes(entries))["entries"]] == ["3", "2.5", "0 to 10.5", "1e+09"]


def test_three_bands_are_told_by_their_names() -> None:
    assert legend.document(Rgb(("B04", "B03", "B02"), "True colour")) == {
        "type": "rgb",
        "title": "True colour",
        "bands": ["B04", "B03", "B02"],
    }


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(1, 12))
def test_ticks_are_all_multiples_of_a_round_step_within_the_range(low: float, width: float, most: int) -> None:
    assume(width > 1e-9 * abs(low))
    high = low + width
    found = legend.ticks(low, high, most=most)
    assert len(found) <= most
    slack = 1e-9 * (high - low)
    assert all(low - slack <= value <= high + slack for value in found)
    if len(found) > 1:
        steps = [after - before for before, after in itertools.pairwise(found)]
        step = steps[0]
        assert steps == pytest.approx([step] * len(steps), rel=1e-4)
        power = 10.0 ** math.floor(math.log10(step) + 1e-6)
        factor = step / power
        assert min(abs(factor - one) for one in (1, 2, 5)) < 1e-4
        # With the next smaller step there would be too many.
        smaller = power / 2 if round(factor) == 1 else power if round(factor) == 2 else 2 * power
        count = math.floor(high / smaller + 1e-6) - math.ceil(low / smaller - 1e-6) + 1
        assert count > most


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 100, 6, [0, 20, 40, 60, 80, 100]),
        (0, 100, 5, [0, 50, 100]),
        (-12.5, 37.2, 12, [-10, -5, 0, 5, 10, 15, 20, 25, 30, 35]),
        (0, 0.3, 4, [0, 0.1, 0.2, 0.3]),
        (0.1, 0.7, 8, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]),
        (273.15, 313.15, 5, [280, 290, 300, 310]),
        (3, 4, 1, [4]),
    ],
)
def test_ticks_of_usual_ranges(low: float, high: float, most: int, expected: list[float]) -> None:
    assert legend.ticks(low, high, most=most) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 20, 40], ["0", "20", "40"]),
        ([-0.5, 0.0, 0.5], ["-0.5", "0", "0.5"]),
        ([0.05, 0.1, 0.15], ["0.05", "0.10", "0.15"]),
        ([0.0, 2e-8, 4e-8], ["0", "2e-8", "4e-8"]),
        ([1e7, 1.5e7, 2e7], ["1.0e7", "1.5e7", "2.0e7"]),
        ([900000.0, 950000.0], ["900000", "950000"]),
        ([0.1], ["0.1"]),
        ([], []),
    ],
)
def test_numbers_of_ticks(values: list[float], expected: list[str]) -> None:
    assert legend.tick_labels(values) == expected


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(2, 12))
def test_numbers_of_ticks_tell_them_apart(low: float, width: float, most: int) -> None:
    assume(width > 1e-9 * abs(low))
    high = low + width
    found = legend.ticks(low, high, most=most)
    labels = legend.tick_labels(found)
    assert len(set(labels)) == len(found)
    assert [float(label) for label in labels] == pytest.approx(found, rel=1e-6, abs=1e-3 * (high - low))


def bar_of(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """First and last row, first and last column of the colours of viridis, which are no greys."""
    colored = (pixels[..., :3].max(axis=-1).astype(int) - pixels[..., :3].min(axis=-1)) > 40
    rows, cols = np.nonzero(colored)
    return rows.min(), rows.max(), cols.min(), cols.max()


def test_a_horizontal_bar_runs_from_low_to_high() -> None:
    pixels = drawn(RAMP, width=400, height=60)
    assert pixels.shape == (60, 400, 4)
    top, bottom, left, right = bar_of(pixels)
    row = pixels[(top + bottom) // 2]
    assert right - left > 350
    for share in (0, 0.25, 0.5, 0.75, 1):
        col = left + share * (right - left)
        assert row[round(col)].astype(int) == pytest.approx(VIRIDIS[round(share * 255)].astype(int), abs=3)


def test_a_vertical_bar_has_the_greatest_value_at_its_top() -> None:
    pixels = drawn(RAMP, width=100, height=300, orientation="vertical")
    assert pixels.shape == (300, 100, 4)
    top, bottom, left, right = bar_of(pixels)
    col = pixels[:, (left + right) // 2]
    assert bottom - top > 240
    for share in (0, 0.25, 0.5, 0.75, 1):
        row = bottom - share * (bottom - top)
        assert col[round(row)].astype(int) == pytest.approx(VIRIDIS[round(share * 255)].astype(int), abs=3)


def test_ticks_stand_at_their_values() -> None:
    pixels = drawn(Ramp(VIRIDIS, 0.0, 100.0), width=420, height=60)
    _, bottom, left, right = bar_of(pixels)
    # Below the bar and its frame: dark pixels in the line of ticks, before the numbers begin.
    marks = np.flatnonzero(pixels[bottom + 3, :, 0] < 100)
    wanted = [left + value / 100 * (right - left) for value in legend.ticks(0, 100, most=12)]
    assert len(marks) == len(wanted)
    assert marks == pytest.approx(wanted, abs=1)


def test_a_transparent_background_shows_what_is_behind() -> None:
    half = VIRIDIS.copy()
    half[:, 3] = 128
    clear = drawn(Ramp(half, 0.0, 1.0), background="transparent")
    white = drawn(Ramp(half, 0.0, 1.0))
    assert clear[0, 0, 3] == 0
    assert (white[..., 3] == 255).all()
    assert tuple(white[0, 0]) == (255, 255, 255, 255)
    middle = clear.shape[0] // 3, clear.shape[1] // 2
    assert clear[middle][3] == 128
    assert clear[middle][:3].astype(int) == pytest.approx(half[128, :3].astype(int), abs=3)
    blended = (half[128, :3].astype(int) * 128 + 255 * 127) / 255
    assert white[middle][:3].astype(int) == pytest.approx(blended, abs=4)


def test_classes_have_a_swatch_each_in_their_order() -> None:
    pixels = drawn(COVER)
    lines = [
        np.flatnonzero((pixels[..., :3] == color).all(axis=-1).any(axis=1)) for color in ((0, 0, 255), (0, 100, 0))
    ]
    assert lines[0].max() < lines[1].min()
    assert all(9 <= len(line) <= 12 for line in lines)
    blended = [round((part * 128 + 255 * 127) / 255) for part in (200, 200, 255)]
    found = (np.abs(pixels[..., :3].astype(int) - blended) <= 1).all(axis=-1)
    assert np.flatnonzero(found.any(axis=1)).min() > lines[1].max()


def test_a_picture_grows_with_what_it_shows() -> None:
    black = (0, 0, 0, 255)
    few, many = (drawn(Classes(tuple(Entry(value, black) for value in range(count)))) for count in (2, 20))
    assert many.shape[0] - few.shape[0] == 18 * 16
    short, long = (drawn(Classes((Entry(1, black, label),))) for label in ("a", "a label of many words"))
    assert long.shape[1] > short.shape[1] + 60
    assert drawn(Classes(tuple(Entry(value, black) for value in range(256)))).shape[0] == 1024


def test_classes_that_do_not_fit_are_counted() -> None:
    entries = tuple(Entry(value, (255, 0, 0, 255)) for value in range(40))
    pixels = drawn(Classes(entries), height=100)
    assert pixels.shape[0] == 100
    red = (pixels[..., :3] == (255, 0, 0)).all(axis=-1).any(axis=1)
    # (100 - 2 x 6 pixels of padding) // 16 lines, of which the last one tells the rest.
    assert np.count_nonzero(np.diff(red.astype(int)) == 1) == 4
    assert (pixels[6 + 4 * 16 : 6 + 5 * 16, 20:, 0] < 100).any()


def test_a_number_that_has_no_room_is_not_cut() -> None:
    narrow = drawn(Ramp(VIRIDIS, 123456.0, 123457.0), width=40, height=200, orientation="vertical")
    _, _, _, right = bar_of(narrow)
    assert (narrow[:, right + 2 :] == 255).all()


@pytest.mark.parametrize("kind", [RAMP, COVER, Rgb(("a", "b", "c"))])
@pytest.mark.parametrize("side", [32, 1024])
@pytest.mark.parametrize("orientation", ["horizontal", "vertical"])
def test_any_size_within_the_limits_is_drawn(kind: legend.Legend, side: int, orientation: Any) -> None:
    assert drawn(kind, width=side, height=side, orientation=orientation).shape == (side, side, 4)


@given(
    st.text(max_size=300),
    st.text(max_size=300),
    st.floats(-1e300, 1e300),
    st.floats(min_value=0, max_value=1e300, exclude_min=True),
)
def test_any_text_and_range_are_drawn(title: str, units: str, low: float, width: float) -> None:
    try:
        ramp = Ramp(VIRIDIS, low, low + width, units, title)
    except ParameterError:
        return
    for orientation in ("horizontal", "vertical"):
        assert drawn(ramp, orientation=orientation).shape[2] == 4
    assert drawn(Classes((Entry(1, (1, 2, 3, 4), units),), title)).shape[1] <= 1024


@pytest.mark.parametrize(("low", "span"), [(2.0**49, 0.7), (2.0**52, 3.0), (-1e16, 16.0)])
def test_ticks_of_ranges_at_the_end_of_what_floats_tell_apart_differ(low: float, span: float) -> None:
    found = legend.ticks(low, low + span, most=8)
    assert found == sorted(set(found))
    assert len(set(legend.tick_labels(found))) == len(found)
    assert drawn(Ramp(VIRIDIS, low, low + span, "m", "t")).shape[2] == 4


@pytest.mark.parametrize(("width", "height"), [(31, None), (1025, None), (None, 31), (None, 10**9), (-1, None), (0, 0)])
def test_other_sizes_are_refused(width: int | None, height: int | None) -> None:
    with pytest.raises(ParameterError) as caught:
        legend.image(RAMP, width=width, height=height)
    assert caught.value.parameter in ("width", "height")


def test_other_options_are_refused() -> None:
    for options in ({"orientation": "diagonal"}, {"background": "blue"}):
        with pytest.raises(ParameterError) as caught:
            legend.image(RAMP, **options)
        assert caught.value.parameter in options


@pytest.mark.parametrize(
    "ends", [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf), (0.0, 1e-301), (0.0, 1e301)]
)
def test_other_ranges_are_refused(ends: tuple[float, float]) -> None:
    with pytest.raises(ParameterError) as caught:
        Ramp(VIRIDIS, *ends)
    assert caught.value.parameter == "rescale"


def test_other_tables_and_classes_are_refused() -> None:
    with pytest.raises(ParameterError):
        Ramp(VIRIDIS[:255], 0, 1)
    with pytest.raises(ParameterError):
        Ramp(VIRIDIS.astype(np.uint16), 0, 1)
    with pytest.raises(ParameterError):
        Classes(())
    with pytest.raises(ParameterError):
        Classes((Entry(1, (0, 0, 0, 0)),) * 257)
    with pytest.raises(ParameterError):
        Entry(math.nan, (0, 0, 0, 0))
    with pytest.raises(ParameterError):
        Entry(1, (0, 0, 0, 256))
    with pytest.raises(ParameterError) as caught:
        legend.from_flags([1, 2], "one", [(0, 0, 0, 0)] * 2)
    assert caught.value.parameter == "flag_meanings"
