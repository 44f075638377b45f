"""Values of coordinate variables: the two ends and the middle.

A store may declare anything, so nothing is opened before its shape and chunk have been looked at: a chunk of at most
64 MiB. Codecs and layouts that are not read here are left alone. No fill value is made up.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from conformance import values
from conformance.arrays import ArrayReader
from geozarr.codecs import MAX_CHUNK
from geozarr.errors import ChunkReadError, GeoZarrError
from geozarr.stored_array import read_stored_array

if TYPE_CHECKING:
    import numpy as np

    from conformance.context import Context
    from conformance.tree import Node


def positions(size: int) -> tuple[int, ...]:
    """List the indices that are looked at: both ends and the middle, each once."""
    return tuple(dict.fromkeys((0, size // 2, size - 1))) if size else ()


def ends_and_middle(context: Context, variable: Node) -> tuple[float, ...] | None:
    """Read the values of a one-dimensional number array at `positions`.

    Returns
    -------
    tuple of float or None
        None where the array is none that is read here, or where a chunk of it cannot be decoded.
    """
    try:
        return read(context, variable)
    except ChunkReadError:
        return None


def read(context: Context, variable: Node) -> tuple[float, ...] | None:
    """Read as `ends_and_middle` does.

    Raises
    ------
    ChunkReadError
        If a chunk cannot be decoded.
    """
    shape = context.shape(variable)
    array = opened(context, variable) if shape is not None and len(shape) == 1 else None
    if array is None or shape is None:
        return None
    windows = [(range(index, index + 1),) for index in positions(shape[0])]
    try:
        if variable.document.get("fill_value") is None and not all(map(array.is_stored, windows)):
            return None
        found = [float(array.read(window)[0]) for window in windows]
    except GeoZarrError as error:
        raise ChunkReadError(variable.path, "0", f"cannot be decoded: {type(error).__name__}") from error
    return tuple(found)


def opened(context: Context, array: Node) -> ArrayReader | None:
    """Open an array; None where its document is not whole, says what is dangerous to obey, or what is not read here.

    What is malformed in it is found by the rules on documents, codecs and shards.
    """
    shape = context.shape(array)
    dtype = context.member(array, "data_type", values.dtype)
    if shape is None or dtype is None or not _is_readable(context, array, dtype):
        return None
    try:
        return ArrayReader(read_stored_array(array.document, array.path, shape, dtype), context.store)
    except GeoZarrError:
        return None


def _is_readable(context: Context, variable: Node, dtype: np.dtype[Any]) -> bool:
    """Tell whether a variable's own document is whole, and says nothing that is dangerous to obey."""
    chunk = context.member(variable, "chunk_grid", values.chunk_shape)
    if variable.fault or chunk is None:
        return False
    has_fill = context.member(variable, "fill_value", lambda value: values.fill_value(value, dtype)) is not None
    # Zarr v2 allows null, which leaves open what absent chunks hold. Stored ones can be judged all the same; of pixels
    # absent ones are 0, as they are to zarr-python 3 and xarray.
    if not has_fill and not (variable.version == 2 and variable.document.get("fill_value", ...) is None):
        return False
    return math.prod(chunk) * dtype.itemsize <= MAX_CHUNK
