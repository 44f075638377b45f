"""Source over a Zarr store: described by xarray, its pixels decoded straight from the stored objects.

xarray knows what the variables, coordinates and CRS are; its way to the pixels leads through an event loop and several
copies. So chunks of Zarr v3 arrays with common codecs are read here: one range of a file, decoded on the calling thread
into the values that are handed out, or copied there once. Anything else (Zarr v2, other codecs, other chunk grids, a
transposed array) is read through xarray, variable by variable.
"""

from __future__ import annotations

import itertools
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyramids.sources.array import ArraySource, Reading
from pyramids.sources.source import Pixels, largest_block, valid_where
from pyramids.sources.zarr_chunks import Target, open_chunks
from pyramids.sources.zarr_groups import open_dataset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from geozarr import Window
    from pyramids.placement import AnyGrid
    from pyramids.sources.quirk import Quirk
    from pyramids.sources.source import Slice, SourceVariable


class ZarrSource:
    """Variables of a Zarr store that lie on one grid.

    Parameters
    ----------
    path : str or Path
        Folder of a group, a zip file, a URL, the address of an Icechunk repository, or kerchunk references in JSON.
    group : str
        Path of a group in it. Of a pyramid the finest level is taken.
    variables : sequence of str, optional
        Which variables; all on the grid by default.
    nodata : float or "none", optional
        Short for `reading` with that nodata.
    reading : Reading, optional
        What the user states.
    name : str, optional
        What it is called in messages and plans; by default its path.

    Raises
    ------
    StoreError
        If it cannot be opened.
    MetadataError, UnsupportedError, UnknownNameError
        As `ArraySource`.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        group: str = "",
        variables: Sequence[str] | None = None,
        nodata: float | str | None = None,
        reading: Reading | None = None,
        name: str | None = None,
    ) -> None:
        reading = reading or Reading(nodata=nodata)
        self._opened_by = (str(path), group, variables, reading)
        found, inner, self._mended = open_dataset(path, group=group)
        self._name = name or (f"{path}/{inner}" if inner else str(path))
        described = ArraySource(found, variables=variables, reading=reading, name=self._name)
        self._described = described
        folder = Path(path) / inner
        self._arrays = tuple(
            open_chunks(folder, variable, described.stored_shape(index)) if described.is_stored(index) else None
            for index, variable in enumerate(described.variables)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the store itself, and may be at home in another folder.
        path, group, variables, reading = self._opened_by
        there = str(Path(path).absolute()) if Path(path).exists() else path
        opened_again = partial(ZarrSource, group=group, variables=variables, reading=reading, name=self._name)
        return opened_again, (there,)

    @property
    def name(self) -> str:
        """Path of the store."""
        return self._described.name

    @property
    def grid(self) -> AnyGrid:
        """The shared grid."""
        return self._described.grid

    @property
    def dimensions(self) -> tuple[str, str]:
        """Names of rows and columns; see `Source.dimensions`."""
        return self._described.dimensions

    @property
    def quirks(self) -> tuple[Quirk, ...]:
        """What was groomed."""
        return (*self._mended, *self._described.quirks)

    @property
    def variables(self) -> tuple[SourceVariable, ...]:
        """The variables chosen."""
        return self._described.variables

    @property
    def has_alpha(self) -> bool:
        """Always False: nodata values only."""
        return False

    @property
    def fingerprint(self) -> str:
        """A hash of the metadata."""
        return self._described.fingerprint

    @property
    def is_direct(self) -> tuple[bool, ...]:
        """For each variable, whether its chunks are decoded here and not through xarray."""
        return tuple(array is not None for array in self._arrays)

    @property
    def block_shape(self) -> tuple[int, int]:
        """Rows and columns of a chunk; of the chunk inside, where arrays have shards."""
        pairs = zip(self._arrays, self._described.block_shapes, strict=True)
        return largest_block([shape if array is None else array.block_shape for array, shape in pairs])

    @property
    def resident_bytes(self) -> int:
        """0: shard indexes are kept, which are small, but no pixels."""
        return 0

    def coverage(self) -> NDArray[np.bool_] | None:
        """List the chunks that are stored; see `Source.coverage`.

        None where a variable is not read directly, or where its fill value is data.
        """
        found: NDArray[np.bool_] | None = None
        for array, variable in zip(self._arrays, self.variables, strict=True):
            if array is None or valid_where(np.atleast_1d(array.fill), variable.nodata).any():
                return None
            covered = _in_blocks(array.coverage(), array.block_shape, self.block_shape, self.grid.shape)
            found = covered if found is None else found | covered
        return found

    def read(self, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None) -> Pixels:
        """Read slices; see `Source.read`. A chunk that holds several of them is decoded once."""
        dtype = self.variables[slices[0].variable].dtype
        values = np.empty((len(slices), *window.shape), dtype) if out is None else out
        for variable, group in itertools.groupby(enumerate(slices), key=lambda pair: pair[1].variable):
            array = self._arrays[variable]
            if array is None:
                for index, wanted in group:
                    values[index] = self._described.read_one(window, wanted)
                continue
            array.read(window, [Target(self._described.place(wanted), values[index]) for index, wanted in group])
        return Pixels(values, self._described.valid(values, slices))


def open_zarr(
    path: str | Path,
    *,
    group: str = "",
    variables: Sequence[str] | None = None,
    nodata: float | str | None = None,
    reading: Reading | None = None,
) -> ZarrSource:
    """Open a Zarr store, lazily and packed, as a source; arguments and errors as `ZarrSource`."""
    return ZarrSource(path, group=group, variables=variables, nodata=nodata, reading=reading)


def _in_blocks(
    covered: NDArray[np.bool_], chunk: tuple[int, int], block: tuple[int, int], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Tell which blocks meet a chunk that is covered.

    Parameters
    ----------
    covered : ndarray of bool, shape (rows of chunks, columns of chunks)
        Which chunks are.
    chunk, block, shape : tuple of (int, int)
        Rows and columns of a chunk, of a block, and of the grid.

    Returns
    -------
    ndarray of bool, shape (rows of blocks, columns of blocks)
    """
    if chunk == block:
        return covered
    sums = np.zeros((covered.shape[0] + 1, covered.shape[1] + 1), np.int64)
    sums[1:, 1:] = covered.cumsum(axis=0).cumsum(axis=1)
    (tops, bottoms), (lefts, rights) = (
        _reach(size, chunk_side, block_side) for size, chunk_side, block_side in zip(shape, chunk, block, strict=True)
    )
    found = sums[np.ix_(bottoms, rights)] - sums[np.ix_(tops, rights)]
    found += sums[np.ix_(tops, lefts)] - sums[np.ix_(bottoms, lefts)]
    return np.asarray(found > 0)


def _reach(size: int, chunk: int, block: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First chunk that each block meets along an axis, and the one after the last."""
    starts = np.arange(0, size, block)
    stops = np.minimum(starts + block, size)
    return starts // chunk, -(-stops // chunk)
