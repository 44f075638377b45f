"""The arithmetic of a build of the whole globe, from its plan: `python -m benchmarks.planetary`.

    python -m benchmarks.planetary --cores 64 --share 0.3

Counts come from `pyramids.make_plan` of a raster that is described but not there. What a plan cannot know, such as how
much of the globe holds data and what a store asks for a request, is an assumption: a field of `Assumptions` and an
option of the same name. How well pixels pack and how fast a core is was measured: fields of `Case`. The tables are
those of `docs/scale.md`.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from benchmarks.contenders import simulation
from geozarr.manifest import PIECE
from pyramids import Options, journal, walk

if TYPE_CHECKING:
    from pyramids.plan import Plan

GB = 1e9
MIB = 2**20


@dataclass(frozen=True)
class Assumptions:
    """What a plan cannot know; prices in dollars.

    Parameters
    ----------
    share : float
        Of the globe that holds data; blocks that the source's index calls empty are not visited.
    cores, machine_cores : int
        At work at a time, and of a machine.
    put_price, get_price : float
        A thousand requests; deleting is free with the large providers.
    store_price : float
        A gigabyte and month.
    core_price : float
        A core and hour.
    remote : float
        Share of handovers that are read back from the store, since another process wrote them or memory was full.
    """

    share: float = 0.3
    cores: int = 64
    machine_cores: int = 16
    put_price: float = 0.005
    get_price: float = 0.0004
    store_price: float = 0.023
    core_price: float = 0.04
    remote: float = 1.0


@dataclass(frozen=True)
class Case:
    """A raster of the whole globe.

    Parameters
    ----------
    name : str
        For people.
    width : int
        Pixels around the equator.
    zoom : int
        Finest tile matrix of WebMercatorQuad.
    dtype, resampling : str
        Of the pixels.
    packed : float
        Bytes stored for a byte of pixels: measured with the codec of the dtype (docs/design.md, The store).
    rate : float
        Pixels of the finest level that a core does a second: measured, one build of 16384 x 16384 px.
    handover : int
        Bytes that a unit hands on, with shards of 2048 px: measured in the same build.
    """

    name: str
    width: int
    zoom: int
    dtype: str
    resampling: str
    packed: float
    rate: float
    handover: int

    def plan(self) -> Plan:
        """Plan it."""
        options = Options(max_zoom=self.zoom, resampling=self.resampling)
        return simulation.globe(self.width, self.dtype, options=options)[0]


TEN_METRES = 4_008_000  # pixels around the equator
CASES = (
    Case("land cover, 10 m, zoom 14", TEN_METRES, 14, "uint8", "mode", 0.09, 38e6, 235_000),
    Case("elevation, 10 m, zoom 14", TEN_METRES, 14, "float32", "bilinear", 0.54, 40e6, 1_910_000),
    Case("elevation, 10 m, zoom 15", TEN_METRES, 15, "float32", "bilinear", 0.54, 40e6, 1_910_000),
)


@dataclass(frozen=True)
class Numbers:
    """What a build amounts to; see `docs/scale.md` for each."""

    levels: int
    pixels: float
    tiles: float
    objects: float
    units: float
    joins: float
    handover_bytes: float
    waiting_bytes: float
    hours: float
    segments: float
    journal_objects: float
    journal_bytes: float
    pieces: float
    manifest_bytes: float
    bytes: float
    puts: float
    gets: float
    deletes: float
    ledger_bytes: float
    peak_bytes: float
    build_price: float
    request_price: float
    month_price: float
    units_a_second: float


def numbers(case: Case, given: Assumptions) -> Numbers:
    """Work out a build."""
    plan = case.plan()
    top = walk.apex(plan)
    blocks = {level: walk.blocks_of(plan, level).size for level in range(plan.cut, top.level + 1)}
    joins = given.share * sum(count for level, count in blocks.items() if level > plan.cut)
    units = given.share * blocks[plan.cut] + joins
    objects = given.share * plan.predicted["objects"]
    pixels = given.share * plan.work
    tiles = given.share * sum(level.grid.height * level.grid.width for level in plan.levels.levels) / plan.chunk**2
    size = given.share * plan.predicted["bytes"] * case.packed
    seconds = pixels / case.rate / given.cores
    a_second = units / seconds
    segments = seconds / journal.INTERVAL
    arrays = len(plan.levels.levels) * len(plan.variables)
    pieces = plan.predicted["objects"] / PIECE + arrays
    beside = len(plan.levels.levels) * (1 + len(plan.variables) + 5)  # documents, and coordinates with theirs
    puts = objects + units + segments * (1 + 1 / journal.MERGE) + pieces + beside + seconds / 60  # the lease
    # Three of each level wait for the fourth; some are under way, and those of a second wait for the journal.
    waiting = 3 * (top.level - plan.cut) + 2 * given.cores + a_second * journal.INTERVAL
    return Numbers(
        levels=len(plan.levels.levels),
        pixels=pixels,
        tiles=tiles,
        objects=objects,
        units=units,
        joins=joins,
        handover_bytes=units * case.handover,
        waiting_bytes=waiting * case.handover,
        hours=seconds / 3600,
        segments=segments,
        journal_objects=segments / journal.MERGE + 2 * journal.MERGE,
        journal_bytes=units * journal.UNIT.itemsize + objects * journal.OBJECT.itemsize + 250 * segments,
        pieces=pieces,
        manifest_bytes=6 * objects,
        bytes=size,
        puts=puts,
        gets=given.remote * units + segments / journal.MERGE * 2,
        deletes=units + segments,
        ledger_bytes=16 * units,
        peak_bytes=plan.peak,
        build_price=seconds / 3600 * given.cores * given.core_price,
        request_price=puts / 1000 * given.put_price + given.remote * units / 1000 * given.get_price,
        month_price=size / GB * given.store_price,
        units_a_second=a_second,
    )


ROWS: tuple[tuple[str, str, float, str], ...] = (
    ("levels", "levels", 1, "{:.0f}"),
    ("pixels of the finest level, millions", "pixels", 1e6, "{:,.0f}"),
    ("tiles of all levels", "tiles", 1, "{:,.0f}"),
    ("shards: objects of data", "objects", 1, "{:,.0f}"),
    ("bytes stored, TB", "bytes", 1e12, "{:.2f}"),
    ("units of work", "units", 1, "{:,.0f}"),
    ("of them put together from others", "joins", 1, "{:,.0f}"),
    ("hours", "hours", 1, "{:.1f}"),
    ("units a second", "units_a_second", 1, "{:,.0f}"),
    ("handed over in all, TB", "handover_bytes", 1e12, "{:.2f}"),
    ("of it there at a time, GB", "waiting_bytes", GB, "{:.2f}"),
    ("journal segments written", "segments", 1, "{:,.0f}"),
    ("journal objects there at a time", "journal_objects", 1, "{:,.0f}"),
    ("journal, MB", "journal_bytes", 1e6, "{:,.0f}"),
    ("pieces of the manifest", "pieces", 1, "{:,.0f}"),
    ("manifest, MB", "manifest_bytes", 1e6, "{:,.0f}"),
    ("puts", "puts", 1, "{:,.0f}"),
    ("gets, but for the source", "gets", 1, "{:,.0f}"),
    ("deletes", "deletes", 1, "{:,.0f}"),
    ("memory of a process, MiB", "peak_bytes", MIB, "{:,.0f}"),
    ("ledger of a build that goes on, MB", "ledger_bytes", 1e6, "{:,.0f}"),
    ("cores, $", "build_price", 1, "{:,.0f}"),
    ("requests, $", "request_price", 1, "{:,.0f}"),
    ("storage, $ a month", "month_price", 1, "{:,.0f}"),
)


def table(given: Assumptions) -> str:
    """Return the numbers of all cases as a table in Markdown."""
    found = [numbers(case, given) for case in CASES]
    lines = [f"| | {' | '.join(case.name for case in CASES)} |", f"| --- |{' --- |' * len(CASES)}"]
    for title, name, unit, shown in ROWS:
        values = (shown.format(getattr(one, name) / unit) for one in found)
        lines.append(f"| {title} | {' | '.join(values)} |")
    return "\n".join(lines)


def hours(given: Assumptions, machines: tuple[int, ...] = (1, 4, 16, 64)) -> str:
    """Return the hours that so many machines take as a table in Markdown."""
    lines = [f"| machines of {given.machine_cores} cores | {' | '.join(case.name for case in CASES)} |"]
    lines.append(f"| --- |{' --- |' * len(CASES)}")
    for count in machines:
        chosen = replace(given, cores=count * given.machine_cores)
        values = (f"{numbers(case, chosen).hours:,.1f} h" for case in CASES)
        lines.append(f"| {count} | {' | '.join(values)} |")
    return "\n".join(lines)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.planetary", description="Work out a build of the globe."
    )
    for field in fields(Assumptions):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    given = Assumptions(**vars(parser.parse_args()))
    print(table(given), hours(given), sep="\n\n")


if __name__ == "__main__":
    main()
