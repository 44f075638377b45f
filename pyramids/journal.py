"""The journal of a build: what has been stored, so that a build that died goes on where it was.

One entry a unit of work (a subtree, or a block put together above), written when all of its objects are stored, with
key, length and crc32 of each; objects of the unit that are not named are all fill. Entries go out in segments, one
put each, at most `INTERVAL` seconds after the work was done: death costs that much work, and object stores, which
cannot append, are asked seldom. A segment is whole or it does not count: its last bytes are its checksum.

A build of days writes 100 000 segments, which would take an hour to read one by one from an object store. So each
`MERGE` of them are written once more as one, which counts in their place where it is whole; they go some time later, so
that whoever is reading the journal still finds what it has listed.

    .build/<build>/plan.json          what is built
    .build/<build>/journal/<n>        segments; nothing reads them once the manifest is there
    .build/<build>/journal/<n>-<m>    segments from n to m in one
    .build/<build>/handover/...       quarters of blocks that wait for the block above (`handover.py`)
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import json
import struct
import time
from array import array
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np

from geozarr.errors import StoreError
from geozarr.manifest import Entry
from geozarr.store import join
from pyramids.sources.damaged import Damage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from geozarr.stores import Store
    from pyramids.objects import Record
    from pyramids.walk import Subtree

FORMAT = 1
INTERVAL = 1.0  # seconds
MERGE = 256  # segments
MERGE_BYTES = 2**21  # of segments that wait to be merged: they are kept in memory, and copied some times
READERS = 8  # requests at a time while a journal is read
UNIT = np.dtype(
    [("group", "<u4"), ("level", "<u4"), ("row", "<u4"), ("col", "<u4"), ("length", "<u4"), ("crc32", "<u4")]
)
OBJECT = np.dtype([("array", "<u4"), ("number", "<u8"), ("length", "<u4"), ("crc32", "<u4")])


@dataclass(frozen=True)
class Done:
    """A unit of work that is done.

    Parameters
    ----------
    group : int
        Number of the group of slices.
    block : Subtree
        Root of the subtree, or the block that was put together.
    handed : Entry
        Of what it hands on.
    records : tuple of Record
        Objects that it stored.
    pixels : int
        Pixels of the finest level that it computed, over all slices.
    damaged : tuple of Damage
        Blocks of the source that could not be read and were taken for missing.
    undefined : int
        Cells that it stored without a result, infinities of both signs having met there.
    stages : dict
        CPU seconds by stage; not journalled.
    """

    group: int
    block: Subtree
    handed: Entry
    records: tuple[Record, ...] = ()
    pixels: int = 0
    damaged: tuple[Damage, ...] = ()
    undefined: int = 0
    stages: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Segment:
    """Some entries of a journal.

    Parameters
    ----------
    header : dict
        `pixels` that these entries stand for, `covered` pixels so far (computed, found done or left out), `bytes` of
        these objects, `seconds` of this run so far, `at` (time since the epoch), `damaged` blocks as pairs of array
        and chunk, `undefined` cells as pairs of a unit's number in the segment and their count; of merged segments
        `began`, the `seconds` of the first of them.
    units : ndarray of UNIT
        Units of work.
    objects : ndarray of OBJECT
        Objects that they stored.
    """

    header: dict[str, Any]
    units: NDArray[np.void]
    objects: NDArray[np.void]


def encode(header: dict[str, Any], units: NDArray[np.void], objects: NDArray[np.void]) -> bytes:
    """Pack a segment."""
    counted = {"format": FORMAT, "units": len(units), "objects": len(objects), **header}
    body = b"".join((json.dumps(counted).encode(), b"\n", units.tobytes(), objects.tobytes()))
    return body + struct.pack("<I", google_crc32c.value(body))


def decode(data: bytes) -> Segment | None:
    """Unpack a segment; None where it is not whole."""
    if len(data) < 4 or struct.pack("<I", google_crc32c.value(data[:-4])) != data[-4:]:
        return None
    line, _, _ = data.partition(b"\n")
    header = json.loads(line)
    start = len(line) + 1
    middle = start + header["units"] * UNIT.itemsize
    units = np.frombuffer(data[start:middle], UNIT)
    objects = np.frombuffer(data[middle:-4], OBJECT)
    return Segment(header, units, objects)


def segments(store: Store, folder: str) -> Iterator[Segment]:
    """Read the segments of a build, in their order; those that are not whole are left out.

    Raises
    ------
    StoreError
        If the store fails.
    """
    spans = sorted(
        (_span(item.key) for item in store.listed(join(folder, "journal"))), key=lambda span: (span[0], -span[1])
    )
    with ThreadPoolExecutor(READERS, thread_name_prefix="journal") as pool:
        yield from (segment for segment in _read_ahead(store, spans, pool) if segment is not None)


def _read_ahead(store: Store, spans: list[tuple[int, int, str]], pool: ThreadPoolExecutor) -> Iterator[Segment | None]:
    """Read segments, some requests ahead; of merged ones what they hold only where they are not whole."""

    def read(key: str) -> Segment | None:
        found = store.get(key)
        return None if found is None else decode(found.data)

    inside: dict[int, list[tuple[int, int, str]]] = {}
    outer: list[tuple[int, int, str]] = []
    for span in spans:
        if outer and span[1] <= outer[-1][1]:
            inside.setdefault(len(outer) - 1, []).append(span)
        else:
            outer.append(span)
    ahead: deque[Any] = deque()
    rest = iter(outer)
    for place in range(len(outer)):
        for span in itertools.islice(rest, 2 * READERS - len(ahead)):
            ahead.append(pool.submit(read, span[2]))
        segment = ahead.popleft().result()
        yield segment
        if segment is None:
            yield from (read(key) for _, _, key in inside.get(place, ()))


def _span(key: str) -> tuple[int, int, str]:
    """Tell from its key which segments a segment holds, from the first to the last."""
    first, _, last = key.rpartition("/")[2].partition("-")
    return int(first), int(last or first), key


def code(group: int, block: Subtree) -> int:
    """Return a number for a unit of work, below 2**63: 9 bits for the group, 6 for the level, 24 for row and column."""
    return ((group << 6 | block.level) << 24 | block.row) << 24 | block.col


@dataclass
class Ledger:
    """What a journal says, 16 bytes a unit of work.

    Parameters
    ----------
    pixels, covered, objects, size : int
        Pixels computed, and covered when the last segment was written; objects and bytes stored.
    damaged : list of Damage
        Blocks of the source that were taken for missing, each once.
    undefined : dict
        Cells without a result, by the code of the unit that stored them.
    segments : int
        Segments that were read.
    rate : float
        Pixels computed a second in the last run; 0 where nothing is known.
    """

    pixels: int = 0
    covered: int = 0
    objects: int = 0
    size: int = 0
    damaged: list[Damage] = field(default_factory=list)
    undefined: dict[int, int] = field(default_factory=dict)
    segments: int = 0
    rate: float = 0.0
    _codes: array[int] = field(default_factory=lambda: array("Q"))
    _handed: array[int] = field(default_factory=lambda: array("Q"))

    @classmethod
    def read(cls, found: Iterable[Segment]) -> Ledger:
        """Gather segments. A unit that was done twice counts once."""
        ledger = cls()
        codes, handed = [np.empty(0, np.uint64)], [np.empty(0, np.uint64)]
        seconds, pixels = 0.0, 0
        damaged: dict[Damage, None] = {}
        for segment in found:
            units = segment.units
            number = units["group"].astype(np.uint64) << np.uint64(6) | units["level"].astype(np.uint64)
            number = (number << np.uint64(24) | units["row"]) << np.uint64(24) | units["col"]
            codes.append(number)
            handed.append(units["length"].astype(np.uint64) << np.uint64(32) | units["crc32"])
            ledger.segments += 1
            ledger.pixels += segment.header["pixels"]
            ledger.covered = segment.header["covered"]
            if segment.header.get("began", segment.header["seconds"]) < seconds:
                pixels = 0  # another run began
            seconds, pixels = segment.header["seconds"], pixels + segment.header["pixels"]
            ledger.rate = pixels / seconds if seconds else 0.0
            ledger.objects += len(segment.objects)
            ledger.size += int(segment.objects["length"].sum(dtype=np.uint64))
            damaged |= dict.fromkeys(Damage(*pair) for pair in segment.header["damaged"])
            undefined = dict(segment.header.get("undefined", ()))
            for position, unit in enumerate(number.tolist() if undefined or ledger.undefined else ()):
                if position in undefined:
                    ledger.undefined[unit] = undefined[position]
                else:
                    ledger.undefined.pop(unit, None)
        ledger.damaged = list(damaged)
        every, values = np.concatenate(codes), np.concatenate(handed)
        del codes[:], handed[:]  # what follows takes as much again
        unique, last = np.unique(every[::-1], return_index=True)
        ledger._codes.frombytes(unique.tobytes())
        ledger._handed.frombytes(values[::-1][last].tobytes())
        return ledger

    def __len__(self) -> int:
        return len(self._codes)

    def handed(self, group: int, block: Subtree) -> Entry | None:
        """Return what a unit handed on; None where it is not done."""
        wanted = code(group, block)
        at = bisect.bisect_left(self._codes, wanted)
        if at == len(self._codes) or self._codes[at] != wanted:
            return None
        return Entry(self._handed[at] >> 32, self._handed[at] & 0xFFFFFFFF)


class Journal:
    """Writes the journal of one run. For one thread.

    Parameters
    ----------
    store : Store
        Where the build goes.
    folder : str
        Folder of the build.
    interval : float, optional
        Seconds that an entry may wait; by default `INTERVAL`.
    clock : callable
        Tells seconds.
    written : callable, optional
        Is called with entries that have been written.

    Attributes
    ----------
    covered : int
        Pixels of the finest level that are done by what is written, or need not be done.
    """

    def __init__(
        self,
        store: Store,
        folder: str,
        *,
        interval: float | None = None,
        clock: Callable[[], float] = time.monotonic,
        written: Callable[[Sequence[Done]], None] | None = None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._interval = INTERVAL if interval is None else interval
        self._clock = clock
        self._started = self._flushed = clock()
        self._written = written
        self._next = 1 + max((_span(item.key)[1] for item in store.listed(join(folder, "journal"))), default=0)
        self._waiting: list[Done] = []
        self._to_merge: list[Segment] = []
        self._bytes = 0
        self._merged: deque[str] = deque()
        self._failed = False
        self.covered = 0

    def add(self, done: Done) -> bool:
        """Take an entry; tell whether it, and all before it, have been written."""
        self._waiting.append(done)
        return self.flush(force=False)

    def flush(self, *, force: bool = True) -> bool:
        """Write what waits, if it has waited long enough or must be written; tell whether nothing waits.

        Once that has failed, for all the store's patience, nothing more is tried: the run is at its end.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        now = self._clock()
        if not self._waiting:
            return True
        if self._failed or (not force and now - self._flushed < self._interval):
            return False
        units = np.array(
            [(d.group, d.block.level, d.block.row, d.block.col, *d.handed) for d in self._waiting], dtype=UNIT
        )
        objects = np.array([tuple(record) for done in self._waiting for record in done.records], dtype=OBJECT)
        pixels = sum(done.pixels for done in self._waiting)
        header = {
            "pixels": pixels,
            "covered": self.covered + pixels,
            "bytes": int(objects["length"].sum(dtype=np.uint64)),
            "seconds": now - self._started,
            "at": time.time(),
            "damaged": [list(damage) for done in self._waiting for damage in done.damaged],
            "undefined": [[at, done.undefined] for at, done in enumerate(self._waiting) if done.undefined],
        }
        self._failed = True
        self._store.put(self._key(self._next), encode(header, units, objects))
        self._failed = False
        self._next += 1
        self.covered += pixels
        written, self._waiting = self._waiting, []
        self._flushed = self._clock()
        if self._written is not None:
            self._written(written)
        self._merge(Segment(header, units, objects))
        return True

    def _merge(self, segment: Segment) -> None:
        """Write the last segments as one, if they are enough, and delete some of those that were merged long ago."""
        self._to_merge.append(segment)
        self._bytes += segment.units.nbytes + segment.objects.nbytes
        count = len(self._to_merge)
        if count >= MERGE or self._bytes >= MERGE_BYTES:
            if count > 1:
                first, last = self._next - count, self._next - 1
                self._store.put(f"{self._key(first)}-{last:08d}", _joined(self._to_merge))
                self._merged += map(self._key, range(first, last + 1))
            self._to_merge, self._bytes = [], 0
        for _ in range(min(2, len(self._merged) - MERGE)):
            with contextlib.suppress(StoreError):  # it counts no more, and goes when the build is published
                self._store.delete(self._merged.popleft())

    def _key(self, number: int) -> str:
        return join(self._folder, "journal", f"{number:08d}")


def _joined(found: Sequence[Segment]) -> bytes:
    """Pack segments of one run into one, which says the same."""
    starts = itertools.accumulate((len(segment.units) for segment in found), initial=0)
    header = {
        **found[-1].header,
        "pixels": sum(segment.header["pixels"] for segment in found),
        "bytes": sum(segment.header["bytes"] for segment in found),
        "damaged": [pair for segment in found for pair in segment.header["damaged"]],
        "undefined": [
            [start + at, count]
            for start, segment in zip(starts, found, strict=False)
            for at, count in segment.header["undefined"]
        ],
        "began": found[0].header["seconds"],
    }
    units = np.concatenate([segment.units for segment in found])
    return encode(header, units, np.concatenate([segment.objects for segment in found]))
