"""Pixel truth: cells of coarser levels, derived anew from the level that they derive from (XC-12).

Builders derive a level in one of two ways, both of which the text of `derived_from` allows: from the stored cells of
its source, rounded as they are, or from the finest level, where nothing has been rounded yet. Without a `_FillValue`
some take `fill_value` for missing and some do not. A level is right if all that is looked at agrees with one reading.
The derivation is that of `reference.py`, which knows nothing of any builder.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from conformance import entries, layouts, lots, methods, pixels, reference, rules_ratios, values
from conformance.rederive import compare
from conformance.relations import relation_between
from conformance.report import Depth, Fault, Rule, Severity
from geozarr.store import join
from geozarr.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from conformance.context import Context
    from conformance.layouts import Level
    from conformance.lots import Block
    from conformance.pixels import Raster
    from conformance.relations import Relation
    from conformance.tree import Node

# What of an array's document is needed to read its cells.
_READ_BY = (
    ("shape",),
    ("data_type",),
    ("chunk_grid",),
    ("codecs",),
    ("dimension_names",),
    ("attributes", "_FillValue"),
)


@dataclass(frozen=True)
class Reading:
    """One way in which a level may have been derived.

    Parameters
    ----------
    coarse, fine : Raster
        An array of the level and that of the finer one.
    relation : Relation
        Of both.
    method : str
        By which.
    at : int
        For `nearest`, the position of the sample in its window; -1 is the centre.
    """

    coarse: Raster
    fine: Raster
    relation: Relation
    method: str
    at: int = -1


@dataclass(frozen=True)
class Tally:
    """What a reading makes of all that has been looked at.

    Parameters
    ----------
    compared, wrong, ties : int
        Cells.
    first : tuple of (tuple of int, float, float) or None
        Of what is wrong: row and column, value found, value expected; NaN for "no data".
    blocks : tuple of Block
        Those with something wrong.
    """

    compared: int = 0
    wrong: int = 0
    ties: int = 0
    first: tuple[tuple[int, int], float, float] | None = None
    blocks: tuple[Block, ...] = ()


def check_derivation(context: Context) -> Iterator[Fault]:
    """Find levels whose cells are not what the method makes of the level that they derive from."""
    told: set[tuple[str, str]] = set()
    for pyramid in context.pyramids:
        levels = {level.asset: level for level in layouts.levels(context, pyramid)}
        late = entries.late(context, pyramid)
        for level in levels.values():
            whole = _chain(context, level, levels)
            for array in level.arrays.values():
                chain = _from_first(whole, array.name, late.get(array.name))
                if len(chain) == 1:
                    continue
                coarse = pixels.raster(context, array)
                if coarse is not None:
                    yield from _check_array(context, level, chain, coarse, told)
                elif context.rasters([array]) and not context.has_findings(array.path, ""):
                    yield _untold(array, "its chunks are too large, or of codecs or a data type that are not read here")


def _chain(context: Context, level: Level, levels: dict[str, Level]) -> list[Level]:
    """List a level, the one that it derives from, and so on, up to the one that derives from none."""
    found = [level]
    while (source := levels.get(rules_ratios.source_of(context, found[-1]) or "")) is not None and source not in found:
        found.append(source)
    return found


def _from_first(chain: list[Level], name: str, first: Level | None) -> list[Level]:
    """Cut a chain to the levels that have a variable, which begins at `first` where the finest level lacks it."""
    if first is None:
        return chain
    held = [level for level in chain if name in level.names]
    # Where none that the level derives from has it, it can only be made of its first.
    return held if len(held) > 1 or first is held[0] else [*held, first]


def _check_array(
    context: Context, level: Level, chain: list[Level], coarse: Raster, told: set[tuple[str, str]]
) -> Iterator[Fault]:
    array = coarse.node
    known = methods.effective(context, level, array)
    stated = None if known is None else known.method
    if stated is not None and stated not in reference.METHODS:
        yield _untold(array, f"no rule knows {stated!r}")
        return
    if stated == "sum" and coarse.offset:
        yield _untold(array, "a sum of values that are packed with an offset is no sum of what is stored")
        return
    sources = {other.asset: other for other in (chain[-1], chain[1])}  # often one and the same
    finer = [found for other in sources.values() if (found := _finer(context, level, other, coarse)) is not None]
    # What is wrong with a source may be why its cells are not read, or read otherwise.
    relied = tuple((_path_in(other, array.name), part) for other in sources.values() for part in _READ_BY)
    if not finer:
        yield replace(_untold(array, "its cells are no whole number of cells that can be read"), relies=relied)
        return
    readings = [
        Reading(replace(coarse, missing=missing), replace(fine, missing=missing), relation, method, at)
        for fine, relation in finer
        for missing in _missing(context, coarse)
        for method in ([_of_stored(stated, coarse)] if stated is not None else _methods(coarse.dtype))
        for at in (_centres(relation.factor) if method == "nearest" else (-1,))
    ]
    blocks = lots.blocks(context, coarse, max(max(relation.factor) for _, relation in finer))
    best: tuple[Reading, Tally] | None = None
    for reading in readings:
        tally = _tally(context, reading, blocks)
        if best is None or tally.wrong < best[1].wrong:
            best = reading, tally
        if not tally.wrong:
            break
    assert best is not None, "there is a reading"
    context.counts.update(cells=best[1].compared, ties=best[1].ties)
    for raster in (coarse, *(fine for fine, _ in finer)):
        yield from _unreadable(raster, told)
    if best[1].wrong:
        fault = _fault(context, level, stated, *best)
        yield replace(fault, relies=(*fault.relies, *relied))


def _path_in(level: Level, name: str) -> str:
    """Path of a variable in a level, whether it is there or not."""
    return level.node.path if level.node.is_array else join(level.node.path, name)


def _finer(context: Context, level: Level, other: Level, coarse: Raster) -> tuple[Raster, Relation] | None:
    """Open the array of a finer level that one of a level derives from, where cells lie on cells."""
    arrays = other.arrays
    node = arrays.get(coarse.node.name) or (next(iter(arrays.values())) if other.node.is_array else None)
    relation = relation_between(context, level, other)
    if node is None or relation is None or max(relation.factor) > lots.MOST:
        return None
    fine = pixels.raster(context, node)
    return None if fine is None or fine.lead != coarse.lead or fine.dtype != coarse.dtype else (fine, relation)


def _missing(context: Context, coarse: Raster) -> list[tuple[Any, ...]]:
    """List what may mean "no data": what the array states, else nothing, else its fill value."""
    if coarse.missing or coarse.mask is not None:
        return [coarse.missing]
    fill = context.member(coarse.node, "fill_value", partial(values.fill_value, of=coarse.dtype))
    is_number = fill is not None and fill == fill  # noqa: PLR0124 - NaN is missing without being named
    return [(), (fill,)] if is_number else [()]


def _of_stored(method: str, raster: Raster) -> str:
    """Name what a method does to stored values: they are in the opposite order if the scale is below 0."""
    return {"min": "max", "max": "min"}.get(method, method) if raster.scale < 0 else method


def _methods(dtype: np.dtype[Any]) -> list[str]:
    return [method for method in reference.METHODS if method != "bit-or" or dtype.kind in "iub"]


def _centres(factor: tuple[int, int]) -> list[int]:
    """List which cells of a window `nearest` may take: the one of `reference.py`, then those nearest to the centre.

    The first of these is that of `reference.py`, but for windows that reach beyond the edge.
    """
    rows, cols = (dict.fromkeys((side // 2, (side - 1) // 2)) for side in factor)
    return [-1, *(row * factor[1] + col for row, col in itertools.product(rows, cols))]


def _tally(context: Context, reading: Reading, blocks: Sequence[Block]) -> Tally:
    """Compare all that is looked at."""
    total = Tally()
    for block in blocks:
        lead, window = block
        here = reading.coarse.read(context, window, lead)
        there = reading.fine.read(context, _within(reading, window), lead)
        verdict = compare(
            here, there, reading.relation.factor, reading.method, missing=reading.coarse.missing, at=reading.at
        )
        first, is_wrong = total.first, bool(verdict.wrong.any())
        if first is None and is_wrong:
            row, col = (int(axis[0]) for axis in np.nonzero(verdict.wrong))
            found = float(here.values[row, col]) if here.valid[row, col] else np.nan
            first = (window.row + row, window.col + col), found, float(verdict.expected[row, col])
        total = Tally(
            total.compared + int(verdict.compared.sum()),
            total.wrong + int(verdict.wrong.sum()),
            total.ties + int(verdict.tied.sum()),
            first,
            (*total.blocks, block) if is_wrong else total.blocks,
        )
    return total


def _within(reading: Reading, window: Window) -> Window:
    """Footprint of a window, without what the last of its cells have beyond the end of the finer level."""
    found, factor = reading.relation.footprint(window), reading.relation.factor
    sides = []
    for start, size, end, step in zip((found.row, found.col), found.shape, reading.fine.shape, factor, strict=True):
        kept = min(size, end - start)
        sides.append(kept if -(-kept // step) == size // step else size)
    return Window(found.row, found.col, *sides)


def _fault(context: Context, level: Level, stated: str | None, reading: Reading, tally: Tally) -> Fault:
    """Say what is wrong with an array."""
    path, relation = reading.coarse.node.path, reading.relation
    assert tally.first is not None, "something is wrong"
    place, found, expected = tally.first
    if stated is None:
        message = "the method is not stated, and none that is known gives these cells"
        severity: Severity | None = Severity.INFO
    else:
        shift = _shift(context, reading, tally.blocks[: lots.BLOCKS])
        message = shift or f"cells are not the {stated} of their footprint in {relation.asset!r}"
        severity = None
    shown = f"{tally.wrong} of {tally.compared} cells; at row {place[0]}, column {place[1]}: {_number(found)}"
    relies = tuple(level.pyramid.place(level.item, key) for key in ("asset", "derived_from"))
    there = f"{_number(expected)} there"
    return Fault(path, (), message, shown, there, severity=severity, relies=relies, keeps=True, is_of_cells=True)


def _shift(context: Context, reading: Reading, blocks: Sequence[Block]) -> str:
    """Tell whether cells are right, but for other cells than those below them; "" where they are not."""
    rows, cols = reading.relation.factor
    reach = [sorted({-n, -(n // 2), -1, 0, 1, n // 2, n}, key=abs) for n in (rows, cols)]
    for down, right in itertools.product(*reach):
        offset = reading.relation.offset[0] + down, reading.relation.offset[1] + right
        moved = replace(reading, relation=replace(reading.relation, offset=offset))
        if (down or right) and not _tally(context, moved, blocks).wrong:
            away = " and ".join(
                f"{abs(by) / n:g} of a cell {way}"
                for by, n, way in (
                    (down, rows, "down" if down > 0 else "up"),
                    (right, cols, "right" if right > 0 else "left"),
                )
                if by
            )
            return f"cells show what lies {away} in {reading.relation.asset!r}: the level is shifted"
    return ""


def _unreadable(raster: Raster, told: set[tuple[str, str]]) -> Iterator[Fault]:
    for key, why in raster.unreadable.items():
        if (raster.node.path, key) not in told:
            told.add((raster.node.path, key))
            yield Fault(f"{raster.node.path}/{key}", (), "the chunk cannot be decoded", why, "a chunk of the array")


def _untold(array: Node, why: str) -> Fault:
    message = f"the pixels are not derived anew: {why}"
    return Fault(array.path, (), message, None, "", severity=Severity.INFO, keeps=True)


def _number(value: float) -> str:
    return "no data" if np.isnan(value) else f"{value:.9g}"


RULES = (
    Rule(
        "XC-12",
        "derived",
        "A coarse cell is what the method makes of the cells below it",
        check_derivation,
        depth=Depth.PIXELS,
    ),
)
