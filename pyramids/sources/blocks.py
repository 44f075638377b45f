"""Decoded source blocks: one LRU, bounded in bytes, in which each block is decoded once.

Native blocks (TIFF tiles and strips, Zarr chunks) are taken together to cells of a convenient size. A cell is decoded
by whoever needs it first, the others wait for it; when the bytes kept exceed the capacity, the cell that was used
longest ago is forgotten. Cells without data keep nothing but that fact.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from geozarr.window import Window
from pyramids import chunking
from pyramids.scratch import BufferPool
from pyramids.sources import damaged as damaged_module
from pyramids.sources.damaged import ERROR, Damage

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from numpy.typing import NDArray

    from pyramids.scratch import Scratch
    from pyramids.sources.source import Pixels, Slice, Source

CELL_PIXELS = 512 * 512  # at least: a call for less costs more than the pixels
WINDOWED = (512, 512)  # of a source that keeps its one large block itself


@dataclass(frozen=True)
class Piece:
    """Pixels of a window of the source.

    Parameters
    ----------
    window : Window
        Where they stand in the source.
    values : ndarray, shape (slice, row, col)
        C-contiguous.
    valid : ndarray of bool, shape (slice, row, col) or (1, row, col), or None
        None where all pixels hold data.
    alpha : ndarray of uint8, shape (row, col), or None
        Opacity, where the source has it.
    """

    window: Window
    values: NDArray[Any]
    valid: NDArray[np.bool_] | None
    alpha: NDArray[np.uint8] | None

    @property
    def nbytes(self) -> int:
        """Size of the arrays."""
        arrays = (self.values, self.valid, self.alpha)
        return chunking.CELL_OVERHEAD + sum(array.nbytes for array in arrays if array is not None)


class _Cell(NamedTuple):
    """What is kept of a cell: its pixels, None where none holds data, and what could not be read of it."""

    piece: Piece | None
    damaged: tuple[Damage, ...] = ()


def cell_shape(source: Source) -> tuple[int, int]:
    """Rows and columns of a cell: native blocks, as many as make `CELL_PIXELS`."""
    rows, cols = WINDOWED if source.resident_bytes else source.block_shape
    rows, cols = min(rows, source.grid.height), min(cols, source.grid.width)
    while rows * cols < CELL_PIXELS and (rows < source.grid.height or cols < source.grid.width):
        # Square cells overlap least with blocks that are walked in whatever order; strips are wide already.
        if (cols <= rows and cols < source.grid.width) or rows >= source.grid.height:
            cols *= 2
        else:
            rows *= 2
    return rows, cols


class CellCache:
    """Decoded cells, bounded in bytes, of one source or of several that share the bound. Safe to use from many threads.

    Parameters
    ----------
    capacity : int
        Bytes that may be kept. Each thread may hold one cell beyond it.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._cells: OrderedDict[Hashable, Future[_Cell]] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0  # bytes of the cells that are kept
        self.pool = BufferPool()
        self.decoded = 0  # cells decoded so far, those decoded again included
        self.seconds = 0.0  # CPU time of decoding, of all threads

    def holds(self, key: Hashable) -> bool:
        """Tell whether a cell is here, or on its way."""
        with self._lock:
            return key in self._cells

    def get(self, key: Hashable, decode: Callable[[], _Cell]) -> _Cell:
        """Return a cell, which is decoded by whoever asks for it first.

        Raises
        ------
        GeoZarrError
            As decoding does; who asks again has it decoded again.
        """
        with self._lock:
            entry = self._cells.get(key)
            is_mine = entry is None
            if entry is None:
                entry = self._cells[key] = Future()
            else:
                self._cells.move_to_end(key)
        if not is_mine:
            return entry.result()
        started = time.thread_time()
        try:
            cell = decode()
        except BaseException as error:
            entry.set_exception(error)  # first of all: others wait for it
            with self._lock:
                self._cells.pop(key, None)
            raise
        entry.set_result(cell)
        with self._lock:
            self.decoded += 1
            self.seconds += time.thread_time() - started
            self.size += _size(cell.piece)
            self._forget()
        return cell

    def _forget(self) -> None:
        """Drop what was used longest ago, until the rest fits; cells that are being decoded stay."""
        while self.size > self._capacity:
            key = next((key for key, entry in self._cells.items() if entry.done()), None)
            if key is None:
                return
            self.size -= _size(self._cells.pop(key).result().piece)

    def clear(self) -> None:
        """Forget all cells."""
        with self._lock:
            self._cells.clear()
            self.size = 0
        self.pool.clear()


class Cells:
    """Reads windows of a source through decoded cells that are kept. Safe to call from many threads.

    Parameters
    ----------
    source : Source
        What is read.
    cache : CellCache
        Where its cells are, maybe beside those of other sources.
    damaged : str
        What is done about a block that cannot be read: "error", or "nodata" to take it for missing.
    """

    def __init__(self, source: Source, cache: CellCache, *, damaged: str = ERROR) -> None:
        self._source = source
        self.cache = cache
        self._read = _read_all if damaged == ERROR else damaged_module.read
        self._cell = cell_shape(source)
        self._block = source.block_shape

    def _cells_of(self, window: Window) -> Iterator[tuple[int, int]]:
        rows, cols = self._cell
        for row in range(window.row // rows, -(-window.row_stop // rows)):
            for col in range(window.col // cols, -(-window.col_stop // cols)):
                yield row, col

    def may_hold(self, window: Window) -> bool:
        """Tell from the source's index whether a window may hold data; True where there is no index."""
        inside = window.intersect(self._source.grid.window)
        if inside.is_empty or self._covered is None:
            return not inside.is_empty
        rows, cols = self._block
        blocks = np.s_[
            inside.row // rows : -(-inside.row_stop // rows), inside.col // cols : -(-inside.col_stop // cols)
        ]
        return bool(self._covered[blocks].any())

    @cached_property
    def _covered(self) -> NDArray[np.bool_] | None:
        return self._source.coverage()

    def read(
        self, window: Window, slices: Sequence[Slice], scratch: Scratch, damaged: set[Damage] | None = None
    ) -> Piece | None:
        """Read slices in a window of the source.

        Parameters
        ----------
        window : Window
            Inside the source.
        slices : tuple of Slice
            As for `Source.read`; cells are kept of the very same slices in that order.
        scratch : Scratch
            Holds the pixels where they come from several cells, until the next call.
        damaged : set of Damage, optional
            Is told what could not be read and was taken for missing.

        Returns
        -------
        Piece or None
            Of the window or of a larger one around it; None where no pixel of any slice holds data.

        Raises
        ------
        ChunkReadError
            If the source cannot be read, and damage is an error.
        """
        if not self.may_hold(window):
            return None
        parts = [self._get(row, col, slices) for row, col in self._cells_of(window)]
        if damaged is not None:
            damaged.update(*(part.damaged for part in parts))
        found = [part.piece for part in parts if part.piece is not None]
        if len(found) == len(parts) == 1:
            return found[0]
        return _joined(found, window, scratch, is_whole=len(found) == len(parts)) if found else None

    def _key(self, row: int, col: int, slices: Sequence[Slice]) -> Hashable:
        return self, slices, row, col

    def _get(self, row: int, col: int, slices: Sequence[Slice]) -> _Cell:
        return self.cache.get(self._key(row, col, slices), lambda: self._decode(row, col, slices))

    def _decode(self, row: int, col: int, slices: Sequence[Slice]) -> _Cell:
        rows, cols = self._cell
        window = Window(row * rows, col * cols, rows, cols).intersect(self._source.grid.window)
        if not self.may_hold(window):
            return _Cell(None)
        dtype = self._source.variables[slices[0].variable].dtype
        memory = self.cache.pool.array((len(slices), *window.shape), dtype)
        pixels, damaged = self._read(self._source, window, slices, memory)
        count = np.count_nonzero(pixels.valid)
        if count == 0:
            return _Cell(None, damaged)
        valid = None if count == pixels.valid.size else np.ascontiguousarray(pixels.valid)
        return _Cell(Piece(window, np.ascontiguousarray(pixels.values), valid, pixels.alpha), damaged)


class Blocks(Cells):
    """Reads windows of a source through decoded cells of its own, and ahead.

    Parameters
    ----------
    source, damaged
        As for `Cells`.
    capacity : int
        As for `CellCache`.
    readers : int
        Threads that read ahead.
    """

    def __init__(self, source: Source, *, capacity: int, readers: int = 1, damaged: str = ERROR) -> None:
        super().__init__(source, CellCache(capacity), damaged=damaged)
        self._is_closed = False
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="reader")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Stop reading ahead, and forget all cells."""
        self._is_closed = True
        self._readers.shutdown(wait=True, cancel_futures=True)
        self.cache.clear()

    @property
    def decoded(self) -> int:
        """Cells decoded so far, those decoded again included."""
        return self.cache.decoded

    @property
    def seconds(self) -> float:
        """CPU time of decoding, of all threads."""
        return self.cache.seconds

    def prefetch(self, window: Window, slices: Sequence[Slice]) -> None:
        """Have the cells of a window decoded by other threads, for a `read` that will come soon."""
        for row, col in self._cells_of(window):
            if not self.cache.holds(self._key(row, col, slices)) and not self._is_closed:
                with contextlib.suppress(RuntimeError):  # closed meanwhile
                    self._readers.submit(self._get, row, col, slices)


def _read_all(
    source: Source, window: Window, slices: Sequence[Slice], out: NDArray[Any]
) -> tuple[Pixels, tuple[Damage, ...]]:
    return source.read(window, slices, out=out), ()


def _size(piece: Piece | None) -> int:
    return chunking.CELL_OVERHEAD if piece is None else piece.nbytes


def _joined(parts: list[Piece], window: Window, scratch: Scratch, *, is_whole: bool) -> Piece:
    """Copy the pixels of cells into one window; what no cell holds is not valid."""
    count = parts[0].values.shape[0]
    values = scratch.array("source values", (count, *window.shape), parts[0].values.dtype)
    has_mask = not is_whole or any(part.valid is not None for part in parts)
    masks = max(part.valid.shape[0] if part.valid is not None else 1 for part in parts)
    valid = scratch.array("source mask", (masks, *window.shape), np.bool_) if has_mask else None
    has_alpha = any(part.alpha is not None for part in parts)
    alpha = scratch.array("source alpha", window.shape, np.uint8) if has_alpha else None
    if not is_whole:
        values.fill(0)
        if valid is not None:
            valid.fill(False)
        if alpha is not None:
            alpha.fill(0)
    for part in parts:
        inside = part.window.intersect(window)
        here, there = inside.relative_to(window).slices, inside.relative_to(part.window).slices
        values[(slice(None), *here)] = part.values[(slice(None), *there)]
        if valid is not None:
            valid[(slice(None), *here)] = True if part.valid is None else part.valid[(slice(None), *there)]
        if alpha is not None:
            alpha[here] = 0 if part.alpha is None else part.alpha[there]
    return Piece(window, values, valid, alpha)
