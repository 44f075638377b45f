"""What a pyramid is built from: the Source protocol and the values it speaks in.

A source is a set of variables on one grid. Each variable has any number of leading axes before rows and columns; one
position along them is a *slice*, the 2-D unit that is read, warped, folded and stored. A source tells which pixels hold
data; it has resolved its own nodata values, masks and NaN before anybody else sees the pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from geozarr import cf
from geozarr.errors import MetadataError, ParameterError, UnsupportedError
from pyramids.kernels import jit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geozarr import Window
    from pyramids.placement import AnyGrid
    from pyramids.sources.quirk import Quirk

NONE = "none"  # what a user says for "nothing is missing, whatever the source says"
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")


@dataclass(frozen=True)
class Axis:
    """A leading axis.

    Parameters
    ----------
    name : str
        Dimension name.
    coordinates : tuple of int or float
        Its values, one a position.
    attributes : dict
        CF attributes of the coordinate variable.
    """

    name: str
    coordinates: tuple[float, ...]
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Number of positions."""
        return len(self.coordinates)


@dataclass(frozen=True)
class SourceVariable:
    """One variable of a source.

    Parameters
    ----------
    name : str
        As it will be named in the pyramid.
    dtype : numpy.dtype
        Native byte order.
    nodata : int, float or None
        The value that means "no data": an int for integers, since float64 holds no int64 beyond 2**53. None where the
        source declares none.
    leading : tuple of Axis
        Axes before rows and columns.
    attributes : dict
        JSON-able attributes that go into the pyramid.
    is_categorical : bool
        True where values are class codes or palette indexes, of which no mean can be taken.
    is_flags : bool
        True where each bit of a value is a flag of its own.
    is_masked : bool
        True where values can be missing that `nodata` does not tell.
    """

    name: str
    dtype: np.dtype[Any]
    nodata: float | None = None
    leading: tuple[Axis, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    is_categorical: bool = False
    is_flags: bool = False
    is_masked: bool = False

    @property
    def slice_count(self) -> int:
        """Number of 2-D slices."""
        return math.prod(axis.size for axis in self.leading)


class Slice(NamedTuple):
    """A 2-D slice: which variable, and which position in C order of its leading axes."""

    variable: int
    number: int


@dataclass(frozen=True)
class Pixels:
    """Some slices of one window.

    Parameters
    ----------
    values : ndarray, shape (slice, row, col)
        As stored in the source, in their dtype.
    valid : ndarray of bool, shape (slice, row, col) or (1, row, col)
        True where the pixel holds data; one mask may serve all slices.
    alpha : ndarray of uint8, shape (row, col), or None
        Opacity, 255 opaque and 0 no data, where the source has an alpha or mask band.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    alpha: NDArray[np.uint8] | None = None


class Source(Protocol):
    """A raster, or anything that can be read like one."""

    @property
    def name(self) -> str:
        """Where it comes from, for people."""
        ...

    @property
    def grid(self) -> AnyGrid:
        """The grid that all variables share, or what else places its pixels."""
        ...

    @property
    def dimensions(self) -> tuple[str, str]:
        """Names of rows and columns in a native pyramid: `USUAL_DIMENSIONS`, or others that most readers know."""
        ...

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """What it holds."""
        ...

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """What was put right in it, item by item."""
        ...

    @property
    def has_alpha(self) -> bool:
        """True where an alpha or mask band tells which pixels hold data."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that changes when the pixels may have changed."""
        ...

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns that are decoded together; where variables differ, the largest of each.

        Blocks are counted from the first pixel; the last ones may reach beyond the grid.
        """
        ...

    @property
    def resident_bytes(self) -> int:
        """Bytes that the source keeps in memory between reads, so that any window of it can be had without decoding.

        0 where every read decodes the blocks that it meets.
        """
        ...

    def coverage(self) -> NDArray[np.bool_] | None:
        """Tell which native blocks may hold data, from an index and without decoding them.

        Returns
        -------
        ndarray of bool, shape (ceil(rows / block rows), ceil(columns / block columns)), or None
            False where no pixel of any variable holds data. None where the source cannot tell.

        Raises
        ------
        StoreError, ChunkReadError
            If the index cannot be read.
        """
        ...

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:
        """Read slices, of one or several variables of one dtype. Safe to call from many threads.

        Parameters
        ----------
        window : Window
            Inside the grid.
        slices : sequence of Slice
            At least one.
        out : ndarray, shape (slice, row, col), optional
            Memory in which values may be returned, C-contiguous and of their dtype; a source may as well ignore it.

        Raises
        ------
        ChunkReadError
            If a block cannot be read or decoded.
        """
        ...


def stated_nodata(value: float | str) -> float | None:
    """Read what a user says of missing values: a number, or `NONE`.

    Raises
    ------
    ParameterError
        If it is neither.
    """
    if value == NONE:
        return None
    if isinstance(value, str):
        raise ParameterError("nodata", found=value, expected=f"a number, or {NONE!r}")
    return value


def check_dtype(dtype: np.dtype[Any] | str, *, node: str) -> np.dtype[Any]:
    """Return the dtype in native byte order.

    Raises
    ------
    UnsupportedError
        If pyramids of it are not built.
    """
    try:
        native = np.dtype(dtype).newbyteorder("=")
    except TypeError:
        raise UnsupportedError(f"{node}: data type {dtype}", f"one of {', '.join(DTYPES)} is") from None
    if native.name not in DTYPES:
        raise UnsupportedError(f"{node}: data type {native.name}", f"one of {', '.join(DTYPES)} is")
    return native


def check_nodata(nodata: float | None, dtype: np.dtype[Any], *, node: str) -> float | None:
    """Return a nodata value as the dtype holds it: an int or a float.

    A float nodata is brought to the precision of the data, so that -3.4028235e38 written in decimal equals the pixels.

    Raises
    ------
    MetadataError
        If the dtype cannot hold it: -9999 on uint16, NaN on integers.
    """
    if nodata is None:
        return None
    if not cf.holds(nodata, dtype):
        raise MetadataError(node, "nodata", found=nodata, expected=f"a value that {dtype.name} can hold")
    return float(dtype.type(nodata)) if dtype.kind == "f" else int(nodata)


def valid_where(values: NDArray[Any], nodata: float | None) -> NDArray[np.bool_]:
    """Tell which values are data: not `nodata`, and not NaN.

    Parameters
    ----------
    values : ndarray
        Of any shape, in the machine's byte order.
    nodata : int, float or None
        As `check_nodata` returns it.

    Returns
    -------
    ndarray of bool
        Of the shape of `values`.
    """
    is_float = values.dtype.kind == "f"
    if nodata is None and not is_float:
        return np.ones(values.shape, np.bool_)
    valid = np.empty(values.shape, np.bool_)
    # NaN equals nothing, so that a float without a nodata, or with NaN for it, loses its NaN alone.
    missing = values.dtype.type(math.nan if nodata is None else nodata)
    _mark_valid(np.ascontiguousarray(values).reshape(-1), missing, valid.reshape(-1))
    return valid


def valid_of(values: NDArray[Any], slices: Sequence[Slice], variables: Sequence[SourceVariable]) -> NDArray[np.bool_]:
    """Tell which values of some slices are data, each by the nodata of its variable.

    Parameters
    ----------
    values : ndarray, shape (slice, row, col)
        Values of `slices`.
    slices : sequence of Slice
        Which slices.
    variables : sequence of SourceVariable
        All variables of the source.

    Returns
    -------
    ndarray of bool, shape (slice, row, col)
    """
    nodata = [variables[variable].nodata for variable, _ in slices]
    if all(value == nodata[0] or (value != value and nodata[0] != nodata[0]) for value in nodata):  # noqa: PLR0124 - NaN
        return valid_where(values, nodata[0])
    return np.stack([valid_where(one, value) for one, value in zip(values, nodata, strict=True)])


def largest_block(shapes: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """Return the largest number of rows and of columns of some blocks."""
    return max(rows for rows, _ in shapes), max(cols for _, cols in shapes)


@jit
def _mark_valid(values: NDArray[Any], missing: Any, valid: NDArray[np.bool_]) -> None:
    """Mark what equals itself, as NaN does not, and differs from `missing`."""
    for index in range(values.size):
        value = values[index]
        valid[index] = (value == value) & (value != missing)  # noqa: PLR0124
