"""A pyramid that is opened for reading: what its documents say, and its levels as xarray has them.

Opening reads documents: the one of the group where its metadata are consolidated, else those of all nodes. xarray and
zarr-python are imported when the first level is opened, since they take longer to import than most pyramids to open.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geozarr import levels as levels_module
from geozarr import store as store_module
from geozarr.errors import GridMismatchError, MetadataError, ParameterError, UnknownNameError
from geozarr.levels import Level
from geozarr.store import Tree, join

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr

    from geozarr.crs import CRS
    from geozarr.datasets import Decoding
    from geozarr.grid import Bounds
    from geozarr.store import StoreLike
    from geozarr.stores import Store
    from geozarr.tms import TileMatrixSet

# Of the resolution asked for: cells larger by no more than that are not coarser, they are written with fewer digits.
RESOLUTION_TOLERANCE = 1e-6


@dataclass(frozen=True)
class PyramidLevel(Level):
    """A level, and what is stored there.

    Parameters
    ----------
    variables : tuple of str
        Names of its arrays that lie over its grid, in the order of the documents; masks are among them.
    """

    variables: tuple[str, ...] = ()

    @property
    def cell_size(self) -> tuple[float, float]:
        """`(x, y)` side lengths of a cell in units of the CRS."""
        return self.grid.cell_size


class Pyramid:
    """A multiscale pyramid that is opened for reading; `open_pyramid` makes it.

    Parameters
    ----------
    store : Store
        Where it is.
    tree : Tree
        Documents of the multiscale group and of all nodes below it.
    group : str
        Path of the multiscale group in the store.

    Raises
    ------
    MetadataError, GridMismatchError, TileOutsideLimitsError, UnknownNameError, UnsupportedError
        As `geozarr.levels.from_attributes` does; besides, if a level is not there, or no level has data over its grid,
        or they have another shape than it.
    """

    def __init__(self, store: Store, tree: Tree, group: str = "") -> None:
        self._store = store
        self._tree = tree
        self._group = group
        self._known = levels_module.from_attributes(tree.attributes(), node=f"/{group}")
        self._levels = tuple(self._stored(level) for level in self._known.levels)
        if not self.variables:
            found = {level.asset: sorted(tree.arrays(level.asset)) for level in self._levels}
            expected = f"an array over {self._known.dimensions}"
            raise MetadataError(f"/{group}", "variables", found=found, expected=expected)

    @property
    def levels(self) -> tuple[PyramidLevel, ...]:
        """Levels, finest first."""
        return self._levels

    @property
    def crs(self) -> CRS:
        """The CRS of all levels."""
        return self._known.crs

    @property
    def bounds(self) -> Bounds:
        """Box of the finest level in units of the CRS; aligned levels reach to the edges of the coarsest tiles."""
        return self._known.finest.grid.bounds

    @property
    def tms(self) -> TileMatrixSet | None:
        """The tile matrices of the levels; None where the pyramid is aligned with no set."""
        return self._known.tms

    @property
    def dimensions(self) -> tuple[str, str]:
        """Names of the row and of the column dimension."""
        return self._known.dimensions

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the arrays over the levels' grids, on whichever levels, masks among them."""
        return tuple(dict.fromkeys(name for level in self._levels for name in level.variables))

    @property
    def attributes(self) -> dict[str, Any]:
        """Attributes of the multiscale group."""
        return self._tree.attributes()

    def __repr__(self) -> str:
        crs = self.crs.code or self.crs.name
        place = f"{crs}, {', '.join(f'{edge:.10g}' for edge in self.bounds)}"
        lines = [f"<geozarr.Pyramid {self._store.location}{f' /{self._group}' if self._group else ''}>"]
        lines.append(f"  {place}{f', {self.tms.id}' if self.tms else ''}")
        sizes = [f"{level.grid.height} x {level.grid.width}" for level in self._levels]
        names = [level.asset for level in self._levels]
        widest, longest = max(map(len, names)), max(map(len, sizes))
        for level, size in zip(self._levels, sizes, strict=True):
            cell = " x ".join(f"{side:.6g}" for side in dict.fromkeys(level.cell_size))
            lines.append(
                f"  {level.asset:<{widest}}  {size:>{longest}}  {cell} {self.crs.unit}  {', '.join(level.variables)}"
            )
        return "\n".join(line if line.isprintable() else line.encode("unicode_escape").decode() for line in lines)

    def level(self, name: str) -> PyramidLevel:
        """Return a level by its asset or its name, the last part of that.

        Raises
        ------
        UnknownNameError
            If there is none, or several have that name.
        """
        found = [level for level in self._levels if level.asset == name]
        found = found or [level for level in self._levels if level.name == name]
        if len(found) != 1:
            raise UnknownNameError("level", name, self._known.assets)
        return found[0]

    def level_for(self, resolution: float | tuple[float, float]) -> PyramidLevel:
        """Choose the level to read for a resolution: the coarsest whose cells are no larger, the finest where none is.

        So what is read has at least the detail that was asked for, and at most what the level below it would waste.
        A level whose cells are larger by a millionth counts as one of that resolution.

        Parameters
        ----------
        resolution : float, or tuple of (float, float)
            Sides of a cell along x and y, or both of them, in units of the CRS; above 0.

        Raises
        ------
        ParameterError
            If a side is not finite or not above 0.

        References
        ----------
        GDAL, gdalwarp `-ovr AUTO`, and `rio_tiler.utils.get_overview_level`: the coarsest overview that is not coarser
        than the target.
        """
        sides = _sides(resolution)
        fine = [level for level in self._levels if _is_as_fine(level.cell_size, sides)]
        return fine[-1] if fine else self._levels[0]

    def open_level(
        self,
        level: str | Level,
        *,
        mask_and_scale: bool = True,
        decode_times: bool = True,
        chunks: Mapping[str, int] | None = None,
    ) -> xr.Dataset:
        """Open a level with xarray, lazily: coordinates are read, pixels when they are asked for.

        Each array names the grid mapping, which is a coordinate; `import rioxarray` then finds CRS, transform and
        nodata under `.rio`.

        Parameters
        ----------
        level : str or Level
            Its asset or name, or one of `levels`.
        mask_and_scale : bool
            True: missing cells become NaN, and scale and offset are applied. False: values are those stored.
        decode_times : bool
            True: numbers since a date become times.
        chunks : mapping of str to int, optional
            Dask arrays with these chunks, `{}` for those stored; by default lazy arrays that need no Dask.

        Returns
        -------
        xarray.Dataset
            Arrays with their leading dimensions first, then rows and columns, in the order of the store.

        Raises
        ------
        UnknownNameError
            If there is no such level.
        StoreError
            If what the documents describe cannot be read.
        """
        from geozarr.datasets import Decoding  # noqa: PLC0415 - xarray takes its time to import

        chosen = self.level(level.asset if isinstance(level, Level) else level)
        return self._opened(chosen, Decoding(mask_and_scale, decode_times, chunks))

    def to_datatree(
        self,
        *,
        mask_and_scale: bool = True,
        decode_times: bool = True,
        chunks: Mapping[str, int] | None = None,
    ) -> xr.DataTree:
        """Open all levels with xarray, lazily.

        Parameters
        ----------
        mask_and_scale, decode_times, chunks : bool, bool, mapping of str to int
            As `open_level` has them.

        Returns
        -------
        xarray.DataTree
            A node for each level, finest first, under the path of its asset; the root has the attributes of the
            multiscale group.

        Raises
        ------
        StoreError
            If what the documents describe cannot be read.
        """
        import xarray as xr  # noqa: PLC0415 - takes its time to import

        from geozarr.datasets import Decoding  # noqa: PLC0415 - the same

        decoding = Decoding(mask_and_scale, decode_times, chunks)
        nodes = {f"/{level.asset}": self._opened(level, decoding) for level in self._levels}
        return xr.DataTree.from_dict({"/": xr.Dataset(attrs=self.attributes), **nodes})

    def _stored(self, level: Level) -> PyramidLevel:
        """Look up which arrays a level has, and hold their shapes against its grid."""
        document = self._tree.nodes.get(level.asset)
        kind = None if document is None else document.get("node_type")
        if kind not in ("group", "array"):
            node = f"/{join(self._group, level.asset)}"
            raise MetadataError(node, "node_type", found=kind, expected="a group or an array, as the layout says")
        group, own = _place(level.asset, is_array=kind == "array")
        arrays = self._tree.arrays(group)
        names = [own] if own else [name for name, found in arrays.items() if self._is_data(found)]
        for name in names:
            self._require_fit(level, arrays[name], f"/{join(self._group, group, name)}")
        return PyramidLevel(level.asset, level.grid, level.derived_from, level.limits, tuple(names))

    def _is_data(self, document: dict[str, Any]) -> bool:
        names = document.get("dimension_names")
        return isinstance(names, list) and all(dimension in names for dimension in self.dimensions)

    def _require_fit(self, level: Level, document: dict[str, Any], node: str) -> None:
        """Refuse an array whose cells are not those of its level's grid."""
        sizes = _sizes(document)
        found = tuple(sizes.get(dimension) for dimension in self.dimensions)
        if None in found:
            names = document.get("dimension_names")
            raise MetadataError(node, "dimension_names", found=names, expected=f"{self.dimensions} among them")
        if found != level.grid.shape:
            raise GridMismatchError(f"shape of {node}", found=found, expected=level.grid.shape)

    def _opened(self, level: PyramidLevel, decoding: Decoding) -> xr.Dataset:
        from geozarr import datasets  # noqa: PLC0415 - xarray takes its time to import
        from geozarr.zarr_view import TreeStore  # noqa: PLC0415 - the same of zarr

        is_array = self._tree.nodes[level.asset].get("node_type") == "array"
        group, own = _place(level.asset, is_array=is_array)
        sizes = dict(zip(self.dimensions, level.grid.shape, strict=True))
        nodes = {group: self._tree.nodes[group]}
        for name, document in self._tree.arrays(group).items():
            # Beside an array that is a level there are those of other levels; and what xarray would refuse.
            is_other = own not in ("", name) and self._is_data(document)
            if not is_other and _fits(document, sizes):
                nodes[join(group, name)] = document
        return datasets.open_level(
            TreeStore(self._store, Tree(nodes, is_consolidated=True), self._group),
            group,
            level.grid,
            dimensions=self.dimensions,
            data=level.variables,
            decoding=decoding,
        )


def open_pyramid(target: StoreLike, *, group: str = "") -> Pyramid:
    """Open a multiscale pyramid for reading; its documents are read, no pixel is.

    Parameters
    ----------
    target : str, Path, obstore store, Store or Target
        A folder, a zip file, a URL (`s3:`, `https:` ...), an address of an Icechunk repository, or an open store;
        as `geozarr.store.open_store`.
    group : str
        Path of the multiscale group, where that is not the root of the store.

    Returns
    -------
    Pyramid
        With `levels`, `level_for` a resolution, `open_level` and `to_datatree`.

    Raises
    ------
    MetadataError
        If there is no Zarr v3 group, or it is no pyramid of the multiscales convention v0.1 with the CRS of the levels,
        their shapes and transforms; it names what was found and what was expected.
    GridMismatchError, TileOutsideLimitsError, UnknownNameError, UnsupportedError
        If levels, tile matrices and arrays contradict each other, as `geozarr.levels.from_attributes` says; also
        `UnsupportedError` for a store that has to be listed and has no lists.
    LimitError
        If there are more nodes, or larger documents, than are read.
    StoreError
        If the store cannot be opened or fails.

    Examples
    --------
    >>> pyramid = geozarr.open_pyramid("scene.zarr")  # doctest: +SKIP
    >>> pyramid.open_level(pyramid.level_for(100))["red"].rio.reproject("EPSG:4326")  # doctest: +SKIP
    """
    store = store_module.open_store(target)
    return Pyramid(store, store_module.read_tree(store, group), group.strip("/"))


def _place(asset: str, *, is_array: bool) -> tuple[str, str]:
    """Group of a level, and the one array that is the level where it is no group."""
    if not is_array:
        return asset, ""
    group, _, name = asset.rpartition("/")
    return group, name


def _sizes(document: dict[str, Any]) -> dict[str, Any]:
    """Size along each named dimension of an array."""
    names, shape = document.get("dimension_names"), document.get("shape")
    return dict(zip(names, shape, strict=False)) if isinstance(names, list) and isinstance(shape, list) else {}


def _fits(document: dict[str, Any], wanted: dict[str, int]) -> bool:
    """Tell whether an array can stand in a dataset with such rows and columns."""
    sizes = _sizes(document)
    if None in sizes or (not sizes and document.get("shape") != []):
        return False
    return all(sizes.get(name, size) == size for name, size in wanted.items())


def _sides(resolution: float | tuple[float, float]) -> tuple[float, float]:
    sides = tuple(resolution) if isinstance(resolution, tuple | list) else (resolution, resolution)
    if len(sides) != 2 or not all(_is_length(side) for side in sides):
        expected = "a finite number above 0, or a pair of them for x and y"
        raise ParameterError("resolution", found=resolution, expected=expected)
    return float(sides[0]), float(sides[1])


def _is_length(side: object) -> bool:
    return isinstance(side, numbers.Real) and not isinstance(side, bool) and 0 < float(side) < math.inf


def _is_as_fine(cell_size: tuple[float, float], sides: tuple[float, float]) -> bool:
    return all(cell <= side * (1 + RESOLUTION_TOLERANCE) for cell, side in zip(cell_size, sides, strict=True))
