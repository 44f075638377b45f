"""What an opened pyramid holds, read from its documents once and checked there; no pixel is read.

`read_pyramid` turns the documents of a store into a frozen `Pyramid`. Whatever is wrong with shapes, data types,
codecs, fill values or names is an error here, so that a request only does arithmetic and reads chunks.

Validity of a variable follows from its attributes: NaN is never valid; `_FillValue` is the value of missing cells;
`ancillary_variables` names the alpha variable that masks data without such a value. The array's `fill_value` alone
says nothing about a stored cell, since data that need no missing value have a placeholder there; but in Zarr v2 it is
`_FillValue` where there is none. A chunk that is not stored holds no data.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from geozarr import cf, documents, flags
from geozarr import levels as levels_module
from geozarr import store as store_module
from geozarr.conventions import multiscales
from geozarr.errors import (
    GridMismatchError,
    LimitError,
    MetadataError,
    ParameterError,
    TileOutsideLimitsError,
    UnknownNameError,
    UnsupportedError,
)
from geozarr.grid import Bounds
from geozarr.manifest import reference_of
from geozarr.stored_array import StoredArray, read_stored_array
from tiler.colors import Classes, Intervals, Ramp
from tiler.dimensions import MAX_LABELS, CoordinateAttributes, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from geozarr import Level, Levels
    from geozarr.flags import Flag, Run
    from geozarr.manifest import Reference
    from geozarr.store import StoreLike, Tree
    from tiler.colors import Colors

MAX_DIMENSIONS = 8
MAX_LEVELS = 40
MAX_MATRICES = 64  # of the set that a store brings; registered ones have at most 30
MAX_STEPS = 4 * MAX_LABELS  # labels along all dimensions, which documents about them are made of
MAX_COORDINATE_CHUNKS = 4096  # each costs a request when a dimension is first asked for
MAX_COORDINATE = 16 * 2**20  # bytes of the values of one
MAX_RASTERS = 65_536  # that all rasters of some variables may be
_FAR = 1e15  # units of a CRS: the Earth's girth in micrometres is less
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f\ud800-\udfff]{1,200}")
ALPHA = "alpha"  # color_interpretation of a variable that is a mask, GDAL's name
ANYWHERE: Mapping[str, int] = MappingProxyType({})  # positions along no dimension
_PRIMARY = ("red", "green", "blue")
_MAX_COLORS = 64  # rasters of a variable that are looked at for red, green and blue


@dataclass(frozen=True)
class Statistics:
    """Stored statistics of the finest level, in stored (packed) values.

    Parameters
    ----------
    minimum, maximum : float
        Least and greatest valid value.
    low, high : float
        2nd and 98th percentile.
    """

    minimum: float
    maximum: float
    low: float
    high: float


@dataclass(frozen=True)
class Coordinate:
    """Where the values of a dimension before rows and columns lie.

    Parameters
    ----------
    name : str
        Name of the dimension.
    array : StoredArray
        One axis, of at most `tiler.dimensions.MAX_LABELS` positions.
    attributes : CoordinateAttributes
        What its values mean.
    """

    name: str
    array: StoredArray
    attributes: CoordinateAttributes


@dataclass(frozen=True)
class Variable:
    """A variable on all levels.

    Parameters
    ----------
    name : str
        Its name in each level group.
    dtype : numpy.dtype
        Data type of stored values.
    leading : tuple of (str, int)
        Name and size of each dimension before rows and columns.
    arrays : tuple of (StoredArray or None)
        By level, finest first; None where a level lacks it.
    nodata : numpy scalar or None
        `_FillValue`: cells with this value are not valid.
    alpha : str or None
        Variable that is 0 where cells are not valid.
    long_name, units : str or None
        CF attributes.
    scale_factor, add_offset : float
        CF packing; values are served as stored.
    band_names : tuple of str
        A name for each index of the leading dimension; empty where they have none.
    color_interpretation : tuple of str
        GDAL's names in lower case, one for each index of the leading dimension or one for all.
    statistics : Statistics or None
        Stored statistics of the finest level.
    flags : tuple of Flag
        Classes of its stored values; empty where it has none.
    runs : tuple of Run
        Runs of stored values of one colour; empty where it has none.
    colors : Ramp, Classes, Intervals or None
        Colours of its own, which are those of `flags` or of `runs`.
    """

    name: str
    dtype: np.dtype[Any]
    leading: tuple[tuple[str, int], ...]
    arrays: tuple[StoredArray | None, ...]
    nodata: Any = None
    alpha: str | None = None
    long_name: str | None = None
    units: str | None = None
    scale_factor: float = 1.0
    add_offset: float = 0.0
    band_names: tuple[str, ...] = ()
    color_interpretation: tuple[str, ...] = ()
    statistics: Statistics | None = None
    flags: tuple[Flag, ...] = ()
    runs: tuple[Run, ...] = ()
    colors: Colors | None = None

    @property
    def count(self) -> int:
        """Number of rasters: the product of the sizes of the leading dimensions."""
        return math.prod(self.sizes)

    @property
    def sizes(self) -> tuple[int, ...]:
        """Size of each leading dimension."""
        return tuple(size for _, size in self.leading)

    @property
    def is_alpha(self) -> bool:
        """True for a mask of other variables."""
        return self.color_interpretation == (ALPHA,)

    @property
    def available(self) -> frozenset[int]:
        """Positions of the levels that have it, 0 being the finest."""
        return frozenset(index for index, array in enumerate(self.arrays) if array is not None)

    @property
    def color_axis(self) -> int | None:
        """Leading dimension that the colour interpretation counts: the only one, else the last of that many steps."""
        if len(self.leading) == 1:
            return 0
        axes = [axis for axis, size in enumerate(self.sizes) if size == len(self.color_interpretation)]
        return axes[-1] if axes else None

    def free_count(self, positions: Mapping[str, int]) -> int:
        """Return the number of rasters that are left where positions along some of the dimensions are chosen."""
        return math.prod(size for name, size in self.leading if name not in positions)

    def raster(self, positions: Mapping[str, int], index: int = 0) -> int:
        """Return the position of a raster in C order over all leading dimensions.

        Parameters
        ----------
        positions : mapping of str to int
            Index along some of the dimensions; those that this variable lacks do not matter.
        index : int
            Position in C order over the other dimensions, within `free_count`.
        """
        free = iter(_unravel(index, tuple(size for name, size in self.leading if name not in positions)))
        return _ravel([positions[name] if name in positions else next(free) for name, _ in self.leading], self.sizes)

    def array(self, level: int) -> StoredArray:
        """Return the array at a level that has it."""
        array = self.arrays[level]
        assert array is not None, "the caller chooses among `available`"
        return array


@dataclass(frozen=True)
class Band:
    """One raster of a variable: what a picture or a point reads.

    Parameters
    ----------
    variable : Variable
        The variable.
    index : int
        Position along the leading dimensions in C order, counted from 0.
    label : str or None
        What tells it from other rasters of the variable, where its steps were chosen by value.
    """

    variable: Variable
    index: int = 0
    label: str | None = None

    @property
    def name(self) -> str:
        """Name of the variable; of one of many rasters with its label, else its own name, else that and its number."""
        if self.label is not None and self.variable.count > 1:
            return f"{self.variable.name}_{self.label}"
        if 1 < self.variable.count == len(self.variable.band_names):
            return self.variable.band_names[self.index]
        return self.variable.name if self.variable.count == 1 else f"{self.variable.name}_{self.index + 1}"

    @property
    def color(self) -> str | None:
        """Colour interpretation of this raster; None where it has none."""
        colors, axis = self.variable.color_interpretation, self.variable.color_axis
        if len(colors) == 1:
            return colors[0]
        return colors[self.lead[axis]] if axis is not None and self.lead[axis] < len(colors) else None

    @property
    def lead(self) -> tuple[int, ...]:
        """Index along each leading dimension."""
        return _unravel(self.index, self.variable.sizes)


def _unravel(index: int, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """Index along each axis of a position in C order; sizes may be any that a document states."""
    lead = []
    for size in reversed(sizes):
        index, position = divmod(index, size)
        lead.append(position)
    return tuple(reversed(lead))


def _ravel(lead: Iterable[int], sizes: tuple[int, ...]) -> int:
    """Position in C order of an index along each axis."""
    index = 0
    for position, size in zip(lead, sizes, strict=True):
        index = index * size + position
    return index


@dataclass(frozen=True)
class Pyramid:
    """A multiscale group as served.

    Parameters
    ----------
    levels : Levels
        Grids, finest first.
    variables : tuple of Variable
        In the order of the store, masks among them.
    version : str
        Changes when the documents do; hexadecimal.
    data_bounds : Bounds or None
        Where the data are, in degrees, where the pyramid says so: levels reach to the edges of the coarsest tiles.
    manifest : Reference or None
        Where the list of its objects lies, where there is one.
    coordinates : tuple of Coordinate
        Of those dimensions before rows and columns that have one that can be read.
    """

    levels: Levels
    variables: tuple[Variable, ...]
    version: str
    data_bounds: Bounds | None = None
    manifest: Reference | None = None
    coordinates: tuple[Coordinate, ...] = ()

    @property
    def dimensions(self) -> dict[str, int]:
        """Size of each dimension before rows and columns of the data, by name; the first where sizes disagree."""
        sizes: dict[str, int] = {}
        for variable in self.data_variables:
            for name, size in variable.leading:
                sizes.setdefault(name, size)
        return sizes

    def coordinate(self, dimension: str) -> Coordinate | None:
        """Return the coordinate of a dimension, None where it has none."""
        return next((item for item in self.coordinates if item.name == dimension), None)

    def step_names(self, dimension: str) -> tuple[str, ...]:
        """Names of the steps of a dimension that is the only one of variables whose `band_names` agree; else none."""
        leading = ((dimension, self.dimensions.get(dimension)),)
        names = {variable.band_names for variable in self.data_variables if variable.leading == leading} - {()}
        return names.pop() if len(names) == 1 else ()

    @property
    def data_variables(self) -> tuple[Variable, ...]:
        """Variables that are no masks."""
        return tuple(variable for variable in self.variables if not variable.is_alpha)

    def variable(self, name: str) -> Variable:
        """Return a variable by its name.

        Raises
        ------
        UnknownNameError
            If there is none.
        """
        for variable in self.variables:
            if variable.name == name:
                return variable
        raise UnknownNameError("variable", name, tuple(variable.name for variable in self.data_variables))

    def bands(
        self, names: tuple[str, ...], indexes: tuple[int, ...] = (), positions: Mapping[str, int] = ANYWHERE
    ) -> tuple[Band, ...]:
        """Choose rasters by name and index.

        Parameters
        ----------
        names : tuple of str
            Variables; empty means the natural picture: red, green and blue, else the first raster of the first
            variable.
        indexes : tuple of int
            1-based positions along the leading dimensions that `positions` leaves, in C order, taken from each of the
            variables; empty means the first, or all three colours of one variable that holds them.
        positions : mapping of str to int
            Index along a dimension by its name, from 0; of those variables that have it.

        Raises
        ------
        UnknownNameError
            If a variable does not exist.
        ParameterError
            If an index or a position is out of range, or none of the variables has one of the dimensions.
        """
        if not names and not indexes:
            bands = self._natural_bands(positions)
            _require_positions([band.variable for band in bands], positions)
            return bands
        chosen = self._chosen(names)
        _require_positions(chosen, positions)
        found = []
        for variable in chosen:
            count = variable.free_count(positions)
            for index in indexes or (1,):
                if not 1 <= index <= count:
                    expected = f"1 to {count} for variable {variable.name!r}"
                    raise ParameterError("bidx", found=index, expected=expected)
                found.append(Band(variable, variable.raster(positions, index - 1)))
        return tuple(found)

    def all_bands(self, names: tuple[str, ...], positions: Mapping[str, int] = ANYWHERE) -> tuple[Band, ...]:
        """Choose all rasters of some variables that positions leave, in C order; raises as `bands` does.

        Raises
        ------
        LimitError
            If these are more than `MAX_RASTERS`.
        """
        chosen = self._chosen(names)
        _require_positions(chosen, positions)
        count = sum(variable.free_count(positions) for variable in chosen)
        if count > MAX_RASTERS:
            raise LimitError("rasters of a read", allowed=MAX_RASTERS, found=count)
        return tuple(
            Band(variable, variable.raster(positions, index))
            for variable in chosen
            for index in range(variable.free_count(positions))
        )

    def _chosen(self, names: tuple[str, ...]) -> list[Variable]:
        return [self.variable(name) for name in names] or [self.data_variables[0]]

    @cached_property
    def _natural(self) -> tuple[Band, ...]:
        """Bands that are shown where nothing is asked for, found once."""
        return self._find_natural_bands(ANYWHERE)

    def _natural_bands(self, positions: Mapping[str, int]) -> tuple[Band, ...]:
        return self._find_natural_bands(positions) if positions else self._natural

    def _find_natural_bands(self, positions: Mapping[str, int]) -> tuple[Band, ...]:
        """Red, green and blue by colour interpretation, else by the variables' names; else the first raster."""
        rasters = [band for variable in self.data_variables for band in _colored(variable, positions)]
        by_color = {band.color: band for band in reversed(rasters)}
        by_name = {band.variable.name.lower(): band for band in reversed(rasters)}
        for known in (by_color, by_name):
            colors = tuple(known[color] for color in _PRIMARY if color in known)
            if len(colors) == 3 and frozenset.intersection(*(band.variable.available for band in colors)):
                return colors
        return (rasters[0],)


def _colored(variable: Variable, positions: Mapping[str, int]) -> list[Band]:
    """First raster of a variable at some positions, and those beside it of other colours where it has any."""
    first = Band(variable, variable.raster(positions))
    axis = variable.color_axis
    if axis is None or len(variable.color_interpretation) < 2 or variable.leading[axis][0] in positions:
        return [first]
    lead, sizes = list(first.lead), variable.sizes
    colors = variable.color_interpretation[: min(sizes[axis], _MAX_COLORS)]
    return [first] + [
        Band(variable, _ravel([*lead[:axis], step, *lead[axis + 1 :]], sizes))
        for step, color in enumerate(colors)
        if color in _PRIMARY and step
    ]


def _require_positions(variables: Iterable[Variable], positions: Mapping[str, int]) -> None:
    """Refuse a position that none of some variables has, or one of them has not."""
    sizes = [item for variable in variables for item in variable.leading]
    for name, position in positions.items():
        known = [size for other, size in sizes if other == name]
        if not known:
            shown = listed(dict.fromkeys(other for other, _ in sizes))
            raise ParameterError("sel", found=name, expected=f"a dimension of what is shown: {shown}")
        if not 0 <= position < min(known):
            raise ParameterError("sel", found=f"position {position}", expected=f"0 to {min(known) - 1} of {name!r}")


def open_pyramid(store: StoreLike) -> Pyramid:
    """Read the documents of a store; raises as `geozarr.store.read_tree` and `read_pyramid` do."""
    return read_pyramid(store_module.read_tree(store))


def read_pyramid(tree: Tree) -> Pyramid:
    """Describe the multiscale group at the root of a tree of documents.

    Raises
    ------
    MetadataError
        If a document lacks something, contradicts another, or uses a name that cannot be a key.
    GridMismatchError
        If an array has another shape than the grid of its level.
    UnsupportedError
        If an array uses a codec, a chunk grid or an order of axes that is not served.
    LimitError
        If something is larger than its limit.
    """
    levels = _read_levels(tree)
    _require_places(levels)
    names: dict[str, None] = {}
    for level in levels.levels:
        _require_names(level.asset.split("/"), "multiscales.layout[].asset")
        if tree.nodes.get(level.asset, {}).get("node_type") != "group":
            raise MetadataError(f"/{level.asset}", "node_type", found=None, expected="the group of a level")
    arrays = [tree.arrays(level.asset) for level in levels.levels]
    for level, found in zip(levels.levels, arrays, strict=True):
        names |= dict.fromkeys(_data_names(found, level, levels))
    _require_names(names, "name of a variable")
    variables = tuple(_variable(tree, levels, arrays, name) for name in names)
    if all(variable.is_alpha for variable in variables):
        raise MetadataError("/", "variables", found=list(names), expected="at least one array over the grid of a level")
    for variable in variables:
        _require_mask(variable, variables)
    _require_few_steps(variables)
    return Pyramid(
        levels=levels,
        variables=variables,
        version=_version(tree),
        data_bounds=_data_bounds(tree.attributes()),
        manifest=reference_of(tree.attributes()),
        coordinates=_coordinates(tree, levels, variables),
    )


def _data_bounds(attributes: dict[str, Any]) -> Bounds | None:
    """Read the extent of ACDD 1.3; one that crosses the antimeridian is no box, and a malformed one is no reason."""
    names = ("geospatial_lon_min", "geospatial_lat_min", "geospatial_lon_max", "geospatial_lat_max")
    numbers = [attributes.get(name) for name in names]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        return None
    box = Bounds(*(float(number) for number in numbers if number is not None))
    return box if -180 <= box.xmin < box.xmax <= 180 and -90 <= box.ymin < box.ymax <= 90 else None


def _require_few_steps(variables: Iterable[Variable]) -> None:
    sizes = {name: size for variable in variables for name, size in variable.leading if size <= MAX_LABELS}
    if sum(sizes.values()) > MAX_STEPS:
        raise LimitError("labels along all dimensions", allowed=MAX_STEPS, found=sum(sizes.values()))


def _require_places(levels: Levels) -> None:
    """Refuse cells that coordinates do not tell apart, and places that are far from any map's."""
    grids = [level.grid for level in levels.levels]
    if levels.tms is not None:
        grids += [levels.tms.matrix_grid(matrix_id) for matrix_id in levels.tms.ids]
    for grid in grids:
        farthest = max(map(abs, grid.bounds))
        if not (farthest < _FAR and math.ulp(farthest) < min(grid.cell_size)):
            found = f"cells of {grid.cell_size} within {tuple(grid.bounds)}"
            expected = f"cells that coordinates of 64 bits tell apart, none beyond {_FAR:g}"
            raise MetadataError("/", "multiscales", found=found, expected=expected)


def _read_levels(tree: Tree) -> Levels:
    document = tree.attributes().get(multiscales.KEY)
    stated = document if isinstance(document, dict) else {}
    matrices = stated.get(multiscales.set_key(stated))
    for limit, most, items in (
        ("levels", MAX_LEVELS, stated.get("layout")),
        ("tile matrices", MAX_MATRICES, matrices.get("tileMatrices") if isinstance(matrices, dict) else None),
    ):
        if isinstance(items, list) and len(items) > most:
            raise LimitError(limit, allowed=most, found=len(items))
    try:
        return levels_module.from_attributes(tree.attributes())
    except (UnknownNameError, TileOutsideLimitsError, ParameterError) as error:
        # To look up what a document names is this module's own request: it is the document that is at fault.
        expected = "levels, tile matrices and limits that agree"
        raise MetadataError("/", "multiscales", found=str(error), expected=expected) from error


def _version(tree: Tree) -> str:
    """Hash of the documents: the root holds all of them where metadata are consolidated."""
    nodes = {"": tree.root} if tree.is_consolidated else tree.nodes
    digest = hashlib.sha256()
    for path in sorted(nodes):
        # Not `encode_document`: a foreign document may hold NaN, which json reads and that writer refuses.
        digest.update(f"{path}\n{nodes[path]!r}\n".encode())
    return digest.hexdigest()[:32]


def _require_names(names: Any, key: str) -> None:
    """Names become parts of keys of the store: nothing that a file system could take for a path."""
    for name in names:
        if not _NAME.fullmatch(name) or name in (".", ".."):
            raise MetadataError("/", key, found=name, expected="a name in UTF-8 without slashes and control characters")


def _data_names(arrays: Mapping[str, dict[str, Any]], level: Level, levels: Levels) -> list[str]:
    """Arrays of a level group that lie over its grid: they have both spatial dimensions."""
    names = []
    for name, document in arrays.items():
        dimensions = document.get("dimension_names")
        if dimensions is None:
            dimensions = []
        if not isinstance(dimensions, list) or not all(isinstance(item, str | None) for item in dimensions):
            node = f"/{level.asset}/{name}"
            raise MetadataError(node, "dimension_names", found=dimensions, expected="an array of names")
        if set(levels.dimensions) <= set(dimensions):
            names.append(name)
    return names


def _variable(tree: Tree, levels: Levels, arrays: Sequence[Mapping[str, dict[str, Any]]], name: str) -> Variable:
    documents_by_level = [found.get(name) for found in arrays]
    first = next(index for index, document in enumerate(documents_by_level) if document is not None)
    finest, asset = documents_by_level[first], levels.levels[first].asset
    assert finest is not None
    node = f"/{asset}/{name}"
    dtype = documents.dtype_of(finest, node=node)
    stored = tuple(
        None if document is None else _array(document, level, levels, name, dtype)
        for document, level in zip(documents_by_level, levels.levels, strict=True)
    )
    shape = _whole_numbers(finest.get("shape"), node, "shape")
    names = finest["dimension_names"][:-2]
    # A dimension may have no name; xarray calls it so.
    names = [f"dim_{axis}" if other is None else other for axis, other in enumerate(names)]
    leading = tuple(zip(names, shape[:-2], strict=True))
    for array in stored:
        if array is not None and array.shape[:-2] != shape[:-2]:
            raise GridMismatchError(f"leading shape of /{array.path}", found=array.shape[:-2], expected=shape[:-2])
    attributes = tree.attributes(f"{asset}/{name}")
    nodata = attributes.get("_FillValue", finest.get("fill_value") if finest.get("zarr_format") == 2 else None)
    classes, runs = flags.from_attributes(attributes, dtype), flags.table_from_attributes(attributes)
    return Variable(
        name=name,
        dtype=dtype,
        leading=leading,
        arrays=stored,
        nodata=None if nodata is None else cf.decode_missing_value(nodata, dtype, node=node),
        alpha=_alpha_of(attributes, tree, asset),
        long_name=_text(attributes, "long_name"),
        units=_text(attributes, "units"),
        scale_factor=_number(attributes, "scale_factor", 1.0, node),
        add_offset=_number(attributes, "add_offset", 0.0, node),
        band_names=_texts(attributes, "band_names"),
        color_interpretation=_colors(attributes),
        statistics=_statistics(attributes),
        flags=classes,
        runs=runs,
        colors=_own_colors(classes, runs, dtype),
    )


def _own_colors(classes: tuple[Flag, ...], runs: tuple[Run, ...], dtype: np.dtype[Any]) -> Colors | None:
    """Colours of classes, where each has one, else of runs of values; as a palette holds them."""
    colored = {flag.value: flag.color for flag in classes if flag.color is not None}
    if colored and len(colored) == len(classes) and flags.is_palette(len(colored), dtype):
        if len(colored) > flags.MOST:  # all values of a byte
            return Ramp(b"".join(bytes(colored[value]) for value in range(256)))
        return Classes(tuple(colored), b"".join(map(bytes, colored.values())))
    if runs and dtype.kind in "iu":
        return Intervals(tuple((run.first, run.last + 1) for run in runs), b"".join(bytes(run.color) for run in runs))
    return None


def _array(document: dict[str, Any], level: Level, levels: Levels, name: str, dtype: np.dtype[Any]) -> StoredArray:
    node = f"/{level.asset}/{name}"
    if documents.dtype_of(document, node=node) != dtype:
        raise MetadataError(node, "data_type", found=document.get("data_type"), expected=f"{dtype} as on other levels")
    shape = _whole_numbers(document.get("shape"), node, "shape")
    dimensions = document.get("dimension_names")
    if not isinstance(dimensions, list) or len(dimensions) != len(shape):
        raise MetadataError(node, "dimension_names", found=dimensions, expected=f"{len(shape)} names")
    if tuple(dimensions[-2:]) != levels.dimensions:
        raise UnsupportedError(f"axes {dimensions} of {node}", f"the last two are {levels.dimensions}")
    if shape[-2:] != level.grid.shape:
        raise GridMismatchError(f"shape of {node}", found=shape[-2:], expected=level.grid.shape)
    return read_stored_array(document, f"{level.asset}/{name}", shape, dtype)


def _coordinates(tree: Tree, levels: Levels, variables: tuple[Variable, ...]) -> tuple[Coordinate, ...]:
    """Find the coordinates of the dimensions of the data; one that cannot be read is as good as none."""
    found: dict[str, Coordinate | None] = {}
    for variable in variables:
        if variable.is_alpha:
            continue
        asset = levels.levels[min(variable.available)].asset
        for name, size in variable.leading:
            if name not in found:
                found[name] = _coordinate(tree, asset, name, size)
    return tuple(coordinate for coordinate in found.values() if coordinate is not None)


def _coordinate(tree: Tree, asset: str, name: str, size: int) -> Coordinate | None:
    """Find the array of one axis that has its name, nearest first: in the group of the level, or one around it."""
    if not _NAME.fullmatch(name) or name in (".", "..") or size > MAX_LABELS:
        return None
    parts = asset.split("/")
    for group in ("/".join(parts[:count]) for count in range(len(parts), -1, -1)):
        path = f"{group}/{name}" if group else name
        document = tree.nodes.get(path, {})
        if document.get("node_type") != "array" or document.get("dimension_names") not in ([name], None, [None]):
            continue
        if document.get("shape") != [size] or document.get("storage_transformers"):
            continue
        try:
            dtype = _coordinate_dtype(document, node=f"/{path}")
            array = read_stored_array(document, path, (size,), dtype)
        except (MetadataError, UnsupportedError, LimitError):
            return None
        if -(-size // array.storage.chunk_shape[0]) > MAX_COORDINATE_CHUNKS or size * dtype.itemsize > MAX_COORDINATE:
            return None
        return Coordinate(name, array, _coordinate_attributes(tree.attributes(path), dtype))
    return None


def _coordinate_dtype(document: dict[str, Any], *, node: str) -> np.dtype[Any]:
    """Read a data type: a number, or text of a fixed length (zarr-extensions, fixed_length_utf32)."""
    data_type = document.get("data_type")
    if not isinstance(data_type, dict) or data_type.get("name") != "fixed_length_utf32":
        return documents.dtype_of(document, node=node)
    configuration = data_type.get("configuration")
    length = configuration.get("length_bytes") if isinstance(configuration, dict) else None
    if type(length) is not int or not 4 <= length < 2**20 or length % 4:
        raise MetadataError(node, "data_type.length_bytes", found=length, expected="a multiple of 4 below 1 MiB")
    return np.dtype(f"U{length // 4}")


def _coordinate_attributes(attributes: dict[str, Any], dtype: np.dtype[Any]) -> CoordinateAttributes:
    """Read what there is; what is malformed says nothing, since values without it can still be told."""
    missing = None
    if dtype.kind != "U" and "_FillValue" in attributes:
        try:
            missing = cf.decode_missing_value(attributes["_FillValue"], dtype, node="coordinate")
        except MetadataError:
            missing = None
    scale, offset = attributes.get("scale_factor", 1.0), attributes.get("add_offset", 0.0)
    return CoordinateAttributes(
        nodata=missing,
        scale_factor=float(scale) if _is_number(scale) else 1.0,
        add_offset=float(offset) if _is_number(offset) else 0.0,
        units=attributes.get("units"),
        calendar=attributes.get("calendar"),
        long_name=attributes.get("long_name"),
    )


def _whole_numbers(value: Any, node: str, key: str) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(type(side) is int and 1 <= side < 2**63 for side in value):
        raise MetadataError(node, key, found=value, expected="an array of whole numbers of at least 1")
    if len(value) > MAX_DIMENSIONS:
        raise LimitError("dimensions", allowed=MAX_DIMENSIONS, found=len(value))
    return tuple(value)


def _alpha_of(attributes: dict[str, Any], tree: Tree, asset: str) -> str | None:
    """Name of the mask among the ancillary variables (CF 3.4: names separated by blanks)."""
    names = attributes.get("ancillary_variables")
    if not isinstance(names, str):
        return None
    for name in names.split():
        if name == ALPHA or _colors(tree.attributes(f"{asset}/{name}")) == (ALPHA,):
            return name
    return None


def _require_mask(variable: Variable, variables: tuple[Variable, ...]) -> None:
    """Refuse a variable whose mask is named but not there: its missing cells would be shown as data."""
    if variable.alpha is None:
        return
    mask = next((other for other in variables if other.name == variable.alpha), None)
    if mask is None or not variable.available <= mask.available or mask.count not in (1, variable.count):
        found = None if mask is None else f"{mask.count} x {sorted(mask.available)}"
        expected = f"a variable {variable.alpha!r} on the same levels, for all rasters or for each"
        raise MetadataError(f"/{variable.name}", "ancillary_variables", found=found, expected=expected)


def _colors(attributes: dict[str, Any]) -> tuple[str, ...]:
    """Colour interpretation of all rasters of a variable, or of each along its leading dimension."""
    value = attributes.get("color_interpretation")
    if isinstance(value, str):
        return (value.lower(),)
    return tuple(name.lower() for name in _texts(attributes, "band_color_interpretations"))


def _texts(attributes: dict[str, Any], key: str) -> tuple[str, ...]:
    value = attributes.get(key)
    return tuple(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else ()


def _statistics(attributes: dict[str, Any]) -> Statistics | None:
    """Statistics in this project's form; another form under that name is another tool's and is passed over."""
    block = attributes.get("statistics")
    values = [block.get(key) for key in ("min", "max", "p2", "p98")] if isinstance(block, dict) else []
    numbers = [float(value) for value in values if _is_number(value)]
    return Statistics(*numbers) if len(numbers) == 4 else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf


def _number(attributes: dict[str, Any], key: str, default: float, node: str) -> float:
    value = attributes.get(key, default)
    if not _is_number(value):
        raise MetadataError(node, key, found=value, expected="a finite number")
    return float(value)


def _text(attributes: dict[str, Any], key: str) -> str | None:
    value = attributes.get(key)
    return value if isinstance(value, str) else None
