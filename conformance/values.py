"""JSON values into typed ones: each function returns None where the value has not the form asked for.

Nothing here raises, whatever the document holds. The rules report a value that is there but gives None; every other
rule then goes on without it, so that a malformed value is one finding.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from typing import Any, TypeAlias

import numpy as np

from geozarr import cf
from geozarr.errors import MetadataError

Transform: TypeAlias = tuple[float, float, float, float, float, float]
BBox: TypeAlias = tuple[float, float, float, float]

_LARGEST = 2**63  # sizes beyond it fit no index; products of them are still exact in Python
CORE_DTYPES = (
    "bool",
    *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
    *("float16", "float32", "float64"),
)


def number(value: Any) -> float | None:
    """Read a finite number; a boolean is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        result = float(value)
    except OverflowError:
        return None
    return result if math.isfinite(result) else None


def positive(value: Any) -> float | None:
    """Read a number above 0 of a size that some quantity can have; products and quotients of two stay finite."""
    result = number(value)
    return result if result is not None and 1e-100 < result < 1e100 else None


def whole(value: Any, *, least: int = 0) -> int | None:
    """Read a whole number from `least` on; JSON does not tell 2 from 2.0."""
    result = number(value)
    if result is None or not result.is_integer() or not least <= result < _LARGEST:
        return None
    return int(value)


def numbers(value: Any, *, count: int | None = None) -> tuple[float, ...] | None:
    """Read an array of finite numbers, of a fixed length where `count` is given."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        return None
    result = [number(item) for item in value]
    return None if None in result else tuple(item for item in result if item is not None)


def wholes(value: Any, *, least: int = 0, count: int | None = None) -> tuple[int, ...] | None:
    """Read an array of whole numbers."""
    if not isinstance(value, list) or (count is not None and len(value) != count):
        return None
    result = [whole(item, least=least) for item in value]
    return None if None in result else tuple(item for item in result if item is not None)


def text(value: Any) -> str | None:
    """Read a string."""
    return value if isinstance(value, str) else None


def names(value: Any) -> tuple[str, ...] | None:
    """Read an array of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        return None
    return tuple(value)


def dimension_names(value: Any) -> tuple[str | None, ...] | None:
    """Read `dimension_names` of an array document: strings or nulls."""
    if not isinstance(value, list) or not all(item is None or isinstance(item, str) for item in value):
        return None
    return tuple(value)


def dimensions(value: Any) -> tuple[str, str] | None:
    """Read `spatial:dimensions`: the name of the row dimension, then of the column dimension."""
    result = names(value)
    return (result[0], result[1]) if result is not None and len(result) == 2 else None


def transform(value: Any) -> Transform | None:
    """Read `spatial:transform`: six finite numbers `a b c d e f` that can be inverted."""
    result = numbers(value, count=6)
    if result is None:
        return None
    a, b, c, d, e, f = result
    # Relative, so that cells of 1e-9 degrees are as legal as cells of 1e9 metres.
    if not abs(a * e - b * d) > 1e-12 * max(a * a + d * d, b * b + e * e):
        return None
    return a, b, c, d, e, f


def bbox(value: Any) -> BBox | None:
    """Read `spatial:bbox`: `xmin ymin xmax ymax`, minimum not above maximum."""
    result = numbers(value, count=4)
    if result is None or result[0] > result[2] or result[1] > result[3]:
        return None
    return result[0], result[1], result[2], result[3]


def shape2(value: Any) -> tuple[int, int] | None:
    """Read `spatial:shape`: height and width, each at least 1."""
    result = wholes(value, least=1, count=2)
    return (result[0], result[1]) if result is not None else None


def dtype(value: Any) -> np.dtype[Any] | None:
    """Read a `data_type` of the core specification that numpy has; None for every other."""
    return np.dtype(value) if isinstance(value, str) and value in CORE_DTYPES else None


def fill_value(value: Any, of: np.dtype[Any]) -> Any:
    """Read a Zarr v3 `fill_value` (ZARR-07) as a numpy scalar; None where it has not the form or does not fit."""
    if of.kind == "f" and isinstance(value, int | float) and not isinstance(value, bool):
        finite = number(value)
        return None if finite is None else cast(finite, of)
    if of.kind in "iu" and not isinstance(value, bool):
        integer = whole_in(value, of)
        return None if integer is None else of.type(integer)
    try:
        return cf.decode_fill_value(value, of, node="")
    except MetadataError:
        return None


def missing_value(value: Any, of: np.dtype[Any], *, version: int = 3) -> Any:
    """Read a `_FillValue` as xarray does: of floats on Zarr v3 base64 of a float64 (ZARR-13), else a number."""
    if of.kind != "f" or version == 2:
        return fill_value(value, of)
    if not isinstance(value, str):
        return None
    try:
        raw = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return cast(struct.unpack("<d", raw)[0], of) if len(raw) == 8 else None


def whole_in(value: Any, of: np.dtype[Any]) -> int | None:
    """Read a whole number that an integer dtype can hold."""
    if isinstance(value, float) and not value.is_integer():  # also NaN and the infinities
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    info = np.iinfo(of)
    return int(value) if info.min <= value <= info.max else None


def cast(value: float, of: np.dtype[Any]) -> Any:
    """Narrow a float; what is too large becomes an infinity, silently."""
    with np.errstate(over="ignore"):
        return of.type(value)


def extension(value: Any) -> tuple[str, dict[str, Any]] | None:
    """Read a named thing of a Zarr v3 document: `{"name": ..., "configuration": {...}}`, or its name alone."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return None
    configuration = value.get("configuration", {})
    return (value["name"], configuration) if isinstance(configuration, dict) else None


def chunk_shape(chunk_grid: Any) -> tuple[int, ...] | None:
    """Read the chunk shape of a regular `chunk_grid`."""
    found = extension(chunk_grid)
    if found is None or found[0] != "regular":
        return None
    return wholes(found[1].get("chunk_shape"), least=1)


def same_scalar(a: Any, b: Any) -> bool:
    """Compare two numpy scalars; NaN equals NaN."""
    return bool(a == b or (a != a and b != b))  # noqa: PLR0124 - the test for NaN that fits every dtype


def same_json(a: Any, b: Any) -> bool:
    """Compare two JSON values: 1 and 1.0 are one number, `true` is not 1, key order does not matter."""
    return next(differences(a, b), None) is None


def differences(a: Any, b: Any) -> Any:
    """Yield the pointers at which two JSON values differ, each the deepest that tells them apart."""
    waiting: list[tuple[tuple[str | int, ...], Any, Any]] = [((), a, b)]
    while waiting:
        pointer, left, right = waiting.pop()
        if isinstance(left, dict) and isinstance(right, dict):
            for key in [*left, *(key for key in right if key not in left)]:
                if key in left and key in right:
                    waiting.append(((*pointer, key), left[key], right[key]))
                else:
                    yield (*pointer, key)
        elif isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
            pairs = zip(left, right, strict=True)
            waiting.extend(((*pointer, index), x, y) for index, (x, y) in enumerate(pairs))
        elif isinstance(left, bool) != isinstance(right, bool) or left != right:
            yield pointer
