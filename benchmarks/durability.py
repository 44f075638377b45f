"""What durability costs and what size costs: `python -m benchmarks.durability`, or `make bench-durability`.

    cost        a build as it is beside the same without journal, handovers, checksums and manifest
    plan        a million shards, planned
    tasks       10**5 and 10**6 units of work through the coordinator and into the journal, without their pixels
    resume      a build of 10**6 units that is 99 % done: until the first new unit is handed out
    manifest    1.4 and 35 million objects folded into the manifest, and one of them looked up
    processes   two processes beside one, and two threads
    s3          S3 on this machine beside a folder

Each run is a process of its own (`measure.py`); variants that are compared take turns, round after round, and their
medians count. The records go to `results-durability.json`; a call with some parts replaces these and keeps the others.
"""

from __future__ import annotations

import contextlib
import filecmp
import json
import os
import shutil
import statistics
import sys
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import __main__ as bench
from benchmarks import measure, servers
from benchmarks import settings as settings_module
from benchmarks.cases import CASES, shrink
from benchmarks.measure import Failure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SCRIPT = Path(__file__).parent / "contenders" / "durability_job.py"
RESULTS = "results-durability.json"
MIB = 2**20
CASE = next(case for case in CASES if case.name == "elevation")
QUICK_SIDE = 4096  # rows of the input of a quick run
LARGE_SIDE = 32_768  # rows of the input that processes share
# Squares of which each subtree is 2048 px: 4**n of them, and a third more to put together.
HUNDRED_THOUSAND, MILLION = 2**19, 2**21
MANY = 2_621_440  # pixels: 35 million objects of 512 px
TWO_CORES = 7  # units a second that two cores do, of 2048 px
LIMIT = 3600.0  # seconds that one run may take
ROUNDS = 5


@dataclass(frozen=True)
class Settings(settings_module.Settings):
    """What one call does."""

    @property
    def target(self) -> Path:
        """Where a run writes."""
        return self.outputs / "durability.zarr"


@dataclass(frozen=True)
class Aim:
    """A number to reach."""

    what: str
    found: float
    at_most: float
    unit: str

    def __str__(self) -> str:
        verdict = "met" if self.found <= self.at_most else "missed"
        return f"{self.what:<58} {self.found:>9.4g} {self.unit:<4} at most {self.at_most:g}: {verdict}"


def main() -> None:
    """Run, print and write the results."""
    quick = "small inputs, a tenth of the units, one round"
    parser = settings_module.parser("durability", "Measure durability and size.", quick=quick, rounds=ROUNDS)
    parser.add_argument("part", nargs="*", choices=[[], *PARTS], help="only these; by default all")
    chosen = parser.parse_args()
    settings = Settings(**settings_module.common(chosen, rounds=ROUNDS))
    parts = chosen.part or list(PARTS)
    records: list[dict[str, Any]] = []
    for part in parts:
        print(f"\n{part}", flush=True)
        records += [{"part": part} | record for record in PARTS[part](settings)]
    settings.results.mkdir(parents=True, exist_ok=True)
    path = settings.results / RESULTS
    kept = _kept(path, parts)
    document = settings_module.about(settings, "durability") | {
        "records": sorted(kept + records, key=lambda record: list(PARTS).index(record["part"])),
    }
    path.write_text(json.dumps(document, indent=1) + "\n")
    print("\n" + table(document["records"]))
    print(f"\nwritten: {path}")


def _kept(path: Path, parts: Sequence[str]) -> list[dict[str, Any]]:
    """Read what an earlier call found that this one does not replace."""
    if not path.exists():
        return []
    records: list[dict[str, Any]] = json.loads(path.read_text())["records"]
    return [record for record in records if record["part"] not in parts and record["part"] in PARTS]


def cost(settings: Settings) -> list[dict[str, Any]]:
    """Build with all that lasts and without it, in turns."""
    base = _build_job(settings)
    # More rounds than others: what is looked for is less than what two runs of the same differ by.
    often = replace(settings, rounds=3 * settings.rounds)
    runs = _in_turns({"durable": base, "bare": base | {"bare": True}}, often, keep=True)
    same = _same_levels(settings.outputs / "durable.zarr", settings.outputs / "bare.zarr")
    _clean(settings)
    return [*_compared(runs), {"name": "levels are the same bytes", "value": same}]


def processes(settings: Settings) -> list[dict[str, Any]]:
    """Build with one process on one core, with two processes, and with two threads.

    The input is larger, since a process takes a second to start. One process left to itself reads ahead on another
    core.
    """
    base = _build_job(settings, LARGE_SIDE) | {"memory": 2 * bench.MEMORY}
    jobs = {
        "one process, on one core": base | {"threads": 1, "cores": 1},
        "one process": base | {"threads": 1},
        "two processes": base | {"threads": 1, "processes": 2},
        "two threads": base | {"threads": 2},
    }
    runs = _in_turns(jobs, settings, keep=True)
    folders = [settings.outputs / f"{name.replace(' ', '-')}.zarr" for name in jobs]
    same = all(_same_levels(folders[0], folder) for folder in folders[1:] if folder.exists())
    _clean(settings)
    return [*_compared(runs), {"name": "levels are the same bytes", "value": same}]


def s3(settings: Settings) -> list[dict[str, Any]]:
    """Build into a folder and into S3 on this machine: shards, and of a smaller raster thousands of single chunks."""
    large, small = _build_job(settings, LARGE_SIDE), _build_job(settings)
    try:
        with _s3_server() as bucket:
            jobs = {
                "folder, shards": large,
                "s3, shards": large | {"url": f"s3://{bucket}/shards"},
                "folder, chunks": small,
                "s3, chunks": small | {"url": f"s3://{bucket}/chunks"},
            }
            runs = _in_turns(jobs, settings)
    except Failure as failure:
        return [{"name": "s3", "failed": failure.reason}]
    _clean(settings)
    return _compared(runs)


def plan(settings: Settings) -> list[dict[str, Any]]:
    """Plan a million shards."""
    job = {"kind": "plan", "width": 2_004_000, "max_zoom": 13}
    runs = [_run(job, settings) for _ in range(settings.rounds)]
    return [_median(runs) | {"name": "a million shards: the globe at 20 m, zoom 13"}]


def tasks(settings: Settings) -> list[dict[str, Any]]:
    """Coordinate 10**5 and 10**6 units; the first also in Web Mercator, and with a segment for a few units each."""
    few = {"kind": "tasks", "side": HUNDRED_THOUSAND, "a_segment": None}
    jobs = {
        "10**5 units": few,
        "10**5 units, a segment each 7": few | {"a_segment": TWO_CORES},
        "10**5 units, geographic to Web Mercator": few | {"side": None, "width": 501_000, "max_zoom": 11},
        "10**6 units": few | {"side": MILLION},
    }
    if settings.is_quick:
        del jobs["10**6 units"]
    return [_run(job, settings) | {"name": name} for name, job in jobs.items()]


def resume(settings: Settings) -> list[dict[str, Any]]:
    """Go on with 10**6 units of which 99 % are done; the journal as two cores leave it, and never merged."""
    side = HUNDRED_THOUSAND if settings.is_quick else MILLION
    records = []
    for name, a_segment in (("journal of two cores", 256 * TWO_CORES), ("the same, if it were not merged", TWO_CORES)):
        folder = settings.outputs / "left"
        job = {"side": side, "share": 0.99, "a_segment": a_segment, "folder": str(folder)}
        left = _run(job | {"kind": "leave"}, settings)
        found = _run(job | {"kind": "resume"}, settings)
        if "segments" in left:
            found["segments"] = left["segments"]
        records.append(found | {"name": name})
        measure.remove(folder)
    return records


def manifest(settings: Settings) -> list[dict[str, Any]]:
    """Fold the journal of 1.4 and of 35 million objects."""
    jobs = {
        "1.4 million objects": {"kind": "manifest", "side": MILLION, "shard": 2048},
        "35 million objects": {"kind": "manifest", "side": MANY, "shard": "none"},
    }
    if settings.is_quick:
        del jobs["35 million objects"]
    return [_run(job, settings) | {"name": name} for name, job in jobs.items()]


PARTS: dict[str, Callable[[Settings], list[dict[str, Any]]]] = {
    "cost": cost,
    "plan": plan,
    "tasks": tasks,
    "resume": resume,
    "manifest": manifest,
    "processes": processes,
    "s3": s3,
}


def _build_job(settings: Settings, side: int | None = None) -> dict[str, Any]:
    """Make the input, compile what is compiled on first use, and say what is built."""
    case = shrink(CASE, QUICK_SIDE) if settings.is_quick else CASE if side is None else shrink(CASE, side)
    small = shrink(CASE, bench.WARM_SIDE)
    job = {"kind": "build", "bare": False, "threads": os.cpu_count() or 1, "memory": bench.MEMORY}
    job["max_zoom"] = case.max_zoom
    _run(job | {"source": str(bench.make_input(small, settings.cache / "inputs"))}, settings, told="warming up")
    source = bench.make_input(case, settings.cache / "inputs")
    bench.warm_up(source)
    return job | {"source": str(source)}


def _in_turns(
    jobs: dict[str, dict[str, Any]], settings: Settings, *, keep: bool = False
) -> dict[str, list[dict[str, Any]]]:
    """Run variants in turns, forwards and backwards; the first round's outputs stay where they are to be kept."""
    # A machine that has rested gives its first runs their memory slowly.
    _run(next(iter(jobs.values())), settings, told="the first run, which does not count")
    measure.remove(settings.target)
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in jobs}
    for number in range(settings.rounds):
        for name, job in list(jobs.items())[:: -1 if number % 2 else 1]:
            if "failed" in (runs[name] or [{}])[-1]:
                continue
            target = settings.outputs / f"{name.replace(' ', '-')}.zarr" if keep and not number else settings.target
            if "url" in job:
                job = job | {"url": f"{job['url']}-{number}"}  # noqa: PLW2901
            runs[name].append(_run(job, settings, target=target, told=f"round {number + 1}, {name}"))
            measure.remove(settings.target)
    return runs


def _run(job: dict[str, Any], settings: Settings, *, target: Path | None = None, told: str = "") -> dict[str, Any]:
    """Run one measurement in a process of its own; a failure is a record too."""
    settings.outputs.mkdir(parents=True, exist_ok=True)
    job = job | {"target": str(target or settings.target)}
    shown = told or ", ".join(f"{key} {value}" for key, value in job.items() if key not in ("target", "folder"))
    print(f"  {shown} ... ", end="", flush=True)
    try:
        found = measure.run(Path(sys.executable), SCRIPT, job, timeout=LIMIT)
    except Failure as failure:
        print(f"failed: {failure.reason}", flush=True)
        return {"failed": failure.reason}
    print(f"{found['seconds']:.2f} s, {found['peak_bytes'] / MIB:.0f} MiB", flush=True)
    return found


def _median(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Sum up the runs of a variant: the median of the seconds, the most memory of any."""
    done = [run for run in runs if "failed" not in run]
    if not done:
        return {"failed": runs[-1]["failed"] if runs else "not run"}
    best = dict(done[0])
    for name in ("seconds", "cpu_seconds", "sync_seconds"):
        if name in best:
            best[name] = statistics.median(run[name] for run in done)
    best["peak_bytes"] = max(run["peak_bytes"] for run in done)
    return best | {"rounds": [run["seconds"] for run in done]}


def _compared(runs: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Give a record a variant."""
    return [_median(found) | {"name": name} for name, found in runs.items()]


def _same_levels(one: Path, other: Path) -> bool:
    """Tell whether two pyramids have the same bytes below their levels."""

    def levels(folder: Path) -> list[str]:
        found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        return sorted(key for key in found if not key.startswith(".build") and key != "zarr.json")

    keys = levels(one)
    if not keys or keys != levels(other):
        return False
    _, different, failed = filecmp.cmpfiles(one, other, keys, shallow=False)
    return not different and not failed


def _clean(settings: Settings) -> None:
    for folder in settings.outputs.glob("*.zarr"):
        shutil.rmtree(folder)


@contextlib.contextmanager
def _s3_server() -> Iterator[str]:
    """Have S3 on this machine, from moto, in a process of its own; gives the name of a bucket.

    Raises
    ------
    Failure
        If it does not come up.
    """
    port = servers.free_port()
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    known = {
        "AWS_ENDPOINT_URL": address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "benchmark",
        "AWS_SECRET_ACCESS_KEY": "benchmark",
        "AWS_REGION": "us-east-1",
    }
    before = {name: os.environ.get(name) for name in known}
    os.environ.update(known)
    try:
        with servers.up(command, address):
            request = urllib.request.Request(f"{address}/benchmark", method="PUT")
            urllib.request.urlopen(request).close()
            yield "benchmark"
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def aims(records: list[dict[str, Any]]) -> list[Aim]:
    """Compare what was found with what is to be reached."""
    found = {(record["part"], record["name"]): record for record in records if "failed" not in record}

    def of(part: str, start: str) -> dict[str, Any] | None:
        return next((it for (where, name), it in found.items() if where == part and name.startswith(start)), None)

    aims = []
    durable, bare = of("cost", "durable"), of("cost", "bare")
    if durable and bare:
        turns = zip(durable["rounds"], bare["rounds"], strict=False)
        more = statistics.median(one / other - 1 for one, other in turns)
        aims.append(Aim("cost: journal, handovers, checksums, manifest", 100 * more, 5, "%"))
        processor = durable["cpu_seconds"] / bare["cpu_seconds"] - 1
        aims.append(Aim("cost: the same in processor time", 100 * processor, 5, "%"))
    if planned := of("plan", ""):
        aims.append(Aim(f"plan: {planned['objects']:,} objects", planned["seconds"], 10, "s"))
        aims.append(Aim("plan: memory", planned["peak_bytes"] / MIB, 500, "MiB"))
    if went_on := of("resume", "journal"):
        aims.append(Aim(f"resume: {went_on['units']:,} units done", went_on["seconds"], 30, "s"))
    one, two = of("processes", "one process, on one core"), of("processes", "two processes")
    if one and two:
        gain = statistics.median(a / b for a, b in zip(one["rounds"], two["rounds"], strict=False))
        aims.append(Aim("processes: two beside one, 1.7 times as quick or more", 1.7 / gain, 1.0, "/1.7"))
    folder, remote = of("s3", "folder, shards"), of("s3", "s3, shards")
    if folder and remote:
        more = statistics.median(b / a for a, b in zip(folder["rounds"], remote["rounds"], strict=False))
        aims.append(Aim("s3: on this machine beside a folder", more, 1.5, "x"))
    few, many = of("tasks", "10**5 units"), of("tasks", "10**6 units")
    if few and many:
        grown = (many["peak_bytes"] / few["peak_bytes"] - 1) * 100
        aims.append(Aim("tasks: memory at 10**6 units above that at 10**5", grown, 10, "%"))
    return aims


def table(records: list[dict[str, Any]]) -> str:
    """Show records and aims as text."""
    lines = []
    for record in records:
        name = f"{record['part']:<10} {record['name']:<44}"
        if "failed" in record:
            lines.append(f"{name} failed: {record['failed']}")
        elif "value" in record:
            lines.append(f"{name} {record['value']}")
        else:
            lines.append(f"{name} {record['seconds']:>8.2f} s {record['peak_bytes'] / MIB:>6.0f} MiB  {_more(record)}")
    return "\n".join([*lines, "", *map(str, aims(records))])


def _more(record: dict[str, Any]) -> str:
    """Show what only some parts measure."""
    shown = {
        "cpu_seconds": "{:.2f} s of processor",
        "sync_seconds": "{:.2f} s of syncing",
        "units": "{:,} units",
        "units_a_second": "{:,.0f} units/s",
        "segments": "{:,} segments",
        "journal_objects": "{:,} journal objects",
        "journal_bytes": "{:,} bytes of journal",
        "objects": "{:,} objects",
        "manifest_bytes": "{:,} bytes of manifest",
        "first_look_seconds": "{:.4f} s to the first entry",
    }
    return ", ".join(text.format(record[name]) for name, text in shown.items() if name in record)


if __name__ == "__main__":
    main()
