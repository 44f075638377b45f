"""geozarr-build: build a pyramid from a raster."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from geozarr.errors import (
    BuildConflictError,
    BuildIncompleteError,
    ChunkReadError,
    GeoZarrError,
    StoreError,
    cause_in_words,
)
from geozarr.icechunk_store import is_address
from pyramids.build import Report, execute
from pyramids.clean import GRACE, clean
from pyramids.cluster import Cluster, connected
from pyramids.mosaic import OVERLAPS
from pyramids.opening import open_source
from pyramids.pack import pack
from pyramids.planner import DEFAULT_MEMORY, NATIVE, RESAMPLING, Options, make_plan
from pyramids.sources.cf_placing import IRREGULAR
from pyramids.sources.damaged import CHOICES, ERROR
from pyramids.sources.raster import BAND_LAYOUTS
from pyramids.sources.source import NONE
from pyramids.status import status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from pyramids.opening import One, Opens

_DAMAGE_SHOWN = 1000  # lines; a report in Python has them all
_UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_NAMED = re.compile(r"(?P<name>[A-Za-z_][\w.-]*)=(?P<path>.+)", re.DOTALL)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}

# Exit statuses: what the caller can do about it. 2 is click's own for bad arguments.
REFUSED = 2
GAPS = 3
FAILED = 4
BUSY = 5


_HELP = {"help_option_names": ["-h", "--help"]}


class _Size(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic since click 8.4
    """A number of bytes such as 512M or 2G (units of 1024)."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        text = str(value).upper().removesuffix("IB").removesuffix("B")
        number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "")
        try:
            size = int(float(number) * _UNITS.get(unit, 1))
        except (ValueError, OverflowError):
            size = 0
        if size <= 0:
            self.fail(f"{value!r} is not a size such as 512M or 2G", param, ctx)
        return size


class _Nodata(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic since click 8.4
    """A number, of which whole ones keep all their digits, or none."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float | str:
        if isinstance(value, int | float) or value == NONE:
            return value  # type: ignore[no-any-return]
        try:
            return int(value)
        except ValueError:
            pass
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number or {NONE}", param, ctx)


class _Choice(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic since click 8.4
    """NAME=POSITIONS along a leading axis."""

    name = "choice"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, is_given, chosen = str(value).partition("=")
        if not (name.strip() and is_given and chosen.strip()):
            self.fail(f"{value!r} is not NAME=POSITIONS, such as time=2001-01..2001-06", param, ctx)
        return name.strip(), chosen.strip()


class _Shard(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic since click 8.4
    """A number of pixels, or auto, or none."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value in ("auto", "none") or isinstance(value, int):
            return value  # type: ignore[no-any-return]
        if not str(value).isdigit():
            self.fail(f"{value!r} is not auto, none or a number of pixels", param, ctx)
        return int(value)


class _Seconds(click.ParamType):  # type: ignore[type-arg, unused-ignore] # generic since click 8.4
    """A time such as 90s, 30m, 12h or 7d; a number alone is seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        number, unit = (text[:-1], text[-1]) if text[-1:] in _SECONDS else (text, "s")
        try:
            seconds = float(number) * _SECONDS[unit]
        except ValueError:
            seconds = -1.0
        if not 0 <= seconds < float("inf"):
            self.fail(f"{value!r} is not a time such as 90s, 12h or 7d", param, ctx)
        return seconds


class _BuildCommand(click.Command):
    """The command itself, and those that follow its name."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        other = _OTHERS.get(args[0]) if args else None
        if other is None:
            return super().make_context(info_name, args, parent, **extra)
        return other.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


class _Rate(ProgressColumn):
    """Megapixels a second since the start."""

    def render(self, task: Task) -> Text:
        speed = task.completed / task.elapsed if task.elapsed else 0.0
        return Text(f"{speed:6.1f} Mpx/s", style="progress.data.speed")


@click.command(cls=_BuildCommand, context_settings=_HELP, epilog="Also: geozarr-build clean TARGET, pack TARGET FILE.")
@click.argument("places", metavar="SOURCE... [TARGET]", nargs=-1, required=True)
@click.option(
    "--tms",
    default="WebMercatorQuad",
    show_default=True,
    metavar="NAME|FILE|native",
    help="TileMatrixSet: a registered name, a TMS 2.0 JSON file, or 'native' for the source's own grid, halved.",
)
@click.option(
    "--min-zoom",
    metavar="ID",
    help="Tile matrix of the coarsest level. [default: the last in which the data needs at most 2 x 2 tiles]",
)
@click.option(
    "--max-zoom",
    metavar="ID",
    help="Tile matrix of the finest level. [default: the nearest to the source's resolution]",
)
@click.option("--levels", type=int, help="Number of levels of a native pyramid. [default: until one chunk holds all]")
@click.option(
    "--resampling",
    type=click.Choice(RESAMPLING),
    default="auto",
    show_default=True,
    help="How the source is warped and coarsened; auto: mode for classes, bit-or for flags, else average.",
)
@click.option("--force", is_flag=True, help="Allow a mean of classes or flags.")
@click.option(
    "--nodata", type=_Nodata(), help="The value that means no data, in the source and in the pyramid; none: no value."
)
@click.option(
    "--crs", metavar="CODE|WKT", help="What the coordinates mean, in place of what the source says: OGC:CRS84."
)
@click.option("--group", help="Group of a NetCDF, HDF5 or Zarr source.")
@click.option(
    "--sel",
    "select",
    type=_Choice(),
    multiple=True,
    metavar="NAME=POSITIONS",
    help="Positions along a leading axis: time=2001-01..2001-06, level=500,850, band=#0; repeat for several axes.",
)
@click.option(
    "--irregular",
    type=click.Choice(IRREGULAR),
    default=IRREGULAR[0],
    show_default=True,
    help="Coordinates that are not evenly spaced are refused, or pixels are read from where they say.",
)
@click.option(
    "--distance",
    "limit",
    type=click.FloatRange(0, min_open=True),
    help="Metres from the nearest pixel of a swath beyond which there is no data. [default: its widest spacing]",
)
@click.option(
    "--overlap",
    type=click.Choice(OVERLAPS),
    default=OVERLAPS[0],
    show_default=True,
    help="Of several sources, what counts where more than one holds data.",
)
@click.option("--strict", is_flag=True, help="Refuse a source that has to be groomed.")
@click.option(
    "--bands",
    type=click.Choice(BAND_LAYOUTS),
    default="variables",
    show_default=True,
    help="Store each band as a variable, or all as one variable with a band axis.",
)
@click.option(
    "--variable",
    "variables",
    multiple=True,
    help="Variable of a NetCDF, HDF5 or Zarr source; repeat for several. [default: all on the grid]",
)
@click.option("--chunk", type=int, help="Pixels along a side of a chunk of a native pyramid. [default: 512]")
@click.option(
    "--shard",
    type=_Shard(),
    default="auto",
    show_default=True,
    help="Pixels along a side of a shard, none, or auto: none up to 10 000 chunks, else 2048.",
)
@click.option(
    "--zarr-format",
    type=click.Choice(("2", "3")),
    default="3",
    show_default=True,
    callback=lambda _context, _parameter, value: int(value),
    help="Version of Zarr; 2 for clients that read nothing newer, such as GDAL before 3.8. It has no shards.",
)
@click.option("--threads", type=click.IntRange(1), help="Threads. [default: one a core]")
@click.option("--processes", type=click.IntRange(1), help="Processes in place of threads; they share the memory.")
@click.option(
    "--dask",
    metavar="ADDRESS",
    help="Scheduler of a Dask cluster that does the work, such as tcp://host:8786; --memory is that of each worker.",
)
@click.option(
    "--memory", type=_Size(), default=DEFAULT_MEMORY, show_default="1G", help="Memory that the build may use."
)
@click.option(
    "--damaged",
    type=click.Choice(CHOICES),
    default=ERROR,
    show_default=True,
    help="A block of the source that cannot be read ends the build, or is no data: then it is listed, with status 3.",
)
@click.option(
    "--overwrite", is_flag=True, help="Replace a pyramid that this tool built. Anything else is never touched."
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on where this build was stopped; compare what it has stored, and what is published, and mend it.",
)
@click.option("--status", is_flag=True, help="Say how far the builds of a target have come, and stop: --status TARGET.")
@click.option("--dry-run", is_flag=True, help="Print the plan and stop; no pixel is read, nothing is written.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
@click.version_option(package_name="geozarr-pyramids")
def main(places: tuple[str, ...], **given: Any) -> None:
    """Build TARGET, a GeoZarr multiscale pyramid, from SOURCE, a raster file, a NetCDF or HDF5 file, or a Zarr store.

    Several SOURCEs become one mosaic where they have the same variables; where each has its own, these come together in
    one pyramid, each from the level that fits its resolution. NAME=SOURCE gives the one variable of a SOURCE a name, or
    takes that of this name. TARGET may be left out of a dry run of one.

    TARGET is a folder, a URL such as s3://bucket/name, or an Icechunk repository: icechunk://PATH or
    icechunk+s3://BUCKET/PREFIX, with ?branch=NAME where it is not main.

    Ends with 0 when the pyramid is published; 2 on a bad source, option or target, before anything is written; 3 when
    it is published without the blocks of the source that are damaged (--damaged nodata); 4 when the build failed on its
    way, and --resume goes on; 5 when somebody else is building there; 130 or 143 when it was stopped.
    """
    if given["status"]:
        _tell_status(places[-1])
        return
    paths, target = (places[:-1], places[-1]) if len(places) > 1 else (places, None)
    if target is None and not given["dry_run"]:
        raise click.UsageError("Missing argument 'TARGET'.")
    sources = _sources(paths)
    if given["overlap"] != OVERLAPS[0] and isinstance(sources, str):
        raise click.UsageError("--overlap is of several sources.")
    names = {field.name for field in fields(Options)}
    if sum(given[name] is not None for name in ("threads", "processes", "dask")) > 1:
        raise click.UsageError("--threads, --processes and --dask exclude each other.")
    console = Console(stderr=True, quiet=given["quiet"])
    again = "nothing of it is kept" if is_address(target or "") else "--resume goes on"
    signal.signal(signal.SIGTERM, partial(_terminated, again))
    with contextlib.ExitStack() as stack:
        with _failures(f"nothing was published, {again}"):
            cluster = stack.enter_context(connected(given["dask"])) if given["dask"] else None
            options = Options(**{k: v for k, v in given.items() if k in names} | _hands(given, cluster))
            of_source = ("nodata", "bands", "group", "crs", "irregular", "limit", "overlap")
            opened = open_source(
                sources,
                variables=given["variables"] or None,
                select=dict(given["select"]),
                **{name: given[name] for name in of_source},
            )
            plan = make_plan(opened, options)
        if given["dry_run"]:
            click.echo(str(plan))
            return
        if not given["quiet"]:
            click.echo(str(plan))
        with _failures(f"nothing was published, {again}", failed=FAILED), _bar(console) as bar:
            report = execute(
                plan,
                opened,
                target or "",
                overwrite=given["overwrite"],
                resume=given["resume"],
                executor=cluster.executor if cluster else None,
                listener=_listener(bar, plan.work),
            )
    if not given["quiet"]:
        click.echo(f"built      {target}: {report.objects:,} objects, {report.size / 1e6:,.1f} MB of data")
        spent = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in report.stages.items())
        click.echo(f"spent      CPU seconds: {spent}")
        shown = "geozarr-check" if options.tms == NATIVE else "geozarr-serve"
        click.echo(f"next       {shown} {target}")
    if report.undefined and not given["quiet"]:
        click.echo(f"undefined  {report.undefined:,} pixels of all levels: no data, since infinities of both signs met")
    if report.damaged:
        _tell_damage(report)
        sys.exit(GAPS)


def _sources(paths: tuple[str, ...]) -> Opens:
    """Read what is to be built from: a path, several, or several with names.

    Raises
    ------
    click.UsageError
        If some have names and others have not.
    """
    named = [_NAMED.fullmatch(path) if not Path(path).exists() else None for path in paths]
    if not any(named):
        return paths[0] if len(paths) == 1 else list(paths)
    found: dict[str, list[One]] = {}
    for path, match in zip(paths, named, strict=True):
        if match is None:
            raise click.UsageError(f"{path} has no name, and others have: NAME={path}.")
        found.setdefault(match["name"], []).append(match["path"])
    return {name: tuple(several) for name, several in found.items()}


def _tell_damage(report: Report) -> None:
    for damage in report.damaged[:_DAMAGE_SHOWN]:
        click.echo(f"geozarr-build: damaged: {damage.array}: {damage.chunk}", err=True)
    if len(report.damaged) > _DAMAGE_SHOWN:
        click.echo(f"geozarr-build: damaged: and {len(report.damaged) - _DAMAGE_SHOWN:,} more", err=True)
    text = f"geozarr-build: published, with {len(report.damaged):,} damaged blocks of the source as no data"
    click.echo(text, err=True)


def _hands(given: dict[str, Any], cluster: Cluster | None) -> dict[str, int]:
    """Options of who does the work."""
    if cluster is not None:
        share = given["memory"] * cluster.processes
        return {"processes": cluster.processes, "workers": cluster.threads, "memory": share}
    if given["processes"]:
        return {"processes": given["processes"], "workers": 1}
    return {"processes": 1, "workers": given["threads"] or os.cpu_count() or 1}


@click.command(context_settings=_HELP)
@click.argument("target")
@click.option(
    "--grace",
    type=_Seconds(),
    default=GRACE,
    show_default="24h",
    help="How long a pyramid stays after it was replaced: readers may still be at it.",
)
@click.option("--unfinished", is_flag=True, help="Delete unfinished builds too; they cannot be resumed then.")
@click.option("--dry-run", is_flag=True, help="Say what there is and stop.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def clean_command(target: str, *, grace: float, unfinished: bool, dry_run: bool, quiet: bool) -> None:
    """Delete what builds have left in TARGET that readers do not see.

    Ends with 0, 2 when TARGET is none of this tool, 4 when the store failed on the way, 5 when somebody is building.
    """
    with _failures("what is left can be cleaned again", failed=FAILED):
        found = clean(target, grace=grace, unfinished=unfinished, dry_run=dry_run)
    if quiet:
        return
    for item in found:
        fate = f"stays for {_duration(item.wait)}" if item.wait else "would go" if dry_run else "deleted"
        click.echo(f"{item.state:<10} {item.build}: {item.objects:,} objects, {item.size / 1e6:,.1f} MB, {fate}")
    if not found:
        click.echo("nothing to clean")


@click.command(context_settings=_HELP)
@click.argument("target")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace a zip file that is there.")
@click.option("--quiet", is_flag=True, help="Print errors only.")
def pack_command(target: str, file: Path, *, overwrite: bool, quiet: bool) -> None:
    """Put the pyramid that readers see in TARGET into FILE, one zip file to hand over.

    Each object is compared with the manifest on its way. Ends with 0; 2 when TARGET or FILE is refused; 4 when an
    object is lost or damaged, or a store failed: then there is no file.
    """
    with _failures("there is no zip file", failed=FAILED):
        packed = pack(target, file, overwrite=overwrite)
    if not quiet:
        click.echo(f"packed     {file}: {packed.objects:,} objects, {packed.size / 1e6:,.1f} MB")
        click.echo(f"next       geozarr-check {file}")


_OTHERS = {"clean": clean_command, "pack": pack_command}


@contextlib.contextmanager
def _failures(stopped: str, *, failed: int = REFUSED) -> Iterator[None]:
    """Turn what ends a command into a line and a status; `failed` is that of a source or store that fails."""
    try:
        yield
    except GeoZarrError as error:
        click.echo(f"geozarr-build: {_with_cause(error)}", err=True)
        sys.exit(_status_of(error, failed))
    except KeyboardInterrupt:
        click.echo(f"geozarr-build: stopped; {stopped}", err=True)
        sys.exit(130)


def _status_of(error: GeoZarrError, failed: int) -> int:
    if isinstance(error, BuildConflictError):
        return BUSY
    return failed if isinstance(error, ChunkReadError | BuildIncompleteError | StoreError) else REFUSED


def _tell_status(target: str) -> None:
    with _failures("nothing was changed"):
        found = status(target)
    click.echo(f"builder    {found.builder or 'none at work'}")
    for item in found.builds:
        share = item.covered / item.work if item.work else 1.0
        left = (
            "" if item.seconds_left is None else f", {_duration(item.seconds_left)} left at {item.rate / 1e6:.1f} Mpx/s"
        )
        click.echo(f"{item.state:<10} {item.build} from {item.source}")
        if item.state == "unfinished":
            click.echo(
                f"           {item.covered / 1e6:,.1f} of {item.work / 1e6:,.1f} Mpx ({share:.1%}), "
                f"{item.objects:,} objects, {item.size / 1e6:,.1f} MB{left}"
            )


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def _bar(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:3.0f} %"), _Rate())
    return Progress(*columns, TimeRemainingColumn(), console=console)


def _listener(bar: Progress, work: int) -> Callable[[Report], None]:
    task = bar.add_task("building", total=work / 1e6)
    return lambda report: bar.update(task, completed=report.computed / 1e6)


def _with_cause(error: GeoZarrError) -> str:
    """One line: the error, and what the library below said where that adds something."""
    notes = getattr(error, "__notes__", ())
    # One from another process has its cause put into words there.
    words = notes[0] if notes else cause_in_words(error)
    return " ".join((f"{error}: {words}" if words else str(error)).split())


def _terminated(again: str, _signal: int, _frame: FrameType | None) -> None:
    click.echo(f"geozarr-build: terminated; nothing was published, {again}", err=True)
    sys.exit(143)
