"""The command `geozarr-check`: exit status 0 without findings, 1 with, 2 where nothing could be checked."""

from __future__ import annotations

import sys
from dataclasses import replace

import click

from conformance import fixing
from conformance.check import check
from conformance.profiles import PROFILES
from conformance.report import Depth, Report
from geozarr.errors import GeoZarrError, StoreError
from geozarr.store import open_store


@click.command()
@click.argument("store")
@click.option(
    "--depth",
    type=click.Choice([str(depth) for depth in Depth]),
    default=str(Depth.GEOMETRY),
    show_default=True,
    help="How far to look: documents; also grids and coordinate values; also every stored object; also pixels.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to write the report.",
)
@click.option(
    "--profile",
    type=click.Choice(list(PROFILES)),
    default="geozarr",
    show_default=True,
    help="What the store is judged by.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Draws the pixels to look at.")
@click.option(
    "--own/--no-own",
    "own_documents",
    default=None,
    help="Read each node's own document beside consolidated metadata, or not.  [default: not at depth metadata of a "
    "store across a network]",
)
@click.option("--all", "all_pixels", is_flag=True, help="At depth pixels, look at all of them.")
@click.option("--fix", is_flag=True, help="Print what would mend the documents, as a diff, before the report of that.")
@click.option("--write", is_flag=True, help="With --fix: write it, and check what is then stored.")
def main(
    store: str,
    depth: str,
    form: str,
    *,
    profile: str,
    seed: int,
    all_pixels: bool,
    own_documents: bool | None,
    fix: bool,
    write: bool,
) -> None:
    """Say what is wrong with the GeoZarr at STORE, a folder or a URL.

    Exit status 0: nothing is wrong. 1: there are errors or warnings. 2: the store cannot be read, or it holds nothing
    that uses the conventions. With --fix it is that of what is left.
    """
    if write and not fix:
        raise click.UsageError("--write writes what --fix proposes; give both")
    try:
        if fix:
            planned = _fix(store, profile=profile, is_written=write)
            if not write:
                click.echo(planned.to_json() if form == "json" else planned.to_text())
                sys.exit(planned.exit_status)
        report = check(
            store, depth=depth, profile=profile, seed=seed, all_pixels=all_pixels, own_documents=own_documents
        )
    except GeoZarrError as error:
        is_told = error.__cause__ is None or (isinstance(error, StoreError) and error.reason)
        cause = "" if is_told else f" ({error.__cause__})"
        click.echo(f"geozarr-check: {error}{cause}".replace("\n", " "), err=True)
        sys.exit(2)
    click.echo(report.to_json() if form == "json" else report.to_text())
    sys.exit(report.exit_status)


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
