"""Block: values and their mask, what every read of a pyramid returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from geozarr.errors import GridMismatchError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Block:
    """Cells of some bands.

    Parameters
    ----------
    values : ndarray, shape (band, row, col)
        As stored (packed), of one data type. Cells that are not valid hold anything. May be a read-only view of what
        is cached.
    mask : ndarray of bool, shape (band, row, col)
        True where the cell is valid.

    Raises
    ------
    GridMismatchError
        If the shapes differ.
    """

    values: NDArray[Any]
    mask: NDArray[np.bool_]

    def __post_init__(self) -> None:
        if self.values.shape != self.mask.shape:
            raise GridMismatchError("shape of a mask", found=self.mask.shape, expected=self.values.shape)
