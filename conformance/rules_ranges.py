"""Ranges that arrays state, beside their values (CF-24)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from conformance import lots, pixels, values
from conformance.report import Depth, Fault, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.pixels import Raster


def check_actual_range(context: Context) -> Iterator[Fault]:
    """Find arrays with values outside the range that they state, or that do not reach its ends."""
    pointer = ("attributes", "actual_range")
    for array in context.tree.arrays:
        stated = array.attributes.get("actual_range")
        if stated is None:
            continue
        ends = values.numbers(stated, count=2)
        if ends is None or ends[0] > ends[1]:
            yield Fault(array.path, pointer, "actual_range is malformed", stated, "the smallest and the largest value")
            continue
        raster = pixels.raster(context, array)
        seen = None if raster is None else _seen(context, raster)
        if raster is None or seen is None:
            continue
        slack = float(np.finfo(raster.dtype).eps if raster.dtype.kind == "f" else np.finfo(np.float32).eps)
        slack *= max(map(abs, (*ends, raster.offset)))
        low, high = seen
        if low < ends[0] - slack or high > ends[1] + slack:
            message = "there are values outside actual_range"
            yield Fault(array.path, pointer, message, list(ends), f"at least {low:.9g} to {high:.9g}")
        elif context.sample.is_all and (low > ends[0] + slack or high < ends[1] - slack):
            message = "no value is as small or as large as actual_range says"
            yield Fault(array.path, pointer, message, list(ends), f"{low:.9g} to {high:.9g}")


def _seen(context: Context, raster: Raster) -> tuple[float, float] | None:
    """Smallest and largest unpacked value of what is looked at; None where there is none, or not all is known."""
    low, high = np.inf, -np.inf
    for lead, window in lots.blocks(context, raster):
        cells = raster.read(context, window, lead)
        if not cells.known.all():
            return None
        found = cells.values[cells.valid].astype(np.float64) * raster.scale + raster.offset
        low, high = min(low, found.min(initial=np.inf)), max(high, found.max(initial=-np.inf))
    return (float(low), float(high)) if low <= high else None


RULES = (Rule("CF-24", "CF 2.5.1", "actual_range holds all values", check_actual_range, depth=Depth.PIXELS),)
