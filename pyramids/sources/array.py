"""Source over an xarray DataArray or Dataset: in memory, or lazily read from whatever xarray opens."""

from __future__ import annotations

import hashlib
import math
import sys
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from affine import Affine

from geozarr import crs as crs_module
from geozarr.conventions import proj
from geozarr.errors import ChunkReadError, MetadataError, ParameterError, UnknownNameError, UnsupportedError
from geozarr.grid import Grid
from pyramids.sources.source import (
    Axis,
    Pixels,
    Slice,
    SourceVariable,
    check_dtype,
    check_nodata,
    largest_block,
    valid_of,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from geozarr import CRS, Window

X_NAMES = ("x", "lon", "longitude")
Y_NAMES = ("y", "lat", "latitude")
REGULAR = 1e-3  # of a cell: how far coordinates may be from evenly spaced; float32 degrees are off by 1e-4
MEMORY_BLOCK = 512  # pixels along a side of a block of values that are in memory already
_KEPT = (
    "long_name",
    "standard_name",
    "units",
    "scale_factor",
    "add_offset",
    "color_interpretation",
    "cell_methods",
    "flag_values",
    "flag_masks",
    "flag_meanings",
)


class ArraySource:
    """Variables of an xarray object that lie on one grid.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        With regular 1-D coordinates `y`/`x`, `lat`/`lon` or `latitude`/`longitude`, rows and columns last, and a CRS
        that rioxarray finds (`spatial_ref`) or that `proj:*` attributes state. Values are taken as they are, packed or
        not.
    variables : sequence of str, optional
        Which variables of a Dataset; all on the grid by default.
    nodata : float, optional
        The value that means "no data", in place of what the attributes say.
    name : str
        Where it comes from, for messages.
    fingerprint : str, optional
        Text that changes when the pixels may have changed. By default a hash of the metadata, which does not notice new
        pixels in the same array.

    Raises
    ------
    MetadataError
        If the CRS or the coordinates are missing or irregular, or a nodata does not fit.
    UnsupportedError
        If a dtype is not supported, or rows and columns are not the last axes.
    UnknownNameError
        If a variable asked for does not exist.
    """

    def __init__(
        self,
        data: xr.DataArray | xr.Dataset,
        *,
        variables: Sequence[str] | None = None,
        nodata: float | None = None,
        name: str = "<memory>",
        fingerprint: str | None = None,
    ) -> None:
        self._name = name
        dataset = _as_dataset(data)
        y, x = _spatial_names(dataset, name)
        self._arrays = _select(dataset, variables, (y, x), name)
        self._grid = Grid(
            (dataset.sizes[y], dataset.sizes[x]),
            _transform(dataset, (y, x), name),
            _crs_of(dataset, self._arrays, name),
        )
        self._variables = tuple(_describe(array, (y, x), nodata, name) for array in self._arrays)
        self._fingerprint = fingerprint or _metadata_hash(self)

    @property
    def name(self) -> str:
        """Where it comes from."""
        return self._name

    @property
    def grid(self) -> Grid:
        """The shared grid."""
        return self._grid

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """The variables chosen."""
        return self._variables

    @property
    def has_alpha(self) -> bool:
        """Always False: xarray knows nodata values only."""
        return False

    @property
    def fingerprint(self) -> str:
        """As given, or a hash of the metadata."""
        return self._fingerprint

    @property
    def block_shape(self) -> tuple[int, int]:
        """Chunks of dask or of the file that the values are read from, else 512 x 512."""
        return largest_block(self.block_shapes)

    @cached_property
    def block_shapes(self) -> tuple[tuple[int, int], ...]:
        """Those of each variable."""
        return tuple(_block_of(array) for array in self._arrays)

    @property
    def resident_bytes(self) -> int:
        """0: what xarray holds is there before and after."""
        return 0

    def coverage(self) -> NDArray[np.bool_] | None:
        """None: xarray does not tell which blocks were stored."""
        return None

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:  # noqa: ARG002
        """Read slices one after the other; see `Source.read`."""
        values = np.empty((len(slices), *window.shape), self._variables[slices[0].variable].dtype)
        for index, wanted in enumerate(slices):
            values[index] = self.read_one(window, wanted)
        return Pixels(values, valid_of(values, slices, self._variables))

    def read_one(self, window: Window, wanted: Slice) -> NDArray[Any]:
        """Read one slice by way of xarray.

        Returns
        -------
        ndarray, shape (row, col)
            May be a view of the values in memory.

        Raises
        ------
        ChunkReadError
            If it cannot be read.
        """
        described = self._variables[wanted.variable]
        sizes = tuple(axis.size for axis in described.leading)
        place = np.unravel_index(wanted.number, sizes) if sizes else ()
        try:
            piece = self._arrays[wanted.variable][(*place, *window.slices)]
            return np.asarray(piece.values, described.dtype)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            where = f"rows {window.row}-{window.row_stop}, columns {window.col}-{window.col_stop}"
            raise ChunkReadError(f"{self._name} {described.name}", f"slice {wanted.number}, {where}") from error


def is_xarray(data: object) -> TypeGuard[xr.DataArray | xr.Dataset]:
    """Tell whether something is an object of xarray's, without importing it: whoever has one has done so."""
    xarray = sys.modules.get("xarray")
    return xarray is not None and isinstance(data, xarray.DataArray | xarray.Dataset)


def _as_dataset(data: xr.DataArray | xr.Dataset) -> xr.Dataset:
    import xarray as xr  # noqa: PLC0415 - a quarter of a second, which builds from raster files need not pay

    if isinstance(data, xr.Dataset):
        return data
    if isinstance(data, xr.DataArray):
        dataset = data.to_dataset(name=data.name or "data")
        dataset.attrs = dict(data.attrs)
        return dataset
    raise ParameterError("source", found=type(data).__name__, expected="a path, a DataArray, a Dataset or a Source")


def _spatial_names(dataset: xr.Dataset, name: str) -> tuple[str, str]:
    for y, x in zip(Y_NAMES, X_NAMES, strict=True):
        if y in dataset.sizes and x in dataset.sizes:
            return y, x
    raise MetadataError(
        name, "dimensions", found=tuple(dataset.sizes), expected="y and x, lat and lon, or latitude and longitude"
    )


def _select(
    dataset: xr.Dataset, wanted: Sequence[str] | None, spatial: tuple[str, str], name: str
) -> tuple[xr.DataArray, ...]:
    known = tuple(str(key) for key, array in dataset.data_vars.items() if set(spatial) <= set(array.dims))
    for key in wanted or ():
        if key not in known:
            raise UnknownNameError("variable", key, known)
    chosen = tuple(dict.fromkeys(wanted or known))
    if not chosen:
        raise MetadataError(
            name, "variables", found=tuple(dataset.data_vars), expected=f"one with dimensions {spatial}"
        )
    for key in chosen:
        if dataset[key].dims[-2:] != spatial:
            raise UnsupportedError(f"{name} {key}: dimensions {dataset[key].dims}", f"{spatial} must come last")
    return tuple(dataset[key] for key in chosen)


def _transform(dataset: xr.Dataset, spatial: tuple[str, str], name: str) -> Affine:
    (row_start, row_step), (col_start, col_step) = (_regular(dataset, dimension, name) for dimension in spatial)
    return Affine(col_step, 0.0, col_start - col_step / 2, 0.0, row_step, row_start - row_step / 2)


def _regular(dataset: xr.Dataset, dimension: str, name: str) -> tuple[float, float]:
    """First centre and step of a coordinate, taken from both ends so that rounding does not add up."""
    if dimension not in dataset.coords:
        raise MetadataError(name, dimension, found=None, expected="a coordinate variable with the pixel centres")
    centres = np.asarray(dataset[dimension].values, np.float64)
    if centres.size < 2:
        raise MetadataError(
            name, dimension, found=centres.tolist(), expected="at least 2 pixel centres, to tell the cell size"
        )
    if not np.isfinite(centres).all():
        raise MetadataError(name, dimension, found="a value that is not finite", expected="finite pixel centres")
    step = (centres[-1] - centres[0]) / (centres.size - 1)
    even = centres[0] + step * np.arange(centres.size)
    worst = float(np.abs(centres - even).max() / abs(step)) if step else math.inf
    if worst > REGULAR:
        raise MetadataError(
            name, dimension, found=f"{worst:.3g} cells off an even spacing", expected=f"at most {REGULAR} cells"
        )
    return float(centres[0]), float(step)


def _crs_of(dataset: xr.Dataset, arrays: tuple[xr.DataArray, ...], name: str) -> CRS:
    # Registers the `.rio` accessor. Here, for it takes half a second, which builds from raster files need not pay.
    import rioxarray  # noqa: F401, PLC0415

    for holder in (arrays[0], dataset):
        found = holder.rio.crs
        if found is not None:
            return crs_module.from_wkt2(found.to_wkt(), node=name, key="crs")
    for attributes in (arrays[0].attrs, dataset.attrs):
        stated = proj.from_attributes(attributes, node=name)
        if stated is not None:
            return stated
    raise MetadataError(name, "crs", found=None, expected="a coordinate reference system; it is never guessed")


def _describe(array: xr.DataArray, spatial: tuple[str, str], nodata: float | None, name: str) -> SourceVariable:
    node = f"{name} {array.name}"
    dtype = check_dtype(array.dtype, node=node)
    if nodata is None:
        nodata = _declared_nodata(array, node)
    attributes = {key: _plain(array.attrs[key]) for key in _KEPT if key in array.attrs}
    attributes.setdefault("long_name", str(array.name))
    leading = tuple(_axis(array, dimension, node) for dimension in array.dims if dimension not in spatial)
    return SourceVariable(
        str(array.name),
        dtype,
        check_nodata(nodata, dtype, node=node),
        leading,
        attributes,
        is_categorical="flag_values" in array.attrs,
        is_flags="flag_masks" in array.attrs and "flag_values" not in array.attrs,
    )


def _declared_nodata(array: xr.DataArray, node: str) -> float | None:
    """`_FillValue`, else `missing_value`, else rioxarray's nodata, from the attributes of packed data.

    Masked floats keep them in the encoding instead, where they no longer stand in the data: those hold NaN.
    """
    for key in ("_FillValue", "missing_value", "nodata"):
        value = array.attrs.get(key)
        if value is None:
            continue
        if np.size(value) != 1 or not isinstance(np.asarray(value).ravel()[0].item(), int | float):
            raise MetadataError(node, key, found=value, expected="one number")
        number: float = np.asarray(value).ravel()[0].item()  # an int stays one: no float64 holds those beyond 2**53
        return number
    return None


def _block_of(array: xr.DataArray) -> tuple[int, int]:
    """Rows and columns of a block of one variable: dask's first chunk, the file's chunk, or none in particular."""
    if array.chunks is not None:
        rows, cols = (max(sizes) for sizes in array.chunks[-2:])
        return rows, cols
    preferred = array.encoding.get("preferred_chunks")
    if isinstance(preferred, dict):  # backends leave the chunks of the file there
        height, width = (preferred.get(dimension) for dimension in array.dims[-2:])
        if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
            return height, width
    height, width = array.shape[-2:]
    return min(MEMORY_BLOCK, height), min(MEMORY_BLOCK, width)


def _axis(array: xr.DataArray, dimension: Hashable, node: str) -> Axis:
    size = array.sizes[dimension]
    if size < 1:
        raise MetadataError(node, str(dimension), found=size, expected="a length of at least 1")
    if dimension not in array.coords:
        return Axis(str(dimension), tuple(range(size)))
    coordinate = array.coords[dimension]
    values, attributes = coordinate.values, {str(k): _plain(v) for k, v in coordinate.attrs.items()}
    if attributes.get("calendar") == "gregorian":  # the name that CF 4.4.1 has retired
        attributes["calendar"] = "standard"
    if values.dtype.kind == "M":
        seconds = values.astype("datetime64[s]")
        if not np.array_equal(seconds.astype(values.dtype), values):
            raise UnsupportedError(f"{node}: coordinate {dimension}", "times finer than a second are not kept")
        attributes |= {"units": "seconds since 1970-01-01T00:00:00", "calendar": "proleptic_gregorian"}
        attributes |= {"standard_name": "time", "axis": "T"}
        values = seconds.astype(np.int64)
    if values.dtype.kind not in "iuf":
        raise UnsupportedError(f"{node}: coordinate {dimension} of type {values.dtype}", "numbers and times are")
    if not np.isfinite(values).all():
        raise MetadataError(node, str(dimension), found="a value that is not finite", expected="finite coordinates")
    return Axis(str(dimension), tuple(value.item() for value in values), attributes)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return value


def _metadata_hash(source: ArraySource) -> str:
    text = repr((source.grid.shape, tuple(source.grid.transform), source.grid.crs.wkt2, source.variables))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
