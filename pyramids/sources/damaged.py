"""Reads what can be read of a source that is damaged; the rest is taken for missing, and told.

A window that cannot be read is read again block by block, and a block that cannot be read slice by slice, so that one
damaged block costs no pixel beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from geozarr.errors import ChunkReadError
from pyramids.sources.source import Pixels

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from geozarr.window import Window
    from pyramids.sources.source import Slice, Source

ERROR, NODATA = "error", "nodata"
CHOICES = (ERROR, NODATA)  # what is done about a block that cannot be read


class Damage(NamedTuple):
    """A block of a source that cannot be read.

    Parameters
    ----------
    array : str
        Name of the source, or path of the array.
    chunk : str
        The chunk's key, or the window; as in `ChunkReadError`.
    """

    array: str
    chunk: str


def read(
    source: Source, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None = None
) -> tuple[Pixels, tuple[Damage, ...]]:
    """Read slices of a window, without the blocks that cannot be read.

    Integers without a nodata value share one mask, `alpha`, which cannot tell that one of them is missing: where a
    block of one is damaged, all slices are taken for missing.

    Parameters
    ----------
    source, window, slices, out
        As for `Source.read`.

    Returns
    -------
    Pixels
        Values of what could be read, not valid elsewhere.
    tuple of Damage
        What could not be read.

    Raises
    ------
    GeoZarrError
        As `Source.read`, but for `ChunkReadError`.
    """
    try:
        return source.read(window, slices, out=out), ()
    except ChunkReadError:
        return _in_parts(source, window, slices, out)


def _in_parts(
    source: Source, window: Window, slices: Sequence[Slice], out: NDArray[Any] | None
) -> tuple[Pixels, tuple[Damage, ...]]:
    dtype = source.variables[slices[0].variable].dtype
    shape = (len(slices), *window.shape)
    values = np.empty(shape, dtype) if out is None else out
    values.fill(0)
    valid = np.zeros(shape, np.bool_)
    alpha = np.zeros(window.shape, np.uint8) if source.has_alpha else None
    damaged: list[Damage] = []
    for block in window.split(height=source.block_shape[0], width=source.block_shape[1]):
        place = block.relative_to(window).slices
        for numbers, found in _found(source, block, slices, damaged):
            for index, number in enumerate(numbers):
                values[(number, *place)] = found.values[index]
                valid[(number, *place)] = found.valid[min(index, len(found.valid) - 1)]
            if alpha is not None and found.alpha is not None:
                alpha[place] = found.alpha
    return Pixels(values, valid, alpha), tuple(damaged)


def _found(
    source: Source, block: Window, slices: Sequence[Slice], damaged: list[Damage]
) -> Iterator[tuple[range, Pixels]]:
    """Read one block, all slices together if that can be done; yield which were read, note what was not."""
    try:
        whole = source.read(block, slices)
    except ChunkReadError as error:
        if len(slices) == 1 or _share_a_mask(source, slices):
            damaged.append(Damage(error.array, error.chunk))
            return
    else:
        yield range(len(slices)), whole
        return
    for number, wanted in enumerate(slices):
        try:
            found = source.read(block, [wanted])
        except ChunkReadError as error:
            damaged.append(Damage(error.array, error.chunk))
        else:
            yield range(number, number + 1), found


def _share_a_mask(source: Source, slices: Sequence[Slice]) -> bool:
    variables = [source.variables[wanted.variable] for wanted in slices]
    return any(variable.nodata is None and variable.dtype.kind != "f" for variable in variables)
