"""`geozarr-serve`: serve pyramids over HTTP and say where their maps are, or write their tiles to files."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import warnings
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlencode

import click
from numcodecs import blosc
from pyproj import network
from rasterio.errors import NotGeoreferencedWarning
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from geozarr import heap
from geozarr.errors import ChunkReadError, GeoZarrError, ParameterError, StoreError
from tiler.config import Config, parse_pair, to_toml
from tiler.settings import ALL, CHOICES, EXPORTED, NOTHING, Dataset, Settings, check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import FrameType

    from tiler.app import Application
    from tiler.service import Service


HEAP = 64 * 2**20  # bytes of freed memory that are kept in each arena: the arrays of some tiles
ARENAS = 4  # threads seldom allocate at once: one alone runs Python
_EXPORTED = (
    *("variable", "rescale", "colormap_name", "sel", "parameters", "image_format", "min_zoom", "max_zoom", "bbox"),
    *("attribution", "threads", "overwrite", "quiet"),
)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("stores", metavar="[STORE]...", nargs=-1)
@click.option("--config", type=click.Path(path_type=Path), help="TOML file of settings and datasets.")
@click.option("--print-config", is_flag=True, help="Print the settings in effect as such a file, and stop.")
@click.option("--host", help=f"Address to listen on. [default: {Settings.host}]")
@click.option("--port", type=int, help=f"0 takes a free port. [default: {Settings.port}]")
@click.option("--base-url", help="Start of links in documents, where a proxy stands in front.")
@click.option("--workers", type=int, help="Processes that answer. [default: 1]")
@click.option("--expose-zarr", is_flag=True, default=None, help="Let clients read the stores, under /NAME/zarr/.")
@click.option("--expressions", is_flag=True, default=None, help="Compute bands by formulas that clients send.")
@click.option("--metrics", is_flag=True, default=None, help="Answer /metrics for Prometheus.")
@click.option(
    "--access-log/--no-access-log",
    default=None,
    help="Log all requests, or none. [default: all but tiles, files of the map page, and probes]",
)
@click.option(
    "--log-format", type=click.Choice(CHOICES["log_format"]), help="[default: auto, which is text on a terminal]"
)
@click.option(
    "--export",
    "target",
    type=click.Path(path_type=Path),
    help="Write the tiles of one STORE to a folder, or to a file that ends in .pmtiles, and stop.",
)
@click.option("--variable", multiple=True, help="What to export: as the parameters of a tile's address are.")
@click.option("--rescale", multiple=True, metavar="MIN,MAX", help="The same.")
@click.option("--colormap-name", help="The same.")
@click.option("--sel", multiple=True, metavar="DIMENSION=VALUE", help="The same.")
@click.option("--parameter", "parameters", multiple=True, metavar="NAME=VALUE", help="Any other of them.")
@click.option(
    "--format", "image_format", type=click.Choice(EXPORTED), default="png", show_default=True, help="Of exported tiles."
)
@click.option("--min-zoom", type=int, help="Coarsest zoom to export. [default: that of the coarsest level]")
@click.option("--max-zoom", type=int, help="Finest zoom to export. [default: that of the finest level]")
@click.option("--bbox", metavar="W,S,E,N", help="Box to export, in degrees. [default: all]")
@click.option("--attribution", default="", help="Whom maps of the export have to name.")
@click.option("--threads", type=click.IntRange(1), help="Threads that draw the export. [default: one a core]")
@click.option("--overwrite", is_flag=True, help="Replace another export. Anything else is never touched.")
@click.option("--quiet", is_flag=True, help="Export without a word.")
@click.option("--set", "pairs", multiple=True, metavar="NAME=VALUE", help="Any other setting; repeat for several.")
@click.version_option(package_name="geozarr-pyramids")
def main(
    stores: tuple[str, ...],
    config: Path | None,
    pairs: tuple[str, ...],
    *,
    print_config: bool,
    access_log: bool | None,
    target: Path | None,
    **given: Any,
) -> None:
    """Serve GeoZarr pyramids as map tiles, or export them.

    STORE is a folder or URL, or name=folder. Without a name, the folder's own is used. The address of a map of
    each pyramid is printed. Settings are taken from the command line, before environment variables that start with
    GEOZARR_SERVE_, before the file.

    Ends with 0; 2 where something is refused; of an export, 4 where the store or the target failed on the way (a folder
    goes on where it was); 130 or 143 when it was stopped.
    """
    # A CRS of a store makes nobody ask for grids, whatever the environment says: GDAL's PROJ, other processes, ours.
    os.environ["PROJ_NETWORK"] = "OFF"
    network.set_network_enabled(active=False)  # type: ignore[attr-defined] # documented, if not in a list of exports
    try:
        picture = {name: given.pop(name) for name in _EXPORTED}
        asked = {name: value for name, value in given.items() if value is not None}
        if "base_url" in asked:
            asked["base_url"] = asked["base_url"].rstrip("/")
        for name, value in asked.items():
            check(name, value, f"--{name.replace('_', '-')}")
        if access_log is not None:
            asked["access_log"] = ALL if access_log else NOTHING
        asked |= dict(parse_pair(pair, "--set") for pair in pairs)
        source = Config(config, dict(os.environ), asked, tuple(_dataset(store) for store in stores))
        settings = source.read()
        if print_config:
            click.echo(to_toml(settings), nl=False)
            return
        if target is not None:
            _export(settings, target, picture)
            return
        with _listen(settings.host, settings.port) as listener:
            here = f"http://{_in_url(settings.host)}:{listener.getsockname()[1]}"
            _serve(source, here, listener)
    except GeoZarrError as error:
        _stop(_one_line(error))


def _dataset(store: str) -> Dataset:
    """Read one STORE: `name=place`, or a place whose last part gives the name."""
    name, equals, place = store.partition("=")
    if equals and re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        return Dataset(name, place)
    stem = PurePosixPath(store.replace("\\", "/").rstrip("/")).stem
    cleaned = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._")[:64]
    if not cleaned:
        raise ParameterError("STORE", found=store, expected="name=folder, since the folder's name makes none")
    return Dataset(cleaned, store)


def _export(settings: Settings, target: Path, given: Mapping[str, Any]) -> None:
    """Export the tiles of the one dataset, with progress on a terminal."""
    try:
        from tiler import export, parameters  # noqa: PLC0415 - of the extra `serve`
        from tiler.processes import end  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        _stop(f"{error.name} is missing: install the service with pip install 'geozarr-pyramids[serve]'")
    pairs = [_parameter(text) for text in given["parameters"]]
    for name in ("variable", "rescale", "colormap_name", "sel"):
        texts = (given[name],) if isinstance(given[name], str) else given[name] or ()
        pairs += [(name, text) for text in texts]
    values = parameters.parse_query(urlencode(pairs).encode(), parameters.TILE)
    options = export.Options(
        parameters.parse_wish(values, expressions=True),  # whose command it is may compute what they like
        parameters.parse_sampling(values, most=settings.max_side),
        image_format=given["image_format"],
        min_zoom=given["min_zoom"],
        max_zoom=given["max_zoom"],
        bounds=None if given["bbox"] is None else export.parse_box(given["bbox"]),
        attribution=given["attribution"],
        threads=given["threads"] or os.cpu_count() or 1,
        is_overwriting=given["overwrite"],
    )
    _own_process()
    signal.signal(signal.SIGTERM, _terminated)
    console = Console(stderr=True, quiet=given["quiet"])
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    try:
        with Progress(*columns, console=console) as bar:
            task = bar.add_task("exporting")
            report = export.export(
                settings, target, options, listener=lambda now: bar.update(task, total=now.total, completed=now.done)
            )
    except (StoreError, ChunkReadError) as error:
        _stop(_one_line(error), status=4)
    except (KeyboardInterrupt, SystemExit) as stopped:
        is_told = isinstance(stopped, SystemExit)
        _say(f"{'terminated' if is_told else 'stopped'}; a folder goes on where it was when it is exported again")
        end(143 if is_told else 130)  # threads may wait for a store, and nobody for them
    if not given["quiet"]:
        kept = f", {report.kept:,} were there" if report.kept else ""
        size = f"{report.size / 1e6:,.1f} MB"
        click.echo(
            f"exported  {target}: {report.written:,} tiles, {size}{kept}, {report.empty:,} without data left out"
        )


def _parameter(text: str) -> tuple[str, str]:
    """Read one `name=value` of a tile's address."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ParameterError("--parameter", found=text[:100], expected="NAME=VALUE")
    return name, value


def _in_url(host: str) -> str:
    """Write a host as it stands in a URL; an address of all interfaces is reached by this machine's own."""
    known = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}
    return known.get(host, f"[{host}]" if ":" in host else host)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named, though it is the only one: asyncio turns off the delay of small packets for sockets that say so alone.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(128)  # before an address is printed: whoever reads it may connect at once
    except OSError as error:
        listener.close()
        raise ParameterError("--host, --port", found=f"{host}:{port}", expected="an address to listen on") from error
    return listener


def _read(source: Config, here: str) -> Settings:
    """Read the settings; links start at the address that is listened on where nothing else is said."""
    settings = source.read()
    return replace(settings, base_url=settings.base_url or here)


def _serve(source: Config, here: str, listener: socket.socket) -> None:
    try:
        import uvicorn  # noqa: PLC0415 - of the extra `serve`: what is missing is told below

        from tiler import logs  # noqa: PLC0415 - the same
        from tiler.processes import Workers, end  # noqa: PLC0415 - the same
        from tiler.protocol import BoundedProtocol  # noqa: PLC0415 - the same
        from tiler.service import Service  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        _stop(f"{error.name} is missing: install the service with pip install 'geozarr-pyramids[serve]'")
    settings = _read(source, here)
    # Opened once here, so that a store that cannot be served is told now and not to the first client.
    service = Service(settings)
    for name in service.catalog.names:
        try:
            click.echo(f"{name}  {service.map_url(service.catalog.open(name))}")
        except GeoZarrError as error:
            _stop(f"{name}: {_one_line(error)}")
    sys.stdout.flush()
    logs.configure(settings.log_format)
    read = None if source.file is None else partial(_read, source, here)
    with _ledger(settings) as ledger:
        app = partial(make_app, settings, ledger=ledger)
        config = uvicorn.Config(
            app if settings.workers > 1 else partial(app, service, read=read),
            factory=True,
            workers=settings.workers,
            # A class to be called, which is all that is done with it.
            http=partial(BoundedProtocol, most_head=settings.max_head, head_seconds=settings.head_seconds),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # addresses in headers are believed of nobody
            timeout_keep_alive=settings.keep_alive,
            timeout_graceful_shutdown=settings.shutdown,
        )
        # uvicorn finishes what is under way and then raises the signal again; SIGTERM is how a service is meant to end.
        signal.signal(signal.SIGTERM, _end)
        # asyncio would put a handler of its own in the place of Python's, which ends what begins without a word.
        signal.signal(signal.SIGINT, _interrupt)
        try:
            if settings.workers == 1:
                uvicorn.Server(config).run(sockets=[listener])
            else:
                renew = None if read is None else lambda: partial(make_app, read(), ledger=ledger)
                Workers(config, listener, renew=renew).run()
        except KeyboardInterrupt:
            status = 130
        except SystemExit as ended:
            status = int(ended.code or 0)
        else:
            status = 0
    end(status)


@contextmanager
def _ledger(settings: Settings) -> Iterator[Path | None]:
    """Make a folder in which processes leave their numbers, where there are several."""
    if not settings.metrics or settings.workers == 1:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="geozarr-serve-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_app(
    settings: Settings, service: Service | None = None, *, read: Any = None, ledger: Path | None = None
) -> Application:
    """Make the application in the process that runs it, with datasets that are open where it is this one."""
    from tiler import logs  # noqa: PLC0415 - of the extra `serve`
    from tiler.app import create_app  # noqa: PLC0415 - the same

    logs.configure(settings.log_format)
    _own_process()
    return create_app(settings, service, read=read, ledger=ledger)


def _own_process() -> None:
    """Settle what libraries do in all of a process, which is ours."""
    heap.keep(HEAP, arenas=ARENAS)
    # Only the event loop would be given them: to wait for other threads there costs more than they save on one chunk.
    blosc.use_threads = False
    # rasterio silences this warning of its own while it wraps an array, but not when another thread does so meanwhile.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)


def _one_line(error: GeoZarrError) -> str:
    """Message of an error; of a store that fails with the first line of the reason."""
    is_told = not isinstance(error, StoreError) or error.reason or error.__cause__ is None
    reason = [] if is_told else str(error.__cause__).splitlines()[:1]
    return ": ".join((str(error), *reason))


def _terminated(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    sys.exit(143)


def _end(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    sys.exit(0)


def _interrupt(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    raise KeyboardInterrupt


def _stop(message: str, status: int = 2) -> NoReturn:
    _say(message)
    sys.exit(status)


def _say(message: str) -> None:
    click.echo(f"geozarr-serve: {' '.join(message.split())}", err=True)


if __name__ == "__main__":
    main()
