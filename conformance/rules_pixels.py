"""Pixel truth: cells of coarser levels, derived anew from the level that they derive from (XC-12), and ranges (CF-24).

Builders derive a level in one of two ways, both of which the text of `derived_from` allows: from the stored cells of
its source, rounded as they are, or from the finest level, where nothing has been rounded yet. Without a `_FillValue`
some take `fill_value` for missing and some do not. A level is right if all that is looked at agrees with one reading.
The derivation is that of `reference.py`, which knows nothing of any builder.
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from conformance import layouts, methods, pixels, reference, rules_ratios, sites, values
from conformance.rederive import compare
from conformance.report import Depth, Fault, Rule, Severity
from geozarr.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conformance.context import Context
    from conformance.layouts import Level
    from conformance.pixels import Raster
    from conformance.tree import Node

BLOCKS = 4  # of each array of a level, where not all is looked at
SIDE = 32  # cells along a side of a block
TRIES = 24  # blocks that are drawn to find some with data
MOST = 2048  # cells along a side of a footprint that is read
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
    """

    compared: int = 0
    wrong: int = 0
    ties: int = 0
    first: tuple[tuple[int, int], float, float] | None = None


def check_derivation(context: Context) -> Iterator[Fault]:
    """Find levels whose cells are not what the method makes of the level that they derive from."""
    told: set[tuple[str, str]] = set()
    for pyramid in context.pyramids:
        levels = {level.asset: level for level in layouts.levels(context, pyramid)}
        for level in levels.values():
            chain = _chain(context, level, levels)
            for array in level.arrays.values() if len(chain) > 1 else ():
                coarse = pixels.raster(context, array)
                if coarse is not None:
                    yield from _check_array(context, level, chain, coarse, told)
                elif context.rasters([array]) and not context.has_findings(array.path, ""):
                    yield _untold(array, "its chunks are too large, or of codecs or a data type that are not read here")


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
    for lead, window in _blocks(context, raster, 1):
        cells = raster.read(context, window, lead)
        if not cells.known.all():
            return None
        found = cells.values[cells.valid].astype(np.float64) * raster.scale + raster.offset
        low, high = min(low, found.min(initial=np.inf)), max(high, found.max(initial=-np.inf))
    return (float(low), float(high)) if low <= high else None


def relation_of(level: values.Transform, finer: values.Transform, asset: str) -> Relation | None:
    """Tell how cells of a level lie on finer ones; None where they are no whole number of them."""
    both = ~Affine(*finer) * Affine(*level)
    numbers = (both.e, both.a, both.f, both.c)
    whole = [round(number) for number in numbers]
    if max(abs(both.b), abs(both.d), *(abs(n - w) for n, w in zip(numbers, whole, strict=True))) > _WHOLE:
        return None
    return Relation(asset, (whole[0], whole[1]), (whole[2], whole[3])) if min(whole[:2]) >= 1 else None


def _chain(context: Context, level: Level, levels: dict[str, Level]) -> list[Level]:
    """List a level, the one that it derives from, and so on, up to the one that derives from none."""
    found = [level]
    while (source := levels.get(rules_ratios.source_of(context, found[-1]) or "")) is not None and source not in found:
        found.append(source)
    return found


def _check_array(
    context: Context, level: Level, chain: list[Level], coarse: Raster, told: set[tuple[str, str]]
) -> Iterator[Fault]:
    array = coarse.node
    known = methods.effective(context, level, array)
    stated = None if known is None else known.method
    if stated is not None and stated not in reference.METHODS:
        yield _untold(array, f"no rule knows {stated!r}")
        return
    finer = [
        found for other in (chain[-1], *chain[1:2]) if (found := _finer(context, level, other, coarse)) is not None
    ]
    finer = [found for index, found in enumerate(finer) if found[1] not in [known[1] for known in finer[:index]]]
    if not finer:
        yield _untold(array, "its cells are no whole number of cells that can be read")
        return
    readings = [
        Reading(replace(coarse, missing=missing), replace(fine, missing=missing), relation, method, at)
        for fine, relation in finer
        for missing in _missing(context, coarse)
        for method in ([stated] if stated is not None else _methods(coarse.dtype))
        for at in (_centres(relation.factor) if method == "nearest" else (-1,))
    ]
    blocks = _blocks(context, coarse, max(max(relation.factor) for _, relation in finer))
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
        yield _fault(context, level, stated, *best, blocks)


def _finer(context: Context, level: Level, other: Level, coarse: Raster) -> tuple[Raster, Relation] | None:
    """Open the array of a finer level that one of a level derives from, where cells lie on cells."""
    arrays = other.arrays
    node = arrays.get(coarse.node.name) or (next(iter(arrays.values())) if other.node.is_array else None)
    relation = _relation(context, level, other)
    if node is None or relation is None or max(relation.factor) > MOST:
        return None
    fine = pixels.raster(context, node)
    return None if fine is None or fine.lead != coarse.lead or fine.dtype != coarse.dtype else (fine, relation)


def _relation(context: Context, level: Level, other: Level) -> Relation | None:
    """Tell how levels lie on each other: by their transforms, else by their sizes."""
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


def _missing(context: Context, coarse: Raster) -> list[tuple[Any, ...]]:
    """List what may mean "no data": what the array states, else nothing, else its fill value."""
    if coarse.missing or coarse.mask is not None:
        return [coarse.missing]
    fill = context.member(coarse.node, "fill_value", partial(values.fill_value, of=coarse.dtype))
    is_number = fill is not None and fill == fill  # noqa: PLR0124 - NaN is missing without being named
    return [(), (fill,)] if is_number else [()]


def _methods(dtype: np.dtype[Any]) -> list[str]:
    return [method for method in reference.METHODS if method != "bit-or" or dtype.kind in "iub"]


def _centres(factor: tuple[int, int]) -> list[int]:
    """List positions of the cells nearest to the centre of a window, the one that rounds up first."""
    rows, cols = (dict.fromkeys((side // 2, (side - 1) // 2)) for side in factor)
    return [-1, *(row * factor[1] + col for row, col in itertools.product(rows, cols))][: 1 + len(rows) * len(cols)]


def _blocks(context: Context, coarse: Raster, factor: int) -> list[tuple[tuple[int, ...], Window]]:
    """Choose what is looked at: all of an array, or its last corner and blocks with data that are drawn by lot."""
    side = max(1, min(SIDE, MOST // factor))
    height, width = coarse.shape
    if context.sample.is_all:
        tall, wide = (max(1, min(size, MOST // factor)) for size in coarse.chunk)
        windows = [
            Window(row, col, tall, wide).intersect(Window(0, 0, height, width))
            for row, col in itertools.product(range(0, height, tall), range(0, width, wide))
        ]
        return list(itertools.product(itertools.product(*map(range, coarse.lead)), windows))
    lot = np.random.default_rng([context.sample.seed, zlib.crc32(coarse.node.path.encode())])
    counts = (*coarse.lead, *(-(-size // side) for size in (height, width)))
    drawn = {tuple(count - 1 for count in counts): None}  # the last corner of the last raster
    for _ in range(TRIES):
        drawn[tuple(int(lot.integers(count)) for count in counts)] = None
    found: list[tuple[tuple[int, ...], Window]] = []
    for *lead, row, col in drawn:
        # Blocks are counted from the end, so that the last one is as large as the others.
        window = Window(height - (counts[-2] - row) * side, width - (counts[-1] - col) * side, side, side)
        window = window.intersect(Window(0, 0, height, width))
        # The corner counts whatever it holds, of others those with data.
        if not found or coarse.read(context, window, tuple(lead)).valid.any():
            found.append((tuple(lead), window))
        if len(found) > BLOCKS:
            break
    return found


def _tally(context: Context, reading: Reading, blocks: list[tuple[tuple[int, ...], Window]]) -> Tally:
    """Compare all that is looked at."""
    total = Tally()
    for lead, window in blocks:
        here = reading.coarse.read(context, window, lead)
        there = reading.fine.read(context, _within(reading, window), lead)
        verdict = compare(
            here, there, reading.relation.factor, reading.method, missing=reading.coarse.missing, at=reading.at
        )
        first = total.first
        if first is None and verdict.wrong.any():
            row, col = (int(axis[0]) for axis in np.nonzero(verdict.wrong))
            found = float(here.values[row, col]) if here.valid[row, col] else np.nan
            first = (window.row + row, window.col + col), found, float(verdict.expected[row, col])
        total = Tally(
            total.compared + int(verdict.compared.sum()),
            total.wrong + int(verdict.wrong.sum()),
            total.ties + int(verdict.tied.sum()),
            first,
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


def _fault(
    context: Context,
    level: Level,
    stated: str | None,
    reading: Reading,
    tally: Tally,
    blocks: list[tuple[tuple[int, ...], Window]],
) -> Fault:
    """Say what is wrong with an array."""
    path, relation = reading.coarse.node.path, reading.relation
    assert tally.first is not None, "something is wrong"
    place, found, expected = tally.first
    if stated is None:
        message = "the method is not stated, and none that is known gives these cells"
        severity: Severity | None = Severity.INFO
    else:
        shift = _shift(context, reading, _wrong(context, reading, blocks))
        message = shift or f"cells are not the {stated} of their footprint in {relation.asset!r}"
        severity = None
    shown = f"{tally.wrong} of {tally.compared} cells; at row {place[0]}, column {place[1]}: {_number(found)}"
    relies = tuple(level.pyramid.place(level.item, key) for key in ("asset", "derived_from"))
    there = f"{_number(expected)} there"
    return Fault(path, (), message, shown, there, severity=severity, relies=relies, keeps=True, is_of_cells=True)


def _wrong(
    context: Context, reading: Reading, blocks: list[tuple[tuple[int, ...], Window]]
) -> list[tuple[tuple[int, ...], Window]]:
    """List some blocks in which cells are wrong."""
    found = (block for block in blocks if _tally(context, reading, [block]).wrong)
    return list(itertools.islice(found, BLOCKS))


def _shift(context: Context, reading: Reading, blocks: list[tuple[tuple[int, ...], Window]]) -> str:
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
    Rule("CF-24", "CF 2.5.1", "actual_range holds all values", check_actual_range, depth=Depth.PIXELS),
)
