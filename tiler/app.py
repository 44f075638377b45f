"""The service as an ASGI application: what holds for each request, whichever route it takes.

Tiles have a way of their own past FastAPI's routing, which takes longer than finding a tile does.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from geozarr.errors import GeoZarrError
from tiler import alias, data_routes, document_routes, routes
from tiler.desk import Desk
from tiler.http import bug_response, error_response, failure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from tiler.service import Service
    from tiler.settings import Settings

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

_METHODS = ("GET", "HEAD", "OPTIONS")
_MAX_TARGET = 4096  # bytes of path and query
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


def create_app(settings: Settings, service: Service | None = None) -> Application:
    """Make the service.

    Parameters
    ----------
    settings : Settings
        Datasets, links and limits. Stores are opened when they are first asked for.
    service : Service, optional
        With these settings, where it has been made already.

    Returns
    -------
    Application
        For one event loop. `/openapi.json` describes it.
    """
    return Application(Desk(settings, service))


class Application:
    """An ASGI application around a desk.

    Parameters
    ----------
    desk : Desk
        Answers requests.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

        @asynccontextmanager
        async def lifespan(_: FastAPI) -> AsyncIterator[None]:
            refresher = asyncio.create_task(desk.refresh())
            yield
            refresher.cancel()
            desk.close()

        self.api = FastAPI(
            title="geozarr-serve", docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan
        )
        self.api.add_exception_handler(GeoZarrError, _error_response)
        self.api.add_exception_handler(HTTPException, _http_error_response)
        self.api.add_exception_handler(Exception, _bug_response)
        document_routes.add_routes(self.api, desk)  # first: their fixed addresses are no datasets' names
        data_routes.add_routes(self.api, desk)
        routes.add_routes(self.api, desk)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.api(scope, receive, send)
            return

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_FRAME_HEADERS]
            await send(message)

        response = _refusal(scope)
        if response is None and scope["path"].startswith(alias.PREFIX):
            try:
                scope = alias.leads_to(scope, self.desk.settings)
            except GeoZarrError as error:
                response = error_response(Request(scope, receive), error)
        if response is None:
            tile = _tile_of(scope["path"])
            if tile is None:
                await self.api(scope, receive, framed)
                return
            response = await self._draw(Request(scope, receive), tile)
        await response(scope, receive, framed)

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


def _refusal(scope: Scope) -> Response | None:
    """Answer what no route needs to see; None for a request that is well-formed."""
    target = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
    if target > _MAX_TARGET:
        return failure(400, f"the address has {target} bytes; at most {_MAX_TARGET} are allowed")
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
    return failure(error.status_code, "there is nothing at this address")
