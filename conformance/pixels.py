"""Pixels of arrays: windows of values, and which of them are valid.

Whatever a document declares, an array is opened only where its chunks are small and coded by codecs of a fixed list.
Objects of which something has been found already are left out: their cells are unknown.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import samples, values
from geozarr.errors import GeoZarrError
from geozarr.store import join
from geozarr.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from conformance.arrays import ArrayReader
    from conformance.context import Context
    from conformance.tree import Node


@dataclass(frozen=True)
class Cells:
    """A window of a raster.

    Parameters
    ----------
    values : ndarray, shape (row, col)
        As stored. What is not known or lies outside is anything.
    valid : ndarray of bool, shape (row, col)
        True where there is data.
    known : ndarray of bool, shape (row, col)
        False where an object that holds the cell is damaged. What lies outside of the raster is known not to be valid.
    """

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    known: NDArray[np.bool_]


@dataclass(frozen=True)
class Raster:
    """An array whose pixels can be read.

    Parameters
    ----------
    node : Node
        The array.
    array : ArrayReader
        To read it by.
    axes : tuple of (int, int)
        Positions of the row and the column axis.
    missing : tuple of scalar
        Stored values that mean "no data"; NaN does on floats without being named.
    scale, offset : float
        What unpacks stored values.
    mask : Raster or None
        0 where there is no data.
    """

    node: Node
    array: ArrayReader
    axes: tuple[int, int]
    missing: tuple[Any, ...]
    scale: float = 1.0
    offset: float = 0.0
    mask: Raster | None = None
    _unreadable: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of what is stored."""
        return self.array.dtype

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.array.shape[self.axes[0]], self.array.shape[self.axes[1]]

    @property
    def chunk(self) -> tuple[int, int]:
        """Rows and columns of a chunk."""
        return self.array.chunks[self.axes[0]], self.array.chunks[self.axes[1]]

    @property
    def lead(self) -> tuple[int, ...]:
        """Sizes of the other axes, in their order."""
        return tuple(size for axis, size in enumerate(self.array.shape) if axis not in self.axes)

    @property
    def unreadable(self) -> dict[str, str]:
        """Chunks that could not be read so far, and why."""
        return {key.removeprefix(f"{self.node.path}/"): why for key, why in self._unreadable.items()}

    def read(self, context: Context, window: Window, lead: tuple[int, ...]) -> Cells:
        """Read a window, which may reach beyond the raster.

        Parameters
        ----------
        context : Context
            What has been found so far.
        window : Window
            Rows and columns.
        lead : tuple of int
            Index along each of the other axes.
        """
        stored = np.zeros(window.shape, self.dtype)
        known = np.ones(window.shape, bool)
        inside = np.zeros(window.shape, bool)
        within = window.intersect(Window(0, 0, *self.shape))
        inside[within.relative_to(window).slices] = True
        for part, found in self._parts(context, within, lead):
            place = part.relative_to(window).slices
            known[place] = found is not None
            if found is not None:
                stored[place] = found
        valid = inside & known
        for value in self.missing:
            valid &= stored != value
        if stored.dtype.kind == "f":
            valid &= ~np.isnan(stored)
        if self.mask is not None:
            mask = self.mask.read(context, window, lead if len(self.mask.lead) == len(lead) else ())
            valid, known = mask.valid & inside & (mask.values != 0), known & mask.known
        return Cells(stored, valid & known, known)

    def _parts(
        self, context: Context, window: Window, lead: tuple[int, ...]
    ) -> list[tuple[Window, NDArray[Any] | None]]:
        """Read a window: whole where it can be, else object by object; None for what a damaged one holds."""
        if window.is_empty:
            return []
        objects = list(self._objects(window, lead))
        if not any(self._is_damaged(context, index) for index, _ in objects):
            try:
                return [(window, self._values(window, lead))]
            except GeoZarrError:
                pass  # one of them is: which, is found below
        parts: list[tuple[Window, NDArray[Any] | None]] = []
        for index, part in objects:
            found = None
            if not self._is_damaged(context, index):
                try:
                    found = self._values(part, lead)
                except GeoZarrError as error:
                    self._unreadable[self.array.key(index)] = type(error).__name__
            parts.append((part, found))
        return parts

    def _objects(self, window: Window, lead: tuple[int, ...]) -> Iterator[tuple[tuple[int, ...], Window]]:
        """List the stored objects that a window meets, each with the part of the window that lies in it."""
        sides = self.array.objects
        height, width = sides[self.axes[0]], sides[self.axes[1]]
        others = iter(lead)
        index = [0 if axis in self.axes else next(others) // side for axis, side in enumerate(sides)]
        rows = range(window.row // height, -(-window.row_stop // height))
        cols = range(window.col // width, -(-window.col_stop // width))
        for row, col in itertools.product(rows, cols):
            index[self.axes[0]], index[self.axes[1]] = row, col
            yield tuple(index), window.intersect(Window(row * height, col * width, height, width))

    def _is_damaged(self, context: Context, index: tuple[int, ...]) -> bool:
        key = self.array.key(index)
        return key in self._unreadable or context.has_findings(key, "GP")

    def _values(self, window: Window, lead: tuple[int, ...]) -> NDArray[Any]:
        others = iter(lead)
        place = [range(0) if axis in self.axes else _one(next(others)) for axis in range(len(self.array.shape))]
        place[self.axes[0]] = range(window.row, window.row_stop)
        place[self.axes[1]] = range(window.col, window.col_stop)
        found = self.array.read(tuple(place)).squeeze(tuple(set(range(len(place))) - set(self.axes)))
        return found if self.axes[0] < self.axes[1] else found.T


def _one(index: int) -> range:
    return range(index, index + 1)


def raster(context: Context, node: Node) -> Raster | None:
    """Open an array to read its pixels, with the variable that masks it; None where it is none that is read here."""
    found = _opened(context, node)
    mask = None if found is None else _mask_of(context, node)
    return found if found is None or mask is None else replace(found, missing=(), mask=mask)


def _opened(context: Context, node: Node) -> Raster | None:
    dtype = context.member(node, "data_type", values.dtype)
    shape, axes = context.shape(node), _axes(context, node)
    if dtype is None or axes is None or shape is None or 0 in shape:
        return None
    array = samples.opened(context, node)
    if array is None:
        return None
    stated = context.missing(node, dtype)
    return Raster(
        node,
        array,
        axes=axes,
        missing=() if stated is None else (stated,),
        scale=context.attribute(node, "scale_factor", values.number) or 1.0,
        offset=context.attribute(node, "add_offset", values.number) or 0.0,
    )


def _axes(context: Context, node: Node) -> tuple[int, int] | None:
    """Positions of the row and the column axis: as stated, else the last two of a raster."""
    dimensions, names = context.spatial_dimensions(node), context.dimension_names(node)
    if dimensions is not None and names is not None:
        return names.index(dimensions[0]), names.index(dimensions[1])
    rank = len(context.shape(node) or ())
    return (rank - 2, rank - 1) if context.rasters([node]) else None


def _mask_of(context: Context, node: Node) -> Raster | None:
    """Open the variable that an array names to say where it has data."""
    stated = context.attribute(node, "ancillary_variables", values.text) or ""
    for name in stated.split():
        other = context.tree.nodes.get(join(node.parent, name))
        if other is not None and other.attributes.get("color_interpretation") == "alpha":
            return _opened(context, other)
    return None
