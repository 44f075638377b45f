"""The service as an ASGI application: what holds for each request, whichever route it takes.

Tiles have a way of their own past FastAPI's routing, which takes longer than finding a tile does.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from geozarr.errors import GeoZarrError
from tiler import alias, compiled, data_routes, document_routes, logs, metrics, routes, signals
from tiler.desk import SOURCE, Desk
from tiler.http import bug_response, error_response, failure
from tiler.metrics import Metrics
from tiler.parameters import parse_query

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
    from pathlib import Path

    from tiler.service import Service
    from tiler.settings import Settings

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_LEAVE = 1.0  # seconds for which numbers of other processes may be old
_LEFT = 499  # nginx's number for a client that has left before there was an answer
_METHODS = ("GET", "HEAD", "OPTIONS")
_FRAME_HEADERS = [
    # Always, not only where a request names its origin: a shared cache may serve it to a page of another one.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag, Content-Range"),
    (b"x-content-type-options", b"nosniff"),
]
_PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}


def create_app(
    settings: Settings,
    service: Service | None = None,
    *,
    read: Callable[[], Settings] | None = None,
    ledger: Path | None = None,
) -> Application:
    """Make the service.

    Parameters
    ----------
    settings : Settings
        Datasets, links and limits. Stores are opened when they are first asked for.
    service : Service, optional
        With these settings, where it has been made already.
    read : callable, optional
        Reads the settings again, on SIGHUP, for the datasets that there are then; in the main thread only.
    ledger : Path, optional
        Folder in which several processes leave their numbers for each other.

    Returns
    -------
    Application
        For one event loop. `/openapi.json` describes it.
    """
    return Application(Desk(settings, service), read=read, ledger=ledger)


class Application:
    """An ASGI application around a desk.

    Parameters
    ----------
    desk : Desk
        Answers requests.
    read, ledger : callable, Path, optional
        As `create_app` has them.
    """

    def __init__(self, desk: Desk, *, read: Callable[[], Settings] | None = None, ledger: Path | None = None) -> None:
        self.desk = desk
        self._metrics = Metrics(ledger) if desk.settings.metrics else None
        self._name_request = logs.request_ids()

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            tasks = [asyncio.create_task(desk.refresh())]
            if self._metrics is not None and ledger is not None:
                tasks.append(asyncio.create_task(_leave(self._metrics, desk)))
            compiled.load_soon()
            with signals.minded(desk, read):
                yield
            for task in tasks:
                task.cancel()
            if self._metrics is not None:
                self._metrics.leave(desk)
            desk.close()

        self.api = FastAPI(
            title="geozarr-serve", docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan
        )
        self.api.add_exception_handler(GeoZarrError, _error_response)
        self.api.add_exception_handler(HTTPException, _http_error_response)
        self.api.add_exception_handler(Exception, _bug_response)
        if self._metrics is not None:
            self.api.add_api_route("/metrics", self._expose, include_in_schema=False, response_model=None)
        document_routes.add_routes(self.api, desk)  # first: their fixed addresses are no datasets' names
        data_routes.add_routes(self.api, desk)
        routes.add_routes(self.api, desk)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return
        begun = time.perf_counter()
        logs.REQUEST_ID.set(self._name_request(_sent_id(scope["headers"])))
        status = size = 0

        async def framed(message: Message) -> None:
            nonlocal status, size
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], *_FRAME_HEADERS]
            else:
                size += len(message.get("body", b""))
            await send(message)

        tile = None
        try:
            response = _refusal(scope, self.desk.settings.max_target)
            if response is None and scope["path"].startswith(alias.PREFIX):
                try:
                    scope = alias.leads_to(scope, self.desk.settings)
                except GeoZarrError as error:
                    response = error_response(Request(scope, receive), error)
            tile = _tile_of(scope["path"])
            if response is not None:
                await response(scope, receive, framed)
            elif tile is None:
                await self.api(scope, receive, framed)
            else:
                response = await self._draw(Request(scope, receive), tile)
                await response(scope, receive, framed)
        except asyncio.CancelledError:
            if status or not self.desk.is_stopping:
                raise
            # uvicorn gives up what is not done in time, and would call that a bug of ours.
            await failure(503, "the service stops")(scope, receive, framed)
        finally:
            self._note(scope, tile, status or _LEFT, size, time.perf_counter() - begun)

    def _note(self, scope: Scope, tile: tuple[str, ...] | None, status: int, size: int, seconds: float) -> None:
        """Count a request and log it."""
        if self._metrics is not None:
            source = scope.get(SOURCE) if tile is not None and status == 200 else None
            self._metrics.count(_endpoint_of(scope, tile), status, seconds, source)
        if logs.is_logged(self.desk.settings.access_log, scope["path"], is_tile=tile is not None):
            name = tile[0] if tile is not None else scope.get("path_params", {}).get("dataset", "")
            logs.log_access(
                logs.Access(
                    method=scope["method"],
                    path=scope["path"],
                    query=scope["query_string"].decode("latin-1"),
                    status=status,
                    size=0 if scope["method"] == "HEAD" else size,
                    seconds=seconds,
                    client=scope["client"][0] if scope.get("client") else "",
                    dataset=name if name in self.desk.service.catalog.names else "",
                )
            )

    async def _expose(self, request: Request) -> Response:
        """Tell Prometheus the numbers of all processes."""
        parse_query(request.scope["query_string"])
        assert self._metrics is not None, "else there is no such route"
        text = self._metrics.exposition(self.desk)
        return Response(text, headers={"Content-Type": metrics.MEDIA_TYPE, "Cache-Control": "no-store"})

    async def _draw(self, request: Request, tile: tuple[str, ...]) -> Response:
        try:
            return await routes.draw_tile(self.desk, request, *tile)
        except GeoZarrError as error:
            return error_response(request, error)
        except Exception as error:  # noqa: BLE001 - the last resort that FastAPI is for other routes
            return bug_response(request, error)


def _tile_of(path: str) -> tuple[str, ...] | None:
    """Split `/{dataset}/tiles/{tms}/{z}/{x}/{y}`; None for any other address."""
    parts = path.split("/", 7)
    is_tile = len(parts) == 7 and parts[2] == "tiles" and all(parts[1:])
    return (parts[1], *parts[3:]) if is_tile else None


def _endpoint_of(scope: Scope, tile: tuple[str, ...] | None) -> str:
    """Name what a request is counted as: never its own text, of which there is no end."""
    if tile is not None:
        return "tile"
    route = scope.get("route")
    return str(route.path) if route is not None else "none"


def _sent_id(headers: Iterable[tuple[bytes, bytes]]) -> str:
    for name, value in headers:
        if name == b"x-request-id":
            return value.decode("latin-1")
    return ""


async def _leave(metrics: Metrics, desk: Desk) -> None:
    """Leave the numbers of this process for the others, again and again, until it is cancelled."""
    while True:
        metrics.leave(desk)
        await asyncio.sleep(_LEAVE)


def _refusal(scope: Scope, max_target: int) -> Response | None:
    """Answer what no route needs to see; None for a request that is well-formed."""
    target = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    if target > max_target:
        return failure(400, f"the address has {target} bytes; at most {max_target} are allowed")
    methods = (*_METHODS, "POST") if _takes_body(scope["path"]) else _METHODS
    allowed = ", ".join(methods)
    if scope["method"] == "OPTIONS":
        return Response(
            status_code=204, headers={"Allow": allowed, "Access-Control-Allow-Methods": allowed, **_PREFLIGHT_HEADERS}
        )
    if scope["method"] not in methods:
        response = failure(405, f"methods are {allowed}")
        response.headers["Allow"] = allowed
        return response
    if scope["http_version"] == "1.1" and sum(name == b"host" for name, _ in scope["headers"]) != 1:
        return failure(400, "a request of HTTP/1.1 names one host")  # RFC 9112, 3.2: a proxy may have believed another
    if scope["method"] == "POST":
        return None
    if any(_announces_body(*header) for header in scope["headers"]):
        response = failure(400, "no body is expected")
        response.headers["Connection"] = "close"  # what comes of the body is not read
        return response
    return None


def _takes_body(path: str) -> bool:
    """Tell whether a path is `/{dataset}/feature...` or `/{dataset}/statistics`."""
    parts = path.split("/", 3)
    return len(parts) > 2 and parts[2].partition(".")[0] in ("feature", "statistics")


def _announces_body(name: bytes, value: bytes) -> bool:
    return name == b"transfer-encoding" or (name == b"content-length" and value != b"0")


def _error_response(request: Request, error: Exception) -> Response:
    assert isinstance(error, GeoZarrError)
    return error_response(request, error)


def _bug_response(request: Request, error: Exception) -> Response:
    return bug_response(request, error)


def _http_error_response(request: Request, error: Exception) -> Response:  # noqa: ARG001 - starlette's signature
    assert isinstance(error, HTTPException)
    if error.status_code == 405:  # a path that takes another method alone
        response = failure(405, "this method is not for this address")
        response.headers.update(error.headers or {})
        return response
    return failure(error.status_code, "there is nothing at this address")
