from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compiled_loops import loops  # noqa: F401 - used by all tests
from geozarr.errors import ParameterError, UnsupportedError
from tiler import stretch as stretch_module
from tiler.block import Block
from tiler.render import to_bytes
from tiler.stretch import stretch

WHOLE = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64")


def defined(values: np.ndarray, low: float, high: float, top: int = 255) -> np.ndarray:
    """The definition, one number at a time in Python's float64."""
    scale = top / (high - low)
    out = np.zeros(values.shape, np.uint8)
    for index, value in np.ndenumerate(values):
        number = float(value)
        if not math.isnan(number):
            out[index] = math.floor((min(max(number, low), high) - low) * scale + 0.5)
    return out


ENDS = st.floats(-1e5, 1e5, allow_subnormal=False)


@given(data=st.data(), low=ENDS, width=st.floats(1e-3, 1e5), dtype=st.sampled_from(WHOLE))
def test_whole_numbers_are_stretched_exactly_as_defined(
    data: st.DataObject, low: float, width: float, dtype: str
) -> None:
    info = np.iinfo(dtype)
    near = st.integers(math.floor(low) - 3, math.ceil(low + width) + 3)
    numbers = data.draw(st.lists(near | st.integers(int(info.min), int(info.max)), min_size=1, max_size=20))
    values = np.array([min(max(number, int(info.min)), int(info.max)) for number in numbers], dtype)
    assert np.array_equal(stretch(values, low, low + width), defined(values, low, low + width))


@given(
    values=arrays.arrays(np.float32, (3, 5), elements=st.floats(width=32)) | arrays.arrays(np.float64, 6),
    low=ENDS,
    width=st.floats(1e-3, 1e5),
)
@example(values=np.array([np.nan, np.inf, -np.inf, -0.0, 1.7e308]), low=0.0, width=1.0)
def test_floats_are_stretched_exactly_as_defined(values: np.ndarray, low: float, width: float) -> None:
    assert np.array_equal(stretch(values, low, low + width), defined(values, low, low + width))


@given(
    values=arrays.arrays(st.sampled_from(["float32", "int16", "uint8", "int32"]), (2, 4, 3), fill=st.nothing()),
    low=st.integers(-1000, 1000),
    width=st.integers(1, 2000),
)
def test_bands_are_stretched_as_an_image_is(values: np.ndarray, low: int, width: int) -> None:
    whole = to_bytes(Block(values, np.ones(values.shape, bool)), ((low, low + width),) * 2)
    assert np.array_equal(np.stack([stretch(band, low, low + width) for band in values]), whole)


@pytest.mark.parametrize(("low", "high"), [(270.1, 310.3), (-0.7, 0.9), (1e-5, 3e-3)])
def test_floats_of_32_bits_change_their_shade_where_the_definition_does(low: float, high: float) -> None:
    # Seven neighbours around each place where a shade ends: float32 arithmetic gives other shades for some of them.
    values = (low + (np.arange(255) + 0.5) / 255 * (high - low)).astype(np.float32)
    around = (values.view(np.int32)[:, np.newaxis] + np.arange(-3, 4, dtype=np.int32)).view(np.float32)
    exact = defined(around, low, high)
    assert np.array_equal(stretch(around, low, high), exact)
    single = ((around - np.float32(low)) * np.float32(255 / (high - low)) + np.float32(0.5)).astype(np.uint8)
    assert (single != exact).any()


@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "int32"])
def test_ties_are_rounded_up(dtype: str) -> None:
    # Over 0 to 510 two values share a shade: an odd value 2k + 1 lies exactly between k and k + 1.
    values = np.arange(511).astype(dtype)
    expected = [math.floor(Fraction(value, 2) + Fraction(1, 2)) for value in range(511)]
    assert stretch(values, 0.0, 510.0).tolist() == expected


def test_a_range_of_its_own_keeps_bytes_as_they_are() -> None:
    values = np.arange(256, dtype=np.uint8)
    assert np.array_equal(stretch(values, 0.0, 255.0), values)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "float32", "int32"])
def test_byte_order_and_strides_make_no_difference(dtype: str) -> None:
    values = np.arange(0, 6000, 10).astype(dtype).reshape(20, 30)
    expected = stretch(values, 100.0, 5000.0)
    swapped = values.astype(values.dtype.newbyteorder(">"))
    assert np.array_equal(stretch(swapped, 100.0, 5000.0), expected)
    assert np.array_equal(stretch(values.T, 100.0, 5000.0), expected.T)
    assert np.array_equal(stretch(values[::2, ::-3], 100.0, 5000.0), expected[::2, ::-3])


def test_booleans_and_other_tops_are_stretched() -> None:
    assert stretch(np.array([False, True]), 0.0, 1.0).tolist() == [0, 255]
    values = np.linspace(-5, 25, 100).astype(np.float32)
    assert np.array_equal(stretch(values, 0.0, 20.0, top=252), defined(values, 0.0, 20.0, 252))
    short = np.arange(-5, 25, dtype=np.int16)
    assert np.array_equal(stretch(short, 0.0, 20.0, top=252), defined(short, 0.0, 20.0, 252))


def test_values_are_left_as_they_were() -> None:
    for values in (np.array([np.nan, 1.0]), np.arange(4, dtype=np.uint8)):
        before = values.copy()
        stretch(values, 0.0, 2.0)
        assert np.array_equal(values, before, equal_nan=values.dtype.kind == "f")


@pytest.mark.parametrize(
    ("low", "high"),
    [(1.0, 1.0), (2.0, 1.0), (math.nan, 1.0), (0.0, math.inf), (-1.5e308, 1.5e308), (0.0, 5e-324)],
)
@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_range_that_is_none_is_refused(low: float, high: float, dtype: str) -> None:
    with pytest.raises(ParameterError) as caught:
        stretch(np.zeros(3, dtype), low, high)
    assert caught.value.parameter == "rescale"


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "S2"])
def test_what_is_no_number_is_refused(dtype: str) -> None:
    with pytest.raises(UnsupportedError):
        stretch(np.zeros(3, dtype), 0.0, 1.0)


def test_tables_are_made_once_a_range_and_bounded() -> None:
    stretch_module._table.cache_clear()
    for _ in range(3):
        stretch(np.zeros(3, np.int16), 0.0, 100.0)
    assert stretch_module._table.cache_info().misses == 1
    for high in range(200):
        stretch(np.zeros(3, np.int16), -1.0, float(high))
    assert stretch_module._table.cache_info().currsize <= 64
