"""The command `geozarr-check`: exit status 0 without findings, 1 with, 2 where nothing could be checked."""

from __future__ import annotations

import sys

import click

from conformance.check import check
from conformance.report import Depth
from geozarr.errors import GeoZarrError, StoreError


@click.command()
@click.argument("store")
@click.option(
    "--depth",
    type=click.Choice([str(depth) for depth in Depth]),
    default=str(Depth.GEOMETRY),
    show_default=True,
    help="How far to look: the documents; grids and coordinate values too; every stored object too.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="How to write the report.",
)
def main(store: str, depth: str, form: str) -> None:
    """Say what is wrong with the GeoZarr at STORE, a folder or a URL.

    Exit status 0: nothing is wrong. 1: there are errors or warnings. 2: the store cannot be read, or it holds nothing
    that uses the conventions.
    """
    try:
        report = check(store, depth=depth)
    except GeoZarrError as error:
        is_told = error.__cause__ is None or (isinstance(error, StoreError) and error.reason)
        cause = "" if is_told else f" ({error.__cause__})"
        click.echo(f"geozarr-check: {error}{cause}".replace("\n", " "), err=True)
        sys.exit(2)
    click.echo(report.to_json() if form == "json" else report.to_text())
    sys.exit(report.exit_status)
