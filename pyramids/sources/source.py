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
from geozarr.errors import MetadataError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geozarr import Grid, Window

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")


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
    nodata : float or None
        The value that means "no data"; None where the source declares none.
    leading : tuple of Axis
        Axes before rows and columns.
    attributes : dict
        JSON-able attributes that go into the pyramid.
    is_categorical : bool
        True where values are class codes or palette indexes, of which no mean can be taken.
    """

    name: str
    dtype: np.dtype[Any]
    nodata: float | None = None
    leading: tuple[Axis, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    is_categorical: bool = False

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
    def grid(self) -> Grid:
        """The grid that all variables share."""
        ...

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """What it holds."""
        ...

    @property
    def has_alpha(self) -> bool:
        """True where an alpha or mask band tells which pixels hold data."""
        ...

    @property
    def fingerprint(self) -> str:
        """Text that changes when the pixels may have changed."""
        ...

    def read(self, window: Window, slices: Sequence[Slice]) -> Pixels:
        """Read slices, of one or several variables of one dtype. Safe to call from many threads.

        Raises
        ------
        ChunkReadError
            If a block cannot be read or decoded.
        """
        ...


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
    """Return a nodata value as the dtype holds it.

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
    """Tell which values are data: not `nodata`, and not NaN."""
    if values.dtype.kind == "f":
        valid: NDArray[np.bool_] = ~np.isnan(values)
        if nodata is not None and not math.isnan(nodata):
            valid &= values != values.dtype.type(nodata)
        return valid
    if nodata is None:
        return np.ones(values.shape, np.bool_)
    return np.asarray(values != values.dtype.type(nodata))
