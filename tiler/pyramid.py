"""What an opened pyramid holds, read from its documents once and checked there; no pixel is read.

`read_pyramid` turns the documents of a store into a frozen `Pyramid`. Whatever is wrong with shapes, data types,
codecs, fill values or names is an error here, so that a request only does arithmetic and reads chunks.

Validity of a variable follows from its attributes: NaN is never valid; `_FillValue` is the value of missing cells;
`ancillary_variables` names the alpha variable that masks data without such a value. The array's `fill_value` alone
says nothing about a stored cell, since data that need no missing value have a placeholder there. A chunk that is not
stored holds no data.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

from geozarr import cf, documents
from geozarr import levels as levels_module
from geozarr import store as store_module
from geozarr.codecs import Storage, read_storage
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

if TYPE_CHECKING:
    from geozarr import Level, Levels
    from geozarr.manifest import Reference
    from geozarr.store import StoreLike, Tree

MAX_DIMENSIONS = 8
MAX_LEVELS = 40
_NAME = re.compile(r"[^/\\\x00-\x1f\x7f]{1,200}")
ALPHA = "alpha"  # color_interpretation of a variable that is a mask, GDAL's name


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
class StoredArray:
    """A variable at one level.

    Parameters
    ----------
    path : str
        Its path in the store.
    shape : tuple of int
        Cells; rows and columns come last.
    storage : Storage
        Chunks, shards and codecs.
    separator : str
        Between the numbers of a chunk key.
    prefix : str
        "c" and the separator in Zarr's default encoding of chunk keys, nothing in the older one.
    fill_value : numpy scalar
        Value of cells that no chunk holds.
    """

    path: str
    shape: tuple[int, ...]
    storage: Storage
    separator: str
    prefix: str
    fill_value: Any

    def object_key(self, index: tuple[int, ...]) -> str:
        """Key of a stored object, by its position in the grid of objects (Zarr core v3, chunk key encoding)."""
        return f"{self.path}/{self.prefix}{self.separator.join(map(str, index))}"


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

    @property
    def count(self) -> int:
        """Number of rasters: the product of the sizes of the leading dimensions."""
        return math.prod(size for _, size in self.leading)

    @property
    def is_alpha(self) -> bool:
        """True for a mask of other variables."""
        return self.color_interpretation == (ALPHA,)

    @property
    def available(self) -> frozenset[int]:
        """Positions of the levels that have it, 0 being the finest."""
        return frozenset(index for index, array in enumerate(self.arrays) if array is not None)

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
    """

    variable: Variable
    index: int = 0

    @property
    def name(self) -> str:
        """Name of the variable; where it holds many rasters, that of the raster, else `_1`, `_2` ... after it."""
        if 1 < self.variable.count == len(self.variable.band_names):
            return self.variable.band_names[self.index]
        return self.variable.name if self.variable.count == 1 else f"{self.variable.name}_{self.index + 1}"

    @property
    def color(self) -> str | None:
        """Colour interpretation of this raster; None where it has none."""
        colors = self.variable.color_interpretation
        if len(colors) == 1:
            return colors[0]
        return colors[self.index] if self.index < len(colors) else None

    @property
    def lead(self) -> tuple[int, ...]:
        """Index along each leading dimension."""
        sizes = tuple(size for _, size in self.variable.leading)
        return tuple(int(position) for position in np.unravel_index(self.index, sizes)) if sizes else ()


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
    """

    levels: Levels
    variables: tuple[Variable, ...]
    version: str
    data_bounds: Bounds | None = None
    manifest: Reference | None = None

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

    def bands(self, names: tuple[str, ...], indexes: tuple[int, ...] = ()) -> tuple[Band, ...]:
        """Choose rasters by name and index.

        Parameters
        ----------
        names : tuple of str
            Variables; empty means the natural picture: red, green and blue, else the first raster of the first
            variable.
        indexes : tuple of int
            1-based positions along the leading dimensions, taken from each of the variables; empty means the first,
            or all three colours of one variable that holds them.

        Raises
        ------
        UnknownNameError
            If a variable does not exist.
        ParameterError
            If an index is out of range.
        """
        if not names and not indexes:
            return self._natural_bands()
        chosen = [self.variable(name) for name in names] or [self.data_variables[0]]
        bands = []
        for variable in chosen:
            for index in indexes or (1,):
                if not 1 <= index <= variable.count:
                    expected = f"1 to {variable.count} for variable {variable.name!r}"
                    raise ParameterError("bidx", found=index, expected=expected)
                bands.append(Band(variable, index - 1))
        return tuple(bands)

    def _natural_bands(self) -> tuple[Band, ...]:
        """Red, green and blue by colour interpretation, else by the variables' names; else the first raster."""
        rasters = [
            Band(variable, index) for variable in self.data_variables for index in range(min(variable.count, 64))
        ]
        by_color = {band.color: band for band in reversed(rasters)}
        by_name = {band.variable.name.lower(): band for band in reversed(rasters)}
        for known in (by_color, by_name):
            colors = tuple(known[color] for color in ("red", "green", "blue") if color in known)
            if len(colors) == 3 and frozenset.intersection(*(band.variable.available for band in colors)):
                return colors
        return (rasters[0],)


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
    if len(levels.levels) > MAX_LEVELS:
        raise LimitError("levels", allowed=MAX_LEVELS, found=len(levels.levels))
    names: dict[str, None] = {}
    for level in levels.levels:
        _require_names(level.asset.split("/"), "multiscales.layout[].asset")
        if tree.nodes.get(level.asset, {}).get("node_type") != "group":
            raise MetadataError(f"/{level.asset}", "node_type", found=None, expected="the group of a level")
        names |= dict.fromkeys(_data_names(tree, level, levels))
    _require_names(names, "name of a variable")
    variables = tuple(_variable(tree, levels, name) for name in names)
    if all(variable.is_alpha for variable in variables):
        raise MetadataError("/", "variables", found=list(names), expected="at least one array over the grid of a level")
    for variable in variables:
        _require_mask(variable, variables)
    return Pyramid(levels, variables, _version(tree), _data_bounds(tree.attributes()), reference_of(tree.attributes()))


def _data_bounds(attributes: dict[str, Any]) -> Bounds | None:
    """Read the extent of ACDD 1.3; one that crosses the antimeridian is no box, and a malformed one is no reason."""
    names = ("geospatial_lon_min", "geospatial_lat_min", "geospatial_lon_max", "geospatial_lat_max")
    numbers = [attributes.get(name) for name in names]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        return None
    box = Bounds(*(float(number) for number in numbers if number is not None))
    return box if -180 <= box.xmin < box.xmax <= 180 and -90 <= box.ymin < box.ymax <= 90 else None


def _read_levels(tree: Tree) -> Levels:
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
            raise MetadataError("/", key, found=name, expected="a name without slashes and control characters")


def _data_names(tree: Tree, level: Level, levels: Levels) -> list[str]:
    """Arrays of a level group that lie over its grid: they have both spatial dimensions."""
    names = []
    for name, document in tree.arrays(level.asset).items():
        dimensions = document.get("dimension_names")
        if dimensions is None:
            dimensions = []
        if not isinstance(dimensions, list) or not all(isinstance(item, str | None) for item in dimensions):
            node = f"/{level.asset}/{name}"
            raise MetadataError(node, "dimension_names", found=dimensions, expected="an array of names")
        if set(levels.dimensions) <= set(dimensions):
            names.append(name)
    return names


def _variable(tree: Tree, levels: Levels, name: str) -> Variable:
    documents_by_level = [tree.arrays(level.asset).get(name) for level in levels.levels]
    first = next(index for index, document in enumerate(documents_by_level) if document is not None)
    finest, asset = documents_by_level[first], levels.levels[first].asset
    assert finest is not None
    node = f"/{asset}/{name}"
    dtype = documents.dtype_of(finest, node=node)
    arrays = tuple(
        None if document is None else _array(document, level, levels, name, dtype)
        for document, level in zip(documents_by_level, levels.levels, strict=True)
    )
    shape = _whole_numbers(finest.get("shape"), node, "shape")
    leading = tuple(zip(finest["dimension_names"][:-2], shape[:-2], strict=True))
    for array in arrays:
        if array is not None and array.shape[:-2] != shape[:-2]:
            raise GridMismatchError(f"leading shape of /{array.path}", found=array.shape[:-2], expected=shape[:-2])
    attributes = tree.attributes(f"{asset}/{name}")
    nodata = attributes.get("_FillValue")
    return Variable(
        name=name,
        dtype=dtype,
        leading=leading,
        arrays=arrays,
        nodata=None if nodata is None else cf.decode_missing_value(nodata, dtype, node=node),
        alpha=_alpha_of(attributes, tree, asset),
        long_name=_text(attributes, "long_name"),
        units=_text(attributes, "units"),
        scale_factor=_number(attributes, "scale_factor", 1.0, node),
        add_offset=_number(attributes, "add_offset", 0.0, node),
        band_names=_texts(attributes, "band_names"),
        color_interpretation=_colors(attributes),
        statistics=_statistics(attributes),
    )


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
    object_shape = documents.object_shape_of(document, rank=len(shape), node=node)
    storage = read_storage(document.get("codecs"), dtype=dtype, object_shape=object_shape, node=node)
    if document.get("storage_transformers"):
        raise UnsupportedError(f"storage transformers of {node}", "chunks are stored as their codecs wrote them")
    separator, prefix = documents.key_encoding_of(document, node=node)
    value = document.get("fill_value")
    # null is not of the specification, but GDAL writes it for data without a nodata value; it stands for zero.
    fill = dtype.type(0) if value is None else cf.decode_fill_value(value, dtype, node=node)
    return StoredArray(f"{level.asset}/{name}", shape, storage, separator, prefix, fill)


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
