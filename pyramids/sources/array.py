"""Source over an xarray DataArray or Dataset: in memory, or lazily read from whatever xarray opens.

What the object says of itself is read as CF has it: axes (cf_axes.py), CRS (cf_crs.py), positions (cf_placing.py), the
meaning of values (cf_values.py), coordinates of the other axes (cf_times.py). Each departure from what any reader
would understand is a `Quirk`.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeGuard

import numpy as np

from geozarr.errors import ChunkReadError, MetadataError, ParameterError, SeveralGridsError, UnknownNameError
from geozarr.levels import USUAL_DIMENSIONS
from pyramids.sources import cf_select
from pyramids.sources.cf_attributes import text
from pyramids.sources.cf_axes import SpatialAxes, axes_of, geolocation_of
from pyramids.sources.cf_crs import crs_of, geotransform
from pyramids.sources.cf_placing import Placed, geolocate, place
from pyramids.sources.cf_times import axis_of
from pyramids.sources.cf_values import Meaning, attributes_of, meaning_of
from pyramids.sources.cf_words import in_words_of_cf
from pyramids.sources.quirk import Quirk
from pyramids.sources.source import Pixels, Slice, SourceVariable, check_dtype, largest_block

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import xarray as xr
    from numpy.typing import NDArray

    from geozarr import CRS, Window
    from pyramids.placement import AnyGrid
    from pyramids.sources.source import Axis

MEMORY_BLOCK = 512  # pixels along a side of a block of values that are in memory already
_NUMBERS = "biufc"  # kinds of data types of which a raster can be; complex ones are refused by name
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
    "flag_colors",
    "color_table",
    "comment",
    "references",
    "source",
)


@dataclass(frozen=True)
class Reading:
    """What a user states of a dataset, in place of what it says itself.

    Parameters
    ----------
    nodata : float or "none", optional
        The value that means "no data"; "none": there is none.
    crs : CRS, optional
        What the coordinates mean.
    select : mapping of str to str, optional
        Positions along leading axes, see `cf_select`.
    irregular : str
        "refuse" or "resample" coordinates that are not evenly spaced.
    limit : float, optional
        Metres from the nearest pixel within which a longitude and a latitude for each pixel place anything.
    is_part : bool
        True where it is one of several sources, of which any may have the axes of `select`.
    quirks : tuple of Quirk
        What was put right before.
    """

    nodata: float | str | None = None
    crs: CRS | None = None
    select: Mapping[str, str] = field(default_factory=dict)
    irregular: str = "refuse"
    limit: float | None = None
    is_part: bool = False
    quirks: tuple[Quirk, ...] = ()


class _Raster(NamedTuple):
    """A variable, its spatial axes, and its own axes of a longitude and a latitude for each pixel, where it has those.

    `key` is the same for variables on the same grid.
    """

    array: xr.DataArray
    axes: SpatialAxes
    geolocation: tuple[str, str] | None

    @property
    def key(self) -> tuple[str, ...]:
        return (*(self.geolocation or ()), self.axes.y, self.axes.x)


@dataclass(frozen=True)
class _Opened:
    """How one variable is read."""

    array: xr.DataArray
    axes: SpatialAxes
    meaning: Meaning
    places: tuple[tuple[int, ...], ...]  # chosen positions along each leading axis
    described: SourceVariable
    quirks: tuple[Quirk, ...]  # of its values and leading axes

    @property
    def is_plain(self) -> bool:
        """True where rows and columns come last."""
        return self.array.dims[-2:] == (self.axes.y, self.axes.x)

    def place(self, number: int) -> tuple[int, ...]:
        """Where a slice stands along the leading axes of the array."""
        sizes = tuple(map(len, self.places))
        index = np.unravel_index(number, sizes) if sizes else ()
        return tuple(chosen[int(at)] for chosen, at in zip(self.places, index, strict=True))


class ArraySource:
    """Variables of an xarray object that lie on one grid.

    Parameters
    ----------
    data : xarray.DataArray or xarray.Dataset
        With 1-D coordinates of rows and columns and a CRS, or with a longitude and a latitude for each pixel. Values
        are taken as they are, packed or not.
    variables : sequence of str, optional
        Which variables of a Dataset; all by default, where they lie on one grid.
    reading : Reading, optional
        What the user states.
    nodata : float, optional
        Short for `reading` with that nodata.
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
        If a dtype is not supported.
    SeveralGridsError
        If the variables lie on several grids.
    UnknownNameError
        If a variable asked for does not exist.
    """

    def __init__(
        self,
        data: xr.DataArray | xr.Dataset,
        *,
        variables: Sequence[str] | None = None,
        reading: Reading | None = None,
        nodata: float | str | None = None,
        name: str = "<memory>",
        fingerprint: str | None = None,
    ) -> None:
        self._name = name
        reading = reading or Reading(nodata=nodata)
        dataset = _as_dataset(data)
        rasters, left_out = _rasters(dataset, variables, name)
        placed = _placed(dataset, rasters[0], reading, name)
        self._grid: AnyGrid = placed.grid
        self._dimensions = _dimensions(rasters[0].axes, placed.grid)
        self._opened = tuple(_open(raster, reading, name) for raster in rasters)
        if not reading.is_part:
            cf_select.require_used(reading.select, [opened.described.leading for opened in self._opened], name)
        self._variables = tuple(opened.described for opened in self._opened)
        found = (*reading.quirks, *left_out, *_of_axes(rasters, name), *placed.quirks)
        self._quirks = tuple(dict.fromkeys([*found, *(quirk for one in self._opened for quirk in one.quirks)]))
        self._fingerprint = fingerprint or _metadata_hash(self)

    @property
    def name(self) -> str:
        """Where it comes from."""
        return self._name

    @property
    def grid(self) -> AnyGrid:
        """The shared grid."""
        return self._grid

    @property
    def dimensions(self) -> tuple[str, str]:
        """Names of rows and columns; see `Source.dimensions`."""
        return self._dimensions

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """The variables chosen."""
        return self._variables

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """What was groomed."""
        return self._quirks

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
        return tuple(_block_of(opened) for opened in self._opened)

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
        return Pixels(values, self.valid(values, slices))

    def valid(self, values: NDArray[Any], slices: Sequence[Slice]) -> NDArray[np.bool_]:
        """Tell which values are data, each by the meaning of its variable; shape (slice, row, col), as `values`."""
        meanings = [self._opened[variable].meaning for variable, _ in slices]
        if all(meaning == meanings[0] for meaning in meanings):
            return meanings[0].valid(values)
        return np.stack([meaning.valid(one) for one, meaning in zip(values, meanings, strict=True)])

    def is_stored(self, variable: int) -> bool:
        """Tell whether values are handed on as they are stored, rows and columns last."""
        opened = self._opened[variable]
        return opened.is_plain and opened.meaning.stored == opened.meaning.dtype

    def stored_shape(self, variable: int) -> tuple[int, ...]:
        """Sizes of all axes of a variable, before any positions were chosen."""
        return tuple(self._opened[variable].array.shape)

    def place(self, wanted: Slice) -> tuple[int, ...]:
        """Where a slice stands along the leading axes of its variable, before any positions were chosen."""
        return self._opened[wanted.variable].place(wanted.number)

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
        opened = self._opened[wanted.variable]
        places = iter(opened.place(wanted.number))
        rows, cols = window.slices
        spatial = {opened.axes.y: rows, opened.axes.x: cols}
        index = tuple(spatial[str(name)] if name in spatial else next(places) for name in opened.array.dims)
        try:
            values = np.asarray(opened.array.variable[index].values)
        except (OSError, RuntimeError, ValueError, KeyError, IndexError) as error:
            where = f"rows {window.row}-{window.row_stop}, columns {window.col}-{window.col_stop}"
            named = f"{self._name} {opened.described.name}"
            raise ChunkReadError(named, f"slice {wanted.number}, {where}") from error
        order = [str(name) for name in opened.array.dims if name in spatial]
        return opened.meaning.taken(values if order == [opened.axes.y, opened.axes.x] else values.T)


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


def _rasters(
    dataset: xr.Dataset, wanted: Sequence[str] | None, name: str
) -> tuple[tuple[_Raster, ...], tuple[Quirk, ...]]:
    """Choose variables that lie on one grid, and say which others are left out.

    Raises
    ------
    MetadataError
        If there is none.
    SeveralGridsError
        If they lie on several grids.
    UnknownNameError
        If one that is wanted is not there.
    """
    beside = _beside(dataset)
    known = {str(key): array for key, array in dataset.data_vars.items() if str(key) not in beside and array.ndim > 1}
    for key in wanted or ():
        if key not in known:
            raise UnknownNameError("variable", key, tuple(known))
    found: dict[str, _Raster] = {}
    quirks: list[Quirk] = []
    for key in dict.fromkeys(wanted or known):
        array = known[key]
        raster = _raster(dataset, array, f"{name} {key}")
        if raster is not None and (array.dtype.kind in _NUMBERS or wanted):
            found[key] = raster
        elif wanted:
            expected = "rows and columns that coordinates, dimension names or a GeoTransform tell"
            raise MetadataError(f"{name} {key}", "dimensions", found=array.dims, expected=expected)
        elif raster is not None:
            quirks.append(Quirk("left-out", f"{name} {key}", f"values of type {array.dtype}", "left out"))
    if not found:
        for key in known if quirks else ():
            check_dtype(known[key].dtype, node=f"{name} {key}")  # says what may be built
        dimensions = {key: array.dims for key, array in known.items()}
        expected = "a variable with rows and columns: y and x, lat and lon, or longitude and latitude"
        raise MetadataError(name, "dimensions", found=dimensions or tuple(dataset.sizes), expected=expected)
    grids: dict[tuple[str, ...], list[str]] = {}
    for key, raster in found.items():
        grids.setdefault(raster.key, []).append(key)
    if len(grids) > 1:
        raise SeveralGridsError(name, {" ".join(key): names for key, names in grids.items()}, quirks)
    return tuple(found.values()), tuple(quirks)


def _beside(dataset: xr.Dataset) -> set[str]:
    """Variables that describe others: bounds, coordinates, grid mappings."""
    named: set[str] = set()
    for variable in dataset.variables.values():
        for key in ("bounds", "coordinates", "climatology"):
            named |= set(text(variable, key).split())
        named |= set(text(variable, "grid_mapping").replace(":", " ").split())
    for name, variable in dataset.variables.items():
        if "grid_mapping_name" in variable.attrs or "crs_wkt" in variable.attrs:
            named.add(str(name))
        if text(variable, "standard_name") in ("longitude", "latitude"):
            named.add(str(name))
    return named


def _raster(dataset: xr.Dataset, array: xr.DataArray, node: str) -> _Raster | None:
    axes, located = axes_of(dataset, array, node), geolocation_of(dataset, array, node)
    if located is not None:
        y, x = (str(name) for name in dataset[located[0]].dims if dataset.sizes[name] > 1)
        return _Raster(array, SpatialAxes(y, x, None, None) if axes is None else axes, located)
    return None if axes is None else _Raster(array, axes, None)


def _placed(dataset: xr.Dataset, raster: _Raster, reading: Reading, name: str) -> Placed:
    """Place the pixels: by 1-D coordinates where those and their CRS are known, else by longitudes and latitudes."""
    node = f"{name} {raster.array.name}"
    axes = raster.axes
    coordinates = tuple(found or dimension for found, dimension in ((axes.rows, axes.y), (axes.cols, axes.x)))
    located = raster.geolocation
    if located is not None and not _has_axes(dataset, raster, reading, node):
        stated = crs_of(dataset, raster.array, node=node, coordinates=located, given=reading.crs)
        placed = geolocate(dataset, located, stated.crs, node=name, limit=reading.limit)
    else:
        stated = crs_of(dataset, raster.array, node=node, coordinates=coordinates, given=reading.crs)
        placed = place(
            dataset,
            axes,
            stated.crs,
            mapping=stated.mapping,
            transform=geotransform(dataset, raster.array, stated.mapping),
            node=name,
            irregular=reading.irregular,
        )
    return Placed(placed.grid, (*stated.quirks, *placed.quirks))


def _has_axes(dataset: xr.Dataset, raster: _Raster, reading: Reading, node: str) -> bool:
    """Tell whether rows and columns have coordinates of their own in a CRS that is known."""
    axes = raster.axes
    try:
        stated = crs_of(dataset, raster.array, node=node, coordinates=(axes.y, axes.x), given=None)
    except MetadataError:
        stated = None
    has_coordinates = axes.rows is not None and axes.cols is not None
    if stated is not None and (has_coordinates or geotransform(dataset, raster.array, stated.mapping) is not None):
        return True
    if not has_coordinates or reading.crs is None:
        return False
    units = [text(dataset[str(found)], "units").lower() for found in (axes.rows, axes.cols)]
    return all(unit.startswith("degree") for unit in units) == reading.crs.is_geographic


def _open(raster: _Raster, reading: Reading, name: str) -> _Opened:
    array, axes = raster.array, raster.axes
    node = f"{name} {array.name}"
    meaning = meaning_of(array, node, nodata=reading.nodata)
    attributes, of_attributes = in_words_of_cf(attributes_of(array, meaning, _KEPT), node)
    attributes.setdefault("long_name", str(array.name))
    quirks = [*meaning.quirks, *of_attributes]
    leading: list[Axis] = []
    places: list[tuple[int, ...]] = []
    for dimension in array.dims:
        if dimension in (axes.y, axes.x):
            continue
        axis, of_axis = axis_of(array, dimension, name)  # of the dataset: variables share it
        quirks += of_axis
        chosen = cf_select.positions(axis, reading.select, node)
        leading.append(cf_select.cut(axis, chosen))
        places.append(chosen)
    described = SourceVariable(
        str(array.name),
        meaning.dtype,
        meaning.nodata,
        tuple(leading),
        attributes,
        is_categorical="flag_values" in attributes,
        is_flags="flag_masks" in attributes and "flag_values" not in attributes,
    )
    return _Opened(array, axes, meaning, tuple(places), described, tuple(quirks))


def _of_axes(rasters: Sequence[_Raster], name: str) -> Iterable[Quirk]:
    """List what is groomed of the names and the order of axes."""
    axes = rasters[0].axes
    if not axes.are_usual:
        yield Quirk("axis-names", name, f"{axes.y}, {axes.x}", "named y, x")
    for raster in rasters:
        if raster.array.dims[-2:] != (raster.axes.y, raster.axes.x):
            found = ", ".join(map(str, raster.array.dims))
            yield Quirk("axis-order", f"{name} {raster.array.name}", found, "rows and columns are put last")


def _dimensions(axes: SpatialAxes, grid: AnyGrid) -> tuple[str, str]:
    """Keep names that readers know: of latitudes and longitudes only where the pixels lie on such."""
    is_kept = axes.are_usual and grid.crs.is_geographic
    return (axes.y, axes.x) if is_kept else USUAL_DIMENSIONS


def _block_of(opened: _Opened) -> tuple[int, int]:
    """Rows and columns of a block of one variable: dask's first chunk, the file's chunk, or none in particular."""
    array, names = opened.array, (opened.axes.y, opened.axes.x)
    if array.chunks is not None:
        chunks = dict(zip(map(str, array.dims), array.chunks, strict=True))
        rows, cols = (max(chunks[name]) for name in names)
        return rows, cols
    preferred = array.encoding.get("preferred_chunks")
    if isinstance(preferred, dict):  # backends leave the chunks of the file there
        height, width = (preferred.get(name) for name in names)
        if isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0:
            return height, width
    height, width = (array.sizes[name] for name in names)
    return min(MEMORY_BLOCK, height), min(MEMORY_BLOCK, width)


def _metadata_hash(source: ArraySource) -> str:
    grid = source.grid
    placed = grid.to_document() if not hasattr(grid, "transform") else (tuple(grid.transform), grid.crs.wkt2)
    text_of_all = repr((grid.shape, placed, source.variables))
    return hashlib.sha256(text_of_all.encode()).hexdigest()[:16]
