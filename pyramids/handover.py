"""What a unit of work hands to the one above it, as a small object under the build's own keys.

So a quarter of a parent never goes through a scheduler, and whoever resumes a build finds what was done. Most quarters
are taken soon after they were handed over, in the same process: those are kept in memory too, up to a number of bytes.

The bytes are a line of JSON, then arrays packed by blosc one after the other, then encoded chunks of open shards.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np
from numcodecs import blosc

from geozarr import manifest
from geozarr.errors import ChunkReadError
from geozarr.store import join
from pyramids import fold
from pyramids.objects import ShardPlace
from pyramids.statistics import Summary
from pyramids.walk import Outcome, Subtree, tracks_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from geozarr.manifest import Entry
    from geozarr.stores import Store
    from pyramids.fold import Accumulator
    from pyramids.plan import Plan
    from pyramids.sources import Slice
    from pyramids.writers import Sink

_SUMMARY = ("count", "minimum", "maximum", "mean", "squares")


def encode(outcome: Outcome) -> bytes:
    """Pack an outcome, but for its records."""
    parts: list[bytes] = []

    def packed(array: NDArray[Any]) -> dict[str, Any]:
        data = np.ascontiguousarray(array)
        size = 0
        if data.size:
            # lz4: this is written once, read once and thrown away.
            parts.append(blosc.compress(data, b"lz4", 1, blosc.SHUFFLE))
            size = len(parts[-1])
        return {"dtype": data.dtype.str, "shape": list(data.shape), "size": size}

    quarters = [
        None
        if quarter is None
        else {"shape": list(quarter.shape), "arrays": {k: packed(v) for k, v in fold.state(quarter).items()}}
        for quarter in outcome.quarters
    ]
    summaries = [
        None if summary is None else [getattr(summary, name) for name in _SUMMARY] for summary in outcome.summaries
    ]
    histograms = [[packed(bins), packed(counts)] for bins, counts in outcome.histograms]
    pending = []
    for place, chunks in outcome.pending.items():
        pending.append([list(place), [[number, len(chunk)] for number, chunk in chunks.items()]])
        parts += chunks.values()
    header = {"quarters": quarters, "summaries": summaries, "histograms": histograms, "pending": pending}
    return b"".join((json.dumps(header).encode(), b"\n", *parts))


def decode(data: bytes, plan: Plan, group: tuple[Slice, ...]) -> Outcome:
    """Unpack an outcome; the checksum of its bytes has been compared before."""
    line, _, _ = data.partition(b"\n")
    header = json.loads(line)
    offset = len(line) + 1

    def taken(size: int) -> bytes:
        nonlocal offset
        offset += size
        return data[offset - size : offset]

    def unpacked(item: dict[str, Any]) -> NDArray[Any]:
        if not item["size"]:
            return np.empty(item["shape"], item["dtype"])
        return np.frombuffer(blosc.decompress(taken(item["size"])), item["dtype"]).reshape(item["shape"])

    quarters: list[Accumulator | None] = []
    for track, item in zip(tracks_of(plan, group), header["quarters"], strict=True):
        if item is None:
            quarters.append(None)
            continue
        arrays = {name: unpacked(array) for name, array in item["arrays"].items()}
        rows, cols = item["shape"]
        quarters.append(fold.restore(track.variable.fold_method, track.variable.dtype, (rows, cols), arrays))
    summaries = [
        None if item is None else Summary(**dict(zip(_SUMMARY, item, strict=True)), histogram=None)
        for item in header["summaries"]
    ]
    histograms = [(unpacked(bins), unpacked(counts)) for bins, counts in header["histograms"]]
    pending = {
        ShardPlace(*place): {number: taken(size) for number, size in chunks} for place, chunks in header["pending"]
    }
    return Outcome(quarters, summaries, histograms, pending)


class LostHandoverError(ChunkReadError):
    """What a block handed on is lost or damaged: the block has to be done again.

    Parameters
    ----------
    folder : str
        Folder of the build.
    group : int
        Number of the group of slices.
    block : Subtree
        Which block.
    """

    def __init__(self, folder: str, group: int, block: Subtree) -> None:
        super().__init__(folder, f"{block.level}/{block.row}/{block.col}", "was handed over and is lost")
        self.group = group
        self.block = block


class Handovers:
    """Outcomes of units of work that wait for the one above. Safe to use from many threads.

    Parameters
    ----------
    plan : Plan
        What is built.
    store : Store
        Where they are kept.
    folder : str
        Folder of the build.
    capacity : int
        Bytes of those that are kept in memory too.
    """

    def __init__(self, plan: Plan, store: Store, folder: str, *, capacity: int) -> None:
        self._plan = plan
        self._store = store
        self._folder = folder
        self._capacity = capacity
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, Subtree], tuple[int, Outcome]] = OrderedDict()
        self._bytes = 0

    def key(self, group: int, block: Subtree) -> str:
        """Where an outcome is kept."""
        return join(self._folder, "handover", str(group), str(block.level), str(block.row), str(block.col))

    def put(self, group: int, block: Subtree, outcome: Outcome, sink: Sink) -> Entry:
        """Keep the outcome of a block; `sink` writes it.

        Raises
        ------
        StoreError
            If it cannot be written.
        """
        data = encode(outcome)
        sink.put(self.key(group, block), data)
        size = sum(quarter.nbytes for quarter in outcome.quarters if quarter is not None)
        size += sum(len(chunk) for chunks in outcome.pending.values() for chunk in chunks.values())
        outcome.records = []
        with self._lock:
            self._kept[group, block] = (size, outcome)
            self._bytes += size
            while self._bytes > self._capacity:
                _, (size, _) = self._kept.popitem(last=False)
                self._bytes -= size
        return manifest.checksum(data)

    def take(self, group: int, block: Subtree, entry: Entry | None) -> Outcome:
        """Return the outcome of a block; it is forgotten here, not in the store.

        Parameters
        ----------
        group : int
            Number of the group of slices.
        block : Subtree
            Which block.
        entry : Entry or None
            What `put` returned; None leaves it unchecked.

        Raises
        ------
        LostHandoverError
            If it is lost, or other than it was.
        StoreError
            If the store fails.
        """
        with self._lock:
            kept = self._kept.pop((group, block), None)
            if kept is not None:
                self._bytes -= kept[0]
                return kept[1]
        found = self._store.get(self.key(group, block))
        if found is None or (entry is not None and manifest.checksum(found.data) != entry):
            raise LostHandoverError(self._folder, group, block)
        return decode(found.data, self._plan, self._plan.groups[group])
