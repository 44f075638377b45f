"""Which blocks of the finest level can hold data, told for whole subtrees at once.

A subtree is left out where the part of the source that it needs is empty by the source's index, or lies beside the
source. The part is estimated from a lattice of points with a margin that follows from how well the lattice describes
itself; where it does not (a pole, the antimeridian), the subtree is kept and its parts are asked.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from geozarr.window import Window
from pyramids import control

if TYPE_CHECKING:
    from pyramids.plan import Plan
    from pyramids.sources.blocks import Blocks

_POINTS = 17  # points of the lattice along a side, odd
_DOWN, _ALONG = np.meshgrid(np.linspace(0, 1, _POINTS), np.linspace(0, 1, _POINTS), indexing="ij")
_MARGIN = 8  # source pixels beside the error: kernels, and cells that lie askew
_ERRORS = 4.0  # times the measured error: points between the checked ones may be further off
_LOST = 0.25  # of the part's size: a lattice that describes itself no better says nothing


@dataclass(frozen=True)
class Reach:
    """Where a source can reach.

    Parameters
    ----------
    plan : Plan
        What to build.
    blocks : Blocks
        The source and its index.
    """

    plan: Plan
    blocks: Blocks

    def may_hold(self, window: Window) -> bool:
        """Tell whether a window of the finest level may hold data."""
        if window.is_empty:
            return False
        if self.plan.is_native:
            return self.blocks.may_hold(window)
        needed = self.needed(window)
        return needed is None or self.blocks.may_hold(needed.intersect(self.plan.source.grid.window))

    def needed(self, window: Window) -> Window | None:
        """Pixels around the part of the source that a window needs; None where that cannot be told."""
        rows, cols = window.row + window.height * _DOWN, window.col + window.width * _ALONG
        found_cols, found_rows = self.plan.mapping.exact(cols, rows)
        margin = 0.0
        for positions in (found_cols, found_rows):
            if not np.isfinite(positions).all():
                return None
            error = float(control.lattice_error(positions).max())
            if error > _LOST * (positions.max() - positions.min()) / _POINTS + 1.0:
                return None
            margin = max(margin, _ERRORS * error)
        margin += _MARGIN
        return Window.from_bounds(
            row_start=math.floor(found_rows.min() - margin),
            row_stop=math.ceil(found_rows.max() + margin),
            col_start=math.floor(found_cols.min() - margin),
            col_stop=math.ceil(found_cols.max() + margin),
        )
