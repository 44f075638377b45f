"""The commands `geozarr-check` and `geozarr-check-files`.

Exit status 0 without findings, 1 with, 2 where nothing could be checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from conformance import fixing
from conformance.check import check
from conformance.formats import text
from conformance.formats.table import WRITERS
from conformance.profiles import NAMES
from conformance.readers import report_readers, to_json, to_text
from conformance.report import Depth
from conformance.roots import roots_of
from geozarr.errors import GeoZarrError, StoreError
from geozarr.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from conformance.report import Report

T = TypeVar("T")
_DEPTH = click.option(
    "--depth",
    type=click.Choice([str(depth) for depth in Depth]),
    default=str(Depth.GEOMETRY),
    show_default=True,
    help="How far to look: documents; also grids and coordinate values; also every stored object; also pixels.",
)
_PROFILE = click.option(
    "--profile",
    type=click.Choice(NAMES),
    default="geozarr",
    show_default=True,
    help="What the store is judged by; under the name of a reader, what that fails on or loses.",
)
_COLOR = click.option(
    "--color",
    type=click.Choice(["auto", "always", "never"]),
    default="auto",
    show_default=True,
    help="Colours in text: auto, on a terminal and where NO_COLOR is not set.",
)


@click.command()
@click.argument("store")
@_DEPTH
@click.option(
    "--format",
    "form",
    type=click.Choice(list(WRITERS)),
    default="text",
    show_default=True,
    help="How to write the report.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the report to this file, all at once; text still goes to the terminal.",
)
@_COLOR
@click.option("--verbose", is_flag=True, help="In text, list every place, what rules ask, and what arrays inherit.")
@click.option("--no-preview", is_flag=True, help="In html, read no pixels for a preview.")
@_PROFILE
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the pixels to look at.")
@click.option(
    "--own/--no-own",
    "own_documents",
    default=None,
    help="Read each node's own document beside consolidated metadata, or not.  [default: not at depth metadata of a "
    "store across a network]",
)
@click.option("--all", "all_pixels", is_flag=True, help="At depth pixels, look at all of them.")
@click.option("--readers", is_flag=True, help="Tell instead what other readers do with the store, as text or JSON.")
@click.option("--fix", is_flag=True, help="Print what would mend the documents, as a diff, before the report of that.")
@click.option("--write", is_flag=True, help="With --fix: write it, and check what is then stored.")
@click.option("--source", is_flag=True, help="Tell instead what geozarr-build would put right in STORE, any raster.")
@click.option("--crs", metavar="CODE|WKT", help="With --source: what the coordinates mean.")
@click.option("--group", help="With --source: group of a NetCDF, HDF5 or Zarr source.")
def main(
    store: str,
    depth: str,
    form: str,
    output: Path | None,
    color: str,
    *,
    verbose: bool,
    no_preview: bool,
    profile: str,
    seed: int,
    all_pixels: bool,
    own_documents: bool | None,
    readers: bool,
    fix: bool,
    write: bool,
    source: bool,
    crs: str | None,
    group: str | None,
) -> None:
    """Say what is wrong with the GeoZarr at STORE, a folder or a URL.

    Exit status 0: nothing is wrong. 1: there are errors or warnings. 2: the store cannot be read, or it holds nothing
    that uses the conventions. With --fix it is that of what is left. With --readers it is 0 where there is a variable
    to tell of. With --source it is 1 where something would be put right, 2 where no pyramid is built of it.
    """
    if source:
        if fix or readers or form not in ("text", "json") or output is not None:
            raise click.UsageError("--source writes text or JSON to the terminal, and mends nothing")
        sys.exit(_tell_source(store, form, crs=crs, group=group))
    if crs is not None or group is not None:
        raise click.UsageError("--crs and --group are of a source; give --source")
    if write and not fix:
        raise click.UsageError("--write writes what --fix proposes; give both")

    if readers:
        if fix or form not in ("text", "json") or output is not None:
            raise click.UsageError("--readers writes text or JSON to the terminal, and mends nothing")
        sys.exit(_tell_readers(store, form))

    def run() -> Report:
        if fix:
            planned = _fix(store, profile=profile, is_written=write)
            if not write:
                return planned
        drawn = partial(check, picture=form == "html", preview=not no_preview)
        return drawn(store, depth=depth, profile=profile, seed=seed, all_pixels=all_pixels, own_documents=own_documents)

    report = _checked(run)
    if report is None:
        sys.exit(2)
    if output is not None:
        written = text.write(report, verbose=verbose) if form == "text" else WRITERS[form](report)
        try:
            _write(output, f"{written}\n")
        except OSError as error:
            click.echo(f"geozarr-check: {output} cannot be written: {error.strerror}", err=True)
            sys.exit(2)
    if form == "text" or output is not None:
        _tell(report, color, verbose=verbose)
    else:
        click.echo(WRITERS[form](report))
    sys.exit(report.exit_status)


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@_DEPTH
@_COLOR
@_PROFILE
def main_files(files: tuple[Path, ...], depth: str, color: str, profile: str) -> None:
    """Check each store that one of FILES lies in, such as the files of a commit.

    The exit status is the highest of geozarr-check for these stores, and 0 where no file lies in one.
    """
    status = 0
    for root in roots_of(files):
        report = _checked(partial(check, str(root), depth=depth, profile=profile))
        if report is not None:
            _tell(report, color)
        status = max(status, 2 if report is None else report.exit_status)
    sys.exit(status)


def _tell_source(source: str, form: str, **options: str | None) -> int:
    """Write what would be put right in a raster before it is built; returns the exit status."""
    from pyramids.survey import survey  # noqa: PLC0415 - the builder, which checks of stores do not need

    found = survey(source, **options)
    click.echo(json.dumps(found.to_document(), indent=2) if form == "json" else str(found))
    return found.exit_status


def _tell_readers(store: str, form: str) -> int:
    """Write what other readers do with a store; returns the exit status."""
    verdicts = _checked(lambda: report_readers(store))
    if verdicts is None:
        return 2
    click.echo(json.dumps(to_json(verdicts), indent=2) if form == "json" else to_text(verdicts), nl=form == "json")
    return 0 if verdicts else 2


def _fix(store: str, *, profile: str, is_written: bool) -> Report:
    """Print what mends a store, write it where that is asked for, and report on the store as it then is."""
    opened = open_store(store)
    planned = fixing.plan(opened, profile=profile)
    diff = planned.to_diff()
    click.echo(diff or "nothing can be mended by a change of documents")
    if is_written and diff:
        fixing.write(opened, planned)
    count = f"{len(planned.mended)} findings mended in {len(planned.documents)} documents"
    click.echo(f"{count}{'' if is_written else '; nothing was written'}\n", err=True)
    return replace(planned.report, store=store)


def _checked(run: Callable[[], T]) -> T | None:
    """Run a check; None, and a line on stderr, where the store cannot be read."""
    try:
        return run()
    except GeoZarrError as error:
        is_told = error.__cause__ is None or (isinstance(error, StoreError) and error.reason)
        cause = "" if is_told else f" ({error.__cause__})"
        click.echo(f"geozarr-check: {error}{cause}".replace("\n", " "), err=True)
        return None


def _tell(report: Report, color: str, *, verbose: bool = False) -> None:
    """Write the report to the terminal."""
    is_colored = wants_color(color, os.environ, is_terminal=sys.stdout.isatty())
    click.echo(text.write(report, color=is_colored, verbose=verbose), color=is_colored)


def wants_color(color: str, environment: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Tell whether text is coloured; NO_COLOR, of any value but an empty one, turns what is automatic off."""
    if color == "auto":
        return is_terminal and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"
    return color == "always"


def _write(path: Path, written: str) -> None:
    """Put a file in its place at once: who reads it meanwhile sees the old one or the new one, whole."""
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        staged.write_text(written, encoding="utf-8")
        staged.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            staged.unlink()
        raise
