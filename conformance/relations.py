"""How the cells of a level lie on those of a finer one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from affine import Affine

from conformance import rules_ratios, sites
from geozarr.window import Window

if TYPE_CHECKING:
    from conformance import values
    from conformance.context import Context
    from conformance.layouts import Level

_WHOLE = 1e-4  # cells: how far a corner of a level may be from a corner of a finer cell


@dataclass(frozen=True)
class Relation:
    """How the cells of a level lie on those of a finer one; every pair is rows, then columns.

    Parameters
    ----------
    asset : str
        The finer level.
    factor : tuple of (int, int)
        Finer cells along the sides of a coarse one.
    offset : tuple of (int, int)
        Finer row and column at which the first coarse cell begins; below 0 where it begins before the finer level.
    """

    asset: str
    factor: tuple[int, int]
    offset: tuple[int, int]

    def footprint(self, window: Window) -> Window:
        """Finer cells of a window of coarse ones."""
        (rows, cols), (row, col) = self.factor, self.offset
        return Window(window.row * rows + row, window.col * cols + col, window.height * rows, window.width * cols)


def relation_between(context: Context, level: Level, other: Level) -> Relation | None:
    """Tell how a level lies on another: by their transforms, else by their sizes; None where cells do not fit."""
    by_level = sites.of_levels(context, level.pyramid)
    here, there = (by_level.get(found.item.index) for found in (level, other))
    if here is None or there is None:
        return None
    known, finer = sites.transform(context, here), sites.transform(context, there)
    if known is not None and finer is not None:
        return relation_of(known.value, finer.value, other.asset)
    sizes, of_finer = sites.shape(context, here), sites.shape(context, there)
    if sizes is None or of_finer is None or min(sizes) < 1:
        return None
    rows, cols = (round(n / m) for n, m in zip(of_finer, sizes, strict=True))
    fits = rows >= 1 and cols >= 1 and rules_ratios.fits((rows, cols), sizes, of_finer)
    return Relation(other.asset, (rows, cols), (0, 0)) if fits else None


def relation_of(level: values.Transform, finer: values.Transform, asset: str) -> Relation | None:
    """Tell how cells of a level lie on finer ones; None where they are no whole number of them."""
    both = ~Affine(*finer) * Affine(*level)
    numbers = (both.e, both.a, both.f, both.c)
    whole = [round(number) for number in numbers]
    if max(abs(both.b), abs(both.d), *(abs(n - w) for n, w in zip(numbers, whole, strict=True))) > _WHOLE:
        return None
    return Relation(asset, (whole[0], whole[1]), (whole[2], whole[3])) if min(whole[:2]) >= 1 else None
