"""`geozarr-serve`: serve pyramids over HTTP and say where their maps are."""

from __future__ import annotations

import re
import signal
import socket
import sys
import warnings
from dataclasses import replace
from functools import partial
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NoReturn

import click
from rasterio.errors import NotGeoreferencedWarning

from geozarr import heap
from geozarr.errors import GeoZarrError, ParameterError, StoreError
from tiler.settings import Dataset, Settings, from_environment

if TYPE_CHECKING:
    from types import FrameType

    from tiler.app import Application
    from tiler.service import Service


KEEP_ALIVE = 15  # seconds that an idle connection stays open
SHUTDOWN = 10  # seconds that requests under way may take once the service is told to stop
HEAP = 64 * 2**20  # bytes of freed memory that are kept: the arrays of some tiles


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("stores", metavar="STORE...", nargs=-1, required=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free port.")
@click.option("--base-url", default="", help="Start of links in documents, where a proxy stands in front.")
@click.option("--workers", default=1, show_default=True, type=click.IntRange(1, 64), help="Processes that answer.")
@click.option("--expose-zarr", is_flag=True, help="Let clients read the stores themselves, under /NAME/zarr/.")
def main(stores: tuple[str, ...], host: str, port: int, base_url: str, workers: int, expose_zarr: bool) -> None:
    """Serve GeoZarr pyramids as map tiles.

    STORE is a folder or URL, or name=folder. Without a name, the folder's own is used. The address of a map of
    each pyramid is printed. Limits are taken from environment variables that start with GEOZARR_SERVE_.
    """
    try:
        settings = from_environment(tuple(_dataset(store) for store in stores))
        with _listen(host, port) as listener:
            here = f"http://{_in_url(host)}:{listener.getsockname()[1]}"
            address = base_url.rstrip("/") or settings.base_url or here
            is_exposed = expose_zarr or settings.expose_zarr
            _serve(replace(settings, base_url=address, expose_zarr=is_exposed), listener, workers)
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


def _serve(settings: Settings, listener: socket.socket, workers: int) -> None:
    try:
        import uvicorn  # noqa: PLC0415 - of the extra `serve`: what is missing is told below
        from uvicorn.supervisors import Multiprocess  # noqa: PLC0415 - the same

        from tiler.protocol import BoundedProtocol  # noqa: PLC0415 - the same
        from tiler.service import Service  # noqa: PLC0415 - the same
    except ModuleNotFoundError as error:
        _stop(f"{error.name} is missing: install the service with pip install 'geozarr-pyramids[serve]'")
    # Opened once here, so that a store that cannot be served is told now and not to the first client.
    service = Service(settings)
    for name in service.catalog.names:
        try:
            click.echo(f"{name}  {service.map_url(service.catalog.open(name))}")
        except GeoZarrError as error:
            _stop(f"{name}: {_one_line(error)}")
    sys.stdout.flush()
    config = uvicorn.Config(
        partial(make_app, settings, service if workers == 1 else None),
        factory=True,
        workers=workers,
        http=BoundedProtocol,
        ws="none",
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # addresses in headers are believed of nobody
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=SHUTDOWN,
    )
    # uvicorn finishes what is under way and then raises the signal again; SIGTERM is how a service is meant to end.
    signal.signal(signal.SIGTERM, _end)
    try:
        if workers == 1:
            uvicorn.Server(config).run(sockets=[listener])
        else:
            Multiprocess(config, sockets=[listener]).run()
    except KeyboardInterrupt:
        sys.exit(130)


def make_app(settings: Settings, service: Service | None = None) -> Application:
    """Make the application in the process that runs it, with datasets that are open where it is this one."""
    from tiler.app import create_app  # noqa: PLC0415 - of the extra `serve`

    # rasterio silences this warning of its own while it wraps an array, but not when another thread does so meanwhile.
    warnings.filterwarnings("ignore", category=NotGeoreferencedWarning)
    heap.keep(HEAP)
    return create_app(settings, service)


def _one_line(error: GeoZarrError) -> str:
    """Message of an error; of a store that fails with the first line of the reason."""
    is_told = not isinstance(error, StoreError) or error.reason or error.__cause__ is None
    reason = [] if is_told else str(error.__cause__).splitlines()[:1]
    return ": ".join((str(error), *reason))


def _end(signum: int, frame: FrameType | None) -> NoReturn:  # noqa: ARG001 - the signature of a handler
    sys.exit(0)


def _stop(message: str) -> NoReturn:
    click.echo(f"geozarr-serve: {' '.join(message.split())}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
