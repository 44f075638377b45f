"""Run the benchmarks: `python -m benchmarks` for everything, `--quick` for a minute's run.

Contenders take turns, round after round, so that a machine that grows slower or faster meets them all. Each run is a
process of its own. Every output of the first round is compared with an oracle; nothing that failed is left out of the
table. The best of a contender's rounds is reported, with the most memory of any; all rounds are in `results.json`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import environments, inputs, measure, oracle, report
from benchmarks.cases import CASES, shrink
from benchmarks.measure import Failure
from benchmarks.roster import ROSTER

if TYPE_CHECKING:
    from benchmarks.cases import Case
    from benchmarks.roster import Contender

HERE = Path(__file__).parent
MEMORY = 2**30  # bytes given to our build
CHUNK = 512  # pixels along a side of a chunk of a native pyramid
QUICK = ("ours", "floor", "gdal-cog")
WARM_SIDE = 512  # rows of the input of an untimed run of ours, which leaves compiled kernels on the disk
ROOMY = 10 * 2**30  # bytes free in memory; the largest outputs that stand side by side take 3 GiB
LIMIT = 3600.0  # seconds that one run may take


@dataclass(frozen=True)
class Settings:
    """What one call of the benchmarks does."""

    cases: tuple[Case, ...]
    contenders: tuple[Contender, ...]
    rounds: int
    cache: Path
    outputs: Path
    results: Path
    is_quick: bool
    with_scale: bool
    renders_only: bool = False


def main() -> None:
    """Run, print and write the results."""
    settings = parse(sys.argv[1:])
    if settings.renders_only:
        report.write(json.loads((settings.results / "results.json").read_text()), settings.results)
        return
    records: list[dict[str, Any]] = []
    for case in settings.cases:
        print(f"\n{case.title}", flush=True)
        records += run_case(case, settings)
        print(report.case_table([record for record in records if record["case"] == case.name]), flush=True)
    place = "memory" if settings.outputs.is_relative_to("/dev/shm") else "disk"
    about = {"machine": machine() | {"outputs": place}, "command": command(), "is_quick": settings.is_quick}
    document = about | {"records": records}
    if settings.with_scale:
        from benchmarks import scale  # noqa: PLC0415 - it starts processes of its own, and is not needed otherwise

        document["scale"] = scale.run(is_quick=settings.is_quick)
    settings.results.mkdir(parents=True, exist_ok=True)
    document = report.merged(settings.results / "results.json", document)
    (settings.results / "results.json").write_text(json.dumps(document, indent=1) + "\n")
    report.write(document, settings.results)
    print("\n" + report.ratio_table(document))
    print(f"\nwritten: {settings.results / 'RESULTS.md'}")


def parse(arguments: list[str]) -> Settings:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Run the benchmarks.")
    parser.add_argument("--quick", action="store_true", help="small inputs, no peer that must be installed, one round")
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only this; repeatable")
    parser.add_argument(
        "--contender", action="append", choices=[one.name for one in ROSTER], help="only this; repeatable"
    )
    parser.add_argument("--rounds", type=int, help="rounds, 3 by default and 1 when quick")
    parser.add_argument("--side", type=int, help="rows of every input, in place of its own number")
    parser.add_argument("--cache", type=Path, help="folder for inputs and environments; also BENCH_CACHE")
    parser.add_argument(
        "--outputs", type=Path, help="folder for outputs; by default a memory file system where there is a roomy one"
    )
    parser.add_argument("--render", action="store_true", help="run nothing: write page and chart of results.json anew")
    parser.add_argument("--results", type=Path, help="folder for the results; when quick or with --side, in the cache")
    parser.add_argument(
        "--no-scale", action="store_true", help="leave out the plan of a global mosaic and sparse memory"
    )
    chosen = parser.parse_args(arguments)
    cases = [case for case in CASES if not chosen.case or case.name in chosen.case]
    contenders = [one for one in ROSTER if not chosen.contender or one.name in chosen.contender]
    if chosen.quick:
        if not chosen.case:
            cases = [case for case in cases if case.quick_side]
        cases = [shrink(case, case.quick_side or 2048) for case in cases]
        if not chosen.contender:
            contenders = [one for one in contenders if one.name in QUICK]
        contenders = [replace(one, environment="main") if one.name == "gdal-cog" else one for one in contenders]
    if chosen.side:
        cases = [shrink(case, chosen.side) for case in cases]
    cache = chosen.cache or Path(os.environ.get("BENCH_CACHE", HERE / ".cache"))
    is_small = chosen.quick or chosen.side is not None
    return Settings(
        cases=tuple(cases),
        contenders=tuple(contenders),
        rounds=chosen.rounds or (1 if chosen.quick else 3),
        cache=cache.resolve(),
        outputs=(chosen.outputs or default_outputs(cache)).resolve(),
        results=chosen.results or (cache / "small" if is_small else HERE),
        is_quick=is_small,
        with_scale=not chosen.no_scale and not chosen.case,
        renders_only=chosen.render,
    )


def default_outputs(cache: Path) -> Path:
    """Choose where contenders write: in memory where there is room, so that no disk is measured, else in the cache.

    Disks are slow in ways that depend on who came before: ext4 looks at each file that was deleted in the last minutes
    before it makes a new one, which cost up to 6 s for the 6000 objects of one pyramid.
    """
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free >= ROOMY:
        return memory / "geozarr-benchmarks"
    return cache / "outputs"


def run_case(case: Case, settings: Settings) -> list[dict[str, Any]]:
    """Run all contenders of a case in turns; give a record each."""
    present = [one for one in settings.contenders if case.name in one.cases]
    source = make_input(case, settings.cache / "inputs")
    pythons: dict[str, Path] = {}
    failed: dict[str, str] = {}
    for one in present:
        try:
            pythons[one.name] = environments.python_of(one.environment, settings.cache / "environments")
        except Failure as failure:
            failed[one.name] = failure.reason
    if "ours" in pythons:
        warm(case, pythons["ours"], settings)
    warm_up(source)
    runs: dict[str, list[dict[str, Any]]] = {one.name: [] for one in present}
    levels: dict[str, list[dict[str, Any]]] = {}
    for number in range(settings.rounds):
        for one in present:
            if one.name in failed or number >= one.rounds:
                continue
            target = output_of(one, settings.outputs)
            print(f"  round {number + 1}, {one.name} ... ", end="", flush=True)
            try:
                found = measure.run(
                    pythons[one.name],
                    HERE / "contenders" / one.script,
                    job_of(case, one, source, settings),
                    timeout=LIMIT,
                )
                print(f"{found['seconds']:.2f} s", flush=True)
                runs[one.name].append(found)
                if not number and one.name != "floor":
                    levels[one.name] = oracle.verify(case, source, target)
            except (Failure, LookupError) as failure:
                failed[one.name] = str(getattr(failure, "reason", failure))
                print(f"failed: {failed[one.name].splitlines()[-1]}", flush=True)
            if one.name != "ours":  # the floor needs ours until the end of the round
                measure.remove(target)
        shutil.rmtree(settings.outputs, ignore_errors=True)
    return [record_of(case, one, runs[one.name], levels.get(one.name), failed.get(one.name)) for one in present]


def make_input(case: Case, folder: Path) -> Path:
    """Return the case's input, made unless it is in the cache."""
    make = inputs.make_zarr if case.form == "zarr" else inputs.make_geotiff
    return make(case.recipe, folder)


def output_of(one: Contender, outputs: Path) -> Path:
    """Where a contender writes."""
    outputs.mkdir(parents=True, exist_ok=True)
    return outputs / (f"{one.name}.tif" if one.form == "file" else f"{one.name}.zarr")


def job_of(case: Case, one: Contender, source: Path, settings: Settings) -> dict[str, Any]:
    """Tell a contender's script what to do."""
    kind = inputs.KINDS[case.recipe.kind]
    return {
        "source": str(source),
        "target": str(output_of(one, settings.outputs)),
        "pyramid": str(settings.outputs / "ours.zarr"),
        "tms": case.tms,
        "max_zoom": case.max_zoom,
        "levels": native_levels(case.recipe.shape),
        "resampling": case.resampling,
        "method": case.method,
        "bands": kind.bands,
        "nodata": kind.nodata,
        "threads": os.cpu_count() or 1,
        "memory": MEMORY,
        "settings": one.settings,
    }


def native_levels(shape: tuple[int, int]) -> int:
    """Levels until one chunk holds everything, as ours counts them."""
    return 1 + max(0, math.ceil(math.log2(max(shape) / CHUNK)))


def warm(case: Case, python: Path, settings: Settings) -> None:
    """Build something small of the same kind, so that compiled kernels come from the disk as they do for a user."""
    small = shrink(case, WARM_SIDE)
    ours = next(one for one in ROSTER if one.name == "ours")
    job = job_of(small, ours, make_input(small, settings.cache / "inputs"), settings)
    try:
        measure.run(python, HERE / "contenders" / ours.script, job, timeout=LIMIT)
    except Failure as failure:
        print(f"  the small run before failed: {failure.reason.splitlines()[-1]}")


def warm_up(source: Path) -> None:
    """Read an input once, so that it is in the page cache for everybody."""
    for path in sorted(source.rglob("*")) if source.is_dir() else [source]:
        if path.is_file():
            with path.open("rb") as file:
                while file.read(2**24):
                    pass


def record_of(
    case: Case,
    one: Contender,
    runs: list[dict[str, Any]],
    levels: list[dict[str, Any]] | None,
    failed: str | None,
) -> dict[str, Any]:
    """Sum up a contender's runs of a case."""
    about = {
        "case": case.name,
        "title": case.title,
        "contender": one.name,
        "shape": case.recipe.shape,
        "note": one.note,
    }
    about |= {"settings": one.settings, "input": case.recipe.name}
    if failed or not runs:
        return about | {"failed": failed or "not run", "runs": runs}
    best = min(runs, key=lambda run: float(run["seconds"]))
    kept = ("seconds", "cpu_seconds", "bytes", "objects", "versions", "stages", "floor", "predicted_peak_bytes")
    return (
        about
        | {name: best[name] for name in kept if name in best}
        | {
            "peak_bytes": max(run["peak_bytes"] for run in runs),
            "max_error": max((level["max_error"] for level in levels), default=None) if levels else None,
            "levels": levels,
            "runs": runs,
        }
    )


def machine() -> dict[str, Any]:
    """Describe where this runs, without naming it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "system": f"{platform.system()} {platform.machine()}",
    }


def command() -> str:
    """Return the command as a reader would repeat it, without places of this machine."""
    hidden = ("--cache", "--outputs", "--results")
    words = ["python -m benchmarks"]
    arguments = iter(sys.argv[1:])
    for word in arguments:
        if word in hidden:
            next(arguments, None)
        elif not word.startswith(hidden):
            words.append(word)
    return " ".join(words)


if __name__ == "__main__":
    main()
