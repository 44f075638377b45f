"""A build of any size without its pixels: the real coordinator and the real journal, and units that are done at once.

What a unit stores is what the plan would have it store, as records with made-up lengths and checksums, so that journal,
ledger and manifest hold what they would hold after the real build. No object of data is written.
"""

from __future__ import annotations

import math
import zlib
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine

from geozarr import Grid, crs
from geozarr.levels import USUAL_DIMENSIONS
from geozarr.manifest import Entry
from pyramids import Options, SourceVariable, make_plan, walk
from pyramids.coordinator import Coordinator
from pyramids.journal import OBJECT, UNIT, Done, Journal, Ledger, Segment
from pyramids.objects import Record, array_objects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from geozarr.manifest import ArrayObjects
    from geozarr.stores import Store
    from geozarr.window import Window
    from pyramids import Pixels, Slice
    from pyramids.coordinator import Unit
    from pyramids.plan import Plan

HANDED = 500_000  # bytes that a unit says it hands on
BLOCK = 512  # pixels along a side of a source block
MERCATOR_CELL = 10.0  # metres of EPSG:3857


class DescribedSource:
    """A raster of which nothing but its description is there: reading it is an error."""

    resident_bytes = 0
    quirks = ()
    has_alpha = False
    dimensions = USUAL_DIMENSIONS
    block_shape = (BLOCK, BLOCK)

    def __init__(self, name: str, grid: Grid, variable: SourceVariable) -> None:
        self.name = name
        self.grid = grid
        self.variables = (variable,)
        self.fingerprint = name

    def coverage(self) -> NDArray[np.bool_] | None:
        """Nothing is known of where data lie, so all of it counts."""
        return None

    def read(
        self,
        window: Window,
        slices: Sequence[Slice],
        out: NDArray[Any] | None = None,  # noqa: ARG002
    ) -> Pixels:
        """Refuse."""
        raise AssertionError(f"a plan has read {slices} of {window}")


def globe(width: int, dtype: str = "uint16", *, options: Options | None = None) -> tuple[Plan, DescribedSource]:
    """Plan a raster of the whole globe in longitude and latitude that is not there."""
    cell = 360 / width
    grid = Grid((width // 2, width), Affine(cell, 0, -180, 0, -cell, 90), crs.from_code("EPSG:4326"))
    source = DescribedSource(f"globe {width}", grid, SourceVariable("band", np.dtype(dtype), nodata=0))
    return make_plan(source, options or Options()), source


class Enough(Exception):  # noqa: N818 - no error: as many units as were wanted
    """Ends a simulated build."""


@dataclass
class Simulation:
    """Runs a coordinator over a plan.

    Parameters
    ----------
    plan : Plan
        What would be built; of one group of slices.
    store : Store
        Where the journal goes.
    folder : str
        Folder of the build.
    may_hold : callable
        As the coordinator has it.
    most : int, optional
        Units after which it ends by `Enough`.
    watch : callable, optional
        Is called with the number of units so far before each unit.

    Attributes
    ----------
    units, objects : int
        Handed out, and stored by these.
    """

    plan: Plan
    store: Store
    folder: str
    may_hold: Callable[[Window], bool]
    most: int | None = None
    watch: Callable[[int], None] = lambda _: None
    units: int = 0
    objects: int = 0
    _shards: dict[int, list[_Level]] = field(init=False)

    def __post_init__(self) -> None:
        self._top = walk.apex(self.plan)
        self._shards = {}
        for place in range(len(self.plan.levels.levels) * len(self.plan.variables)):
            level = _Level.of(self.plan, place)
            self._shards.setdefault(level.owner, []).append(level)

    def run(self, ledger: Ledger | None = None, journal: Journal | None = None) -> None:
        """Do all that the ledger does not know."""
        coordinator = Coordinator(
            self.plan,
            self._submit,
            may_hold=self.may_hold,
            journal=journal or Journal(self.store, self.folder),
            told=lambda _: None,
            ahead=self.plan.workers + 2,
            stop=lambda: None,
        )
        coordinator.run(ledger or Ledger())

    def _submit(self, unit: Unit) -> Future[Done]:
        self.watch(self.units)
        if self.units == self.most:
            raise Enough
        self.units += 1
        future: Future[Done] = Future()
        future.set_result(self.done(unit))
        return future

    def done(self, unit: Unit) -> Done:
        """Say what a unit would say that stores all of its objects."""
        records = tuple(
            record for level in self._shards.get(unit.block.level, ()) for record in level.records(unit.block)
        )
        self.objects += len(records)
        pixels = 0 if unit.children else walk.finest_window(self.plan, unit.block).size
        crc = zlib.crc32(repr(unit.block).encode())
        return Done(unit.group, unit.block, Entry(HANDED, crc), records, pixels)


@dataclass(frozen=True)
class _Level:
    """One array, and the level of the blocks that store its objects."""

    plan: Plan
    place: int
    array: ArrayObjects
    owner: int
    side: int
    cells: int

    @classmethod
    def of(cls, plan: Plan, place: int) -> _Level:
        number = place // len(plan.variables)
        layout = plan.layout(number, plan.variables[place % len(plan.variables)])
        side = layout.object_shape[-1]
        owner = walk.owner(plan, number, side=side, row=0, col=0).level
        return cls(plan, place, array_objects(plan, place), owner, side, plan.block << (owner - number))

    def records(self, block: walk.Subtree) -> list[Record]:
        """List the objects that a block stores."""
        rows, cols = self.array.grid[-2:]
        along = max(1, self.cells // self.side)
        first_row, first_col = block.row * along, block.col * along
        return [
            Record(self.place, row * cols + col, 1_000_000 + (row ^ col) % 9999, (row * 2654435761 ^ col) & 0xFFFFFFFF)
            for row in range(first_row, min(first_row + along, rows))
            for col in range(first_col, min(first_col + along, cols))
        ]


def square(side: int, *, chunk: int, shard: int | str) -> tuple[Plan, DescribedSource]:
    """Plan the native pyramid of a square that is not there."""
    half = side * MERCATOR_CELL / 2
    grid = Grid((side, side), Affine(MERCATOR_CELL, 0, -half, 0, -MERCATOR_CELL, half), crs.from_code("EPSG:3857"))
    source = DescribedSource(f"square {side}", grid, SourceVariable("height", np.dtype("uint16"), nodata=0))
    return make_plan(source, Options(tms="native", chunk=chunk, shard=shard)), source


def done_share(plan: Plan, share: float, *, a_segment: int) -> Iterator[Segment]:
    """Make up the journal of a build that was stopped: segments that hold a share of all subtrees, in the walk's order.

    Parameters
    ----------
    plan : Plan
        Of a square of 2**n subtrees whose shards are as large as the subtrees: each unit stores one object.
    share : float
        Of the subtrees.
    a_segment : int
        Units that a segment holds.
    """
    top = walk.apex(plan)
    steps = top.level - plan.cut
    count = int(share * 4**steps)
    every = [_units_of(plan, level, count >> 2 * (level - plan.cut)) for level in range(plan.cut, top.level)]
    when, units, objects = (np.concatenate(column) for column in zip(*every, strict=True))
    order = np.argsort(when, kind="stable")  # a block above comes right behind the last subtree below it
    covered = 0
    for start in range(0, len(order), a_segment):
        mine = order[start : start + a_segment]
        pixels = int((units["level"][mine] == plan.cut).sum()) * (plan.block << plan.cut) ** 2
        covered += pixels
        size = int(objects["length"][mine].sum(dtype=np.uint64))
        seconds = float(start // a_segment)
        header = {"pixels": pixels, "covered": covered, "bytes": size, "seconds": seconds, "at": 0.0, "damaged": []}
        yield Segment(header, units[mine], objects[mine])


def _units_of(plan: Plan, level: int, count: int) -> tuple[NDArray[Any], ...]:
    """First units of a level in the walk's order: when they are done, the units, and the object that each stores."""
    number = np.arange(count, dtype=np.uint64)
    rows, cols = _deinterleaved(number >> np.uint64(1)), _deinterleaved(number)
    units, objects = np.zeros(count, UNIT), np.zeros(count, OBJECT)
    units["level"], units["row"], units["col"] = level, rows, cols
    units["length"], units["crc32"] = HANDED, number
    objects["array"] = level - plan.cut
    objects["number"] = rows * np.uint64(array_objects(plan, level - plan.cut).grid[-1]) + cols
    objects["length"], objects["crc32"] = 1_000_000 + number % 9999, number
    return (number + np.uint64(1)) << np.uint64(2 * (level - plan.cut)), units, objects


def all_objects(plan: Plan, *, a_segment: int) -> Iterator[Segment]:
    """Make up segments that hold every object of a pyramid, level by level, in the order of a quadtree."""
    header = {"pixels": 0, "covered": 0, "bytes": 0, "seconds": 0.0, "at": 0.0, "damaged": []}
    for place in range(len(plan.levels.levels) * len(plan.variables)):
        rows, cols = array_objects(plan, place).grid[-2:]
        whole = 4 ** math.ceil(math.log2(max(rows, cols)))
        for start in range(0, whole, a_segment):
            number = np.arange(start, min(start + a_segment, whole), dtype=np.uint64)
            row, col = _deinterleaved(number >> np.uint64(1)), _deinterleaved(number)
            inside = (row < rows) & (col < cols)
            objects = np.zeros(int(inside.sum()), OBJECT)
            objects["array"], objects["number"] = place, (row * np.uint64(cols) + col)[inside]
            # Lengths and checksums are what they would be: noise, so that the manifest is as large as it would be.
            objects["length"] = 20_000 + number[inside] * np.uint64(2654435761) % np.uint64(9999)
            objects["crc32"] = number[inside] * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
            if len(objects):
                yield Segment(header, np.zeros(0, UNIT), objects)


def _deinterleaved(number: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Gather every second bit, from the lowest."""
    found = number & np.uint64(0x5555555555555555)
    for shift, mask in (
        (1, 0x3333333333333333),
        (2, 0x0F0F0F0F0F0F0F0F),
        (4, 0x00FF00FF00FF00FF),
        (8, 0x0000FFFF0000FFFF),
        (16, 0x00000000FFFFFFFF),
    ):
        found = (found | found >> np.uint64(shift)) & np.uint64(mask)
    return found
