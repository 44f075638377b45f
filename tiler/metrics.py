"""Numbers about the service, for Prometheus (text format 0.0.4, by `prometheus_client`, which is loaded when asked).

Requests are counted in plain dictionaries by the one thread that answers them; everything else is looked up when
somebody asks. With several processes each writes what it has counted to a file of its own every second, and whichever
is asked adds the files to its own numbers, which are always up to date. A process that has ended leaves its file: the
next one that starts takes it over and counts on, so that no counter goes back and no more files lie there than
processes have ever run at once. prometheus_client's own mode for several processes would make each count a write to a
shared file, and knows neither information nor processes that take over.
"""

from __future__ import annotations

import contextlib
import json
import os
from bisect import bisect_left
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tiler.desk import Desk

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
# Seconds: from a tile that is at hand to the deadline.
BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_TRIES = 5  # to read the files of all processes at one state; one may be taken over meanwhile

Labels = tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """Numbers of one name.

    Parameters
    ----------
    help : str
        What they are.
    kind : str
        "counter", "gauge" or "histogram".
    labels : tuple of str
        Names of what tells them apart.
    is_shared : bool
        True where all processes tell the same number, which is not to be added up.
    """

    help: str
    kind: str = "counter"
    labels: tuple[str, ...] = ()
    is_shared: bool = False


FAMILIES = {
    "geozarr_requests": Family("Requests answered", labels=("endpoint", "status")),
    "geozarr_request_seconds": Family("Time to answer a request", "histogram", ("endpoint",)),
    "geozarr_tiles": Family("Map tiles sent, by where they came from", labels=("source",)),
    "geozarr_renders_refused": Family("Renders refused because too many were waiting"),
    "geozarr_renders_running": Family("Renders that run", "gauge"),
    "geozarr_renders_waiting": Family("Renders that wait for a thread", "gauge"),
    "geozarr_cache_bytes": Family("Bytes in a cache", "gauge", ("cache",)),
    "geozarr_cache_entries": Family("Entries of a cache", "gauge", ("cache",)),
    "geozarr_store_requests": Family("Requests to the store of a dataset", labels=("dataset",)),
    "geozarr_store_failures": Family("Requests to the store of a dataset that have failed", labels=("dataset",)),
    "geozarr_store_bytes": Family("Bytes read from the store of a dataset", labels=("dataset",)),
    "geozarr_datasets": Family("Datasets that are served", "gauge", is_shared=True),
    "geozarr_datasets_open": Family("Datasets that are open, in the process that has most", "gauge", is_shared=True),
    "geozarr_datasets_lost": Family("Datasets that are not to be found any more", "gauge", is_shared=True),
    "geozarr_workers": Family("Processes that answer", "gauge"),
    "geozarr_build_info": Family("Version of geozarr-pyramids", "gauge", ("version",), is_shared=True),
    "process_resident_memory_bytes": Family("Resident memory of all processes that answer", "gauge"),
    "process_open_fds": Family("Open file descriptors of all processes that answer", "gauge"),
    "process_cpu_seconds": Family("User and system time of all processes that answer"),
}


@dataclass
class Numbers:
    """Values by name of the family and labels; a histogram has the count of each bucket, and the sum last."""

    values: dict[tuple[str, Labels], float] = field(default_factory=dict)
    histograms: dict[tuple[str, Labels], list[float]] = field(default_factory=dict)

    def add(self, other: Numbers, *, is_alive: bool = True) -> None:
        """Add those of another process; of one that has ended only what it has counted."""
        for key, value in other.values.items():
            family = FAMILIES[key[0]]
            if family.kind == "counter":
                self.values[key] = self.values.get(key, 0.0) + value
            elif is_alive and family.is_shared:
                self.values[key] = max(self.values.get(key, 0.0), value)
            elif is_alive:
                self.values[key] = self.values.get(key, 0.0) + value
        for key, counts in other.histograms.items():
            mine = self.histograms.get(key, [0.0] * len(counts))
            self.histograms[key] = [a + b for a, b in zip(mine, counts, strict=True)]

    def to_json(self) -> str:
        """Write them."""
        return json.dumps(
            {
                "values": [[*key, value] for key, value in self.values.items()],
                "histograms": [[*key, counts] for key, counts in self.histograms.items()],
            }
        )

    @classmethod
    def from_json(cls, text: str) -> Numbers:
        """Read what `to_json` has written."""
        document = json.loads(text)
        return cls(
            {(name, tuple(labels)): value for name, labels, value in document["values"]},
            {(name, tuple(labels)): counts for name, labels, counts in document["histograms"]},
        )


class Metrics:
    """What one process counts, and what is known of the others. Belongs to one event loop.

    Parameters
    ----------
    folder : Path, optional
        Where the processes of one service leave their numbers for each other; without it there is one process.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._requests: dict[tuple[str, int], int] = {}
        self._seconds: dict[str, list[float]] = {}
        self._tiles: dict[str, int] = {}
        self._ledger = None if folder is None else _Ledger(folder)

    def count(self, endpoint: str, status: int, seconds: float, source: str | None = None) -> None:
        """Count a request.

        Parameters
        ----------
        endpoint : str
            Template of its address, or another word for a kind of requests.
        status : int
            Status of the answer.
        seconds : float
            Time that it took.
        source : str, optional
            Of a map tile: "cache", "chunks" or "store".
        """
        key = (endpoint, status)
        self._requests[key] = self._requests.get(key, 0) + 1
        histogram = self._seconds.get(endpoint)
        if histogram is None:
            histogram = self._seconds[endpoint] = [0] * (len(BUCKETS) + 1) + [0.0]
        histogram[bisect_left(BUCKETS, seconds)] += 1
        histogram[-1] += seconds
        if source is not None:
            self._tiles[source] = self._tiles.get(source, 0) + 1

    def leave(self, desk: Desk) -> None:
        """Leave the numbers of this process for the others, where there are any."""
        if self._ledger is not None:
            self._ledger.write(self._own(desk))

    def exposition(self, desk: Desk) -> bytes:
        """Write the numbers of all processes for Prometheus."""
        numbers = Numbers()
        numbers.add(self._own(desk))
        if self._ledger is not None:
            for other, is_alive in self._ledger.others():
                numbers.add(other, is_alive=is_alive)
        return write(numbers)

    def _own(self, desk: Desk) -> Numbers:
        """Put together what this process has counted and what it can look up."""
        numbers = Numbers()
        if self._ledger is not None:
            numbers.add(self._ledger.taken_over, is_alive=False)
        numbers.add(Numbers(dict(self._values(desk)), self._histograms()))
        return numbers

    def _histograms(self) -> dict[tuple[str, Labels], list[float]]:
        return {("geozarr_request_seconds", (endpoint,)): list(counts) for endpoint, counts in self._seconds.items()}

    def _values(self, desk: Desk) -> Iterable[tuple[tuple[str, Labels], float]]:
        for (endpoint, status), count in self._requests.items():
            yield ("geozarr_requests", (endpoint, str(status))), count
        for source, count in self._tiles.items():
            yield ("geozarr_tiles", (source,)), count
        yield ("geozarr_renders_refused", ()), desk.admission.refused
        yield ("geozarr_renders_running", ()), desk.admission.running
        yield ("geozarr_renders_waiting", ()), desk.admission.waiting
        for name, cache in desk.service.caches.items():
            yield ("geozarr_cache_bytes", (name,)), cache.total
            yield ("geozarr_cache_entries", (name,)), len(cache)
        catalog = desk.service.catalog
        for name, tally in catalog.tallies.items():
            yield ("geozarr_store_requests", (name,)), tally.requests
            yield ("geozarr_store_failures", (name,)), tally.failures
            yield ("geozarr_store_bytes", (name,)), tally.bytes
        yield ("geozarr_datasets", ()), len(catalog.names)
        yield ("geozarr_datasets_open", ()), catalog.open_count
        yield ("geozarr_datasets_lost", ()), len(catalog.lost)
        yield ("geozarr_workers", ()), 1
        yield ("geozarr_build_info", (_version(),)), 1
        times = os.times()
        yield ("process_cpu_seconds", ()), times.user + times.system
        with contextlib.suppress(OSError):  # where there is no /proc
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            yield ("process_resident_memory_bytes", ()), pages * os.sysconf("SC_PAGE_SIZE")
            yield ("process_open_fds", ()), len(list(Path("/proc/self/fd").iterdir())) - 1


class _Ledger:
    """Files of the processes of one service, named by the process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._mine = folder / f"{os.getpid()}.json"
        self.taken_over = self._take_over()

    def _take_over(self) -> Numbers:
        """Count on where a process that has ended has stopped; renaming its file lets no other one do so too."""
        for path in sorted(self._folder.glob("*.json")):
            if path == self._mine or not _is_alive(path):
                with contextlib.suppress(FileNotFoundError):
                    path.rename(self._mine)
                    numbers = Numbers()
                    numbers.add(Numbers.from_json(self._mine.read_text()), is_alive=False)
                    return numbers
        return Numbers()

    def write(self, numbers: Numbers) -> None:
        """Put the numbers of this process there, whole."""
        whole = self._mine.with_suffix(".new")
        whole.write_text(numbers.to_json())
        whole.replace(self._mine)

    def others(self) -> list[tuple[Numbers, bool]]:
        """Read the numbers of all other processes, and tell whether each runs still."""
        for _ in range(_TRIES):
            with contextlib.suppress(FileNotFoundError):  # taken over since it was listed
                paths = [path for path in list(self._folder.glob("*.json")) if path != self._mine]
                return [(Numbers.from_json(path.read_text()), _is_alive(path)) for path in paths]
        return []


def _is_alive(path: Path) -> bool:
    if os.name == "nt":  # where the signal 0 is none
        return True
    try:
        os.kill(int(path.stem), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def write(numbers: Numbers) -> bytes:
    """Write numbers in the text format of Prometheus."""
    from prometheus_client import CollectorRegistry, generate_latest  # noqa: PLC0415 - when it is needed

    registry = CollectorRegistry()
    registry.register(_Collector(numbers))
    return generate_latest(registry)


class _Collector:
    """What prometheus_client asks for its families."""

    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterable[Any]:
        """Return all families that have a number."""
        from prometheus_client import metrics_core  # noqa: PLC0415 - when it is needed

        kinds: Mapping[str, Any] = {
            "counter": metrics_core.CounterMetricFamily,
            "gauge": metrics_core.GaugeMetricFamily,
            "histogram": metrics_core.HistogramMetricFamily,
        }
        made = {name: kinds[item.kind](name, item.help, labels=item.labels) for name, item in FAMILIES.items()}
        for (name, labels), value in sorted(self._numbers.values.items()):
            made[name].add_metric(labels, value)
        for (name, labels), (*counts, total) in sorted(self._numbers.histograms.items()):
            made[name].add_metric(labels, _buckets(counts), total)
        return [family for family in made.values() if family.samples]


def _buckets(counts: list[float]) -> list[tuple[str, float]]:
    """Add counts up, as Prometheus wants them: how many were at most so long."""
    made, below = [], 0.0
    for bound, count in zip((*map(repr, BUCKETS), "+Inf"), counts, strict=True):
        below += count
        made.append((bound, below))
    return made


def _version() -> str:
    try:
        return version("geozarr-pyramids")
    except PackageNotFoundError:
        return "unknown"
