"""Which values are data, which dtypes and nodata values are taken (B11, B13, B14)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from geozarr import MetadataError, UnsupportedError
from pyramids import Slice, SourceVariable
from pyramids.sources.source import DTYPES, check_dtype, check_nodata, largest_block, valid_of, valid_where


def expected_mask(values: np.ndarray, nodata: float | None) -> list[bool]:
    """The rule, one Python number at a time: ints are compared as ints, floats in the precision of the data."""
    missing = None if nodata is None else values.dtype.type(nodata).item()
    return [value == value and value != missing for value in values.ravel().tolist()]  # noqa: PLR0124 - NaN


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("nodata", [None, 0, 7])
def test_the_mask_follows_the_rule(dtype: str, nodata: int | None) -> None:
    values = np.arange(60).reshape(3, 4, 5).astype(dtype) % 9
    if values.dtype.kind == "f":
        values[0, 1, 2], values[2, 3, 4] = math.nan, math.inf
    found = valid_where(values, nodata)
    assert found.dtype == np.bool_
    assert found.shape == values.shape
    assert found.ravel().tolist() == expected_mask(values, nodata)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_is_missing_whatever_the_nodata(dtype: str) -> None:
    values = np.array([1, math.nan, -9999, -math.inf, 0.0, -0.0], dtype)
    for nodata in (None, math.nan):
        assert valid_where(values, nodata).tolist() == [True, False, True, True, True, True]
    assert valid_where(values, -9999).tolist() == [True, False, False, True, True, True]
    assert valid_where(values, 0.0).tolist() == [True, False, True, True, False, False]


def test_the_nodata_of_a_float_is_compared_in_its_precision() -> None:
    """0.1 is another number in float32 than in float64."""
    assert valid_where(np.array([0.1, 0.2], np.float32), 0.1).tolist() == [False, True]


@pytest.mark.parametrize(
    ("dtype", "nodata"),
    [("int64", 2**53 + 1), ("int64", -(2**63)), ("int64", 2**63 - 1), ("uint64", 2**64 - 1), ("uint64", 2**53 + 1)],
)
def test_64_bit_integers_are_compared_to_the_last_bit(dtype: str, nodata: int) -> None:
    """Their neighbours are the same float64."""
    near = [n for n in (nodata - 1, nodata, nodata + 1) if np.iinfo(dtype).min <= n <= np.iinfo(dtype).max]
    kept = check_nodata(nodata, np.dtype(dtype), node="x")
    assert kept == nodata
    assert isinstance(kept, int)
    assert valid_where(np.array(near, dtype), kept).tolist() == [n != nodata for n in near]


def test_a_view_is_read_as_it_lies() -> None:
    values = np.arange(24).reshape(4, 6)
    assert valid_where(values[::2, ::-3], 15).tolist() == [[True, True], [True, True]]
    assert valid_where(values[::2, ::-3], 14).tolist() == [[True, True], [True, False]]


@pytest.mark.parametrize("nodata", [(5, 5), (5, 6), (None, 5), (math.nan, math.nan), (math.nan, None)])
def test_each_slice_has_the_nodata_of_its_variable(nodata: tuple[float | None, float | None]) -> None:
    variables = [SourceVariable(name, np.dtype("f4"), value) for name, value in zip("ab", nodata, strict=True)]
    values = np.array([[[5, 6, math.nan]]] * 3, np.float32)
    found = valid_of(values, [Slice(1, 0), Slice(0, 0), Slice(1, 0)], variables)
    assert [mask.ravel().tolist() for mask in found] == [expected_mask(values[0], nodata[index]) for index in (1, 0, 1)]


def test_the_largest_block_is_largest_either_way() -> None:
    assert largest_block([(1, 4000), (512, 512)]) == (512, 4000)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_come_out_in_native_byte_order(dtype: str) -> None:
    assert check_dtype(np.dtype(dtype).newbyteorder(">"), node="x") == np.dtype(dtype)


@pytest.mark.parametrize("dtype", ["bool", "float16", "complex64", "complex_int16", "U3"])
def test_other_dtypes_are_refused(dtype: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        check_dtype(dtype, node="x.tif band 1")
    assert "x.tif band 1" in caught.value.feature


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("int64", 2**63), ("int64", 0.5), ("uint64", -1), ("int64", math.nan), ("uint64", 1e30)]
)
def test_what_64_bits_do_not_hold_is_refused(dtype: str, nodata: Any) -> None:
    with pytest.raises(MetadataError) as caught:
        check_nodata(nodata, np.dtype(dtype), node="x")
    assert caught.value.key == "nodata"
