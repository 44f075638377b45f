"""The HTTP service: routes, what they take, which error is which status, and what may be kept how long.

Endpoints are plain functions, which FastAPI runs in its thread pool, so that neither reading nor drawing stops the
event loop. What a request asks for is found first, from documents alone; only then, and only where the client does
not have it, is anything read.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from geozarr.errors import GeoZarrError, ParameterError, TileOutsideLimitsError, UnknownNameError
from tiler import parameters
from tiler.service import PointOutsideError, Service

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from tiler.service import Answer
    from tiler.settings import Settings

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

_LOG = logging.getLogger(__name__)

STATUS: dict[type[GeoZarrError], int] = {
    ParameterError: 400,
    UnknownNameError: 404,
    TileOutsideLimitsError: 404,
    PointOutsideError: 404,
    # All others are about the store: the request was good, what stands behind the service is not.
    GeoZarrError: 502,
}
_METHODS = ("GET", "HEAD", "OPTIONS")
_MAX_TARGET = 4096  # bytes of path and query
_NOT_FOUND_SECONDS = 60  # a tile that is missing may be built; a client that asks for it again and again is spared
_DAMAGED = "the dataset is damaged or cannot be read"
_PAGE_POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'"
)


def create_app(settings: Settings) -> FastAPI:
    """Make the service.

    Parameters
    ----------
    settings : Settings
        Datasets, links and limits. Stores are opened when they are first asked for.

    Returns
    -------
    FastAPI
        An ASGI application. `/openapi.json` describes it.
    """
    service = Service(settings)
    app = FastAPI(title="geozarr-serve", docs_url=None, redoc_url=None, redirect_slashes=False)
    app.state.service = service
    app.add_middleware(_Frame)
    app.add_exception_handler(GeoZarrError, _error_response)
    app.add_exception_handler(HTTPException, _http_error_response)
    app.add_exception_handler(Exception, _bug_response)

    def index(request: Request) -> Response:
        """List the datasets with the address of a map of each."""
        parameters.parse_query(_query(request))
        return JSONResponse({"datasets": [_listed(service, name) for name in service.names]}, headers=_no_cache())

    def health(request: Request) -> Response:
        """Say that the service runs."""
        parameters.parse_query(_query(request))
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    def tile(request: Request, dataset: str, tms: str, z: str, x: str, y: str) -> Response:
        """Draw a map tile."""
        wish = parameters.parse_wish(parameters.parse_query(_query(request), parameters.PICTURE))
        row, image_format = parameters.parse_row(y)
        col = parameters.parse_whole("x", x)
        opened = service.open(dataset)
        matrix_id = parameters.parse_matrix_id(z, service.tileset(opened, tms).tms.ids)
        answer = service.tile(dataset, tms, matrix_id=matrix_id, row=row, col=col, image_format=image_format, wish=wish)
        return _respond(request, answer, settings)

    def malformed_tile(request: Request, dataset: str, tms: str) -> Response:  # noqa: ARG001 - parts of the route
        """Refuse the address of a tile that is not z/x/y."""
        raise ParameterError("tile", found="another address", expected="{z}/{x}/{y}, and .png, .jpg, .webp or .npy")

    def tilejson(request: Request, dataset: str, tms: str) -> Response:
        """Describe the tiles of a dataset as TileJSON 3.0; parameters go on to the tiles' addresses."""
        values = parameters.parse_query(_query(request), parameters.PICTURE)
        query = urlencode([(name, text) for name, texts in values.items() for text in texts], safe=",")
        wish = parameters.parse_wish(values)
        answer = service.tilejson(dataset, tms, wish=wish, query=f"?{query}" if query else "")
        return _respond(request, answer, settings)

    def info(request: Request, dataset: str) -> Response:
        """Describe a dataset: CRS, bounds, levels, variables."""
        parameters.parse_query(_query(request))
        return _respond(request, service.info(dataset), settings)

    def point(request: Request, dataset: str, lon: str, lat: str) -> Response:
        """Return the stored values at a point."""
        values = parameters.parse_query(_query(request), parameters.POINT)
        code = values.get("coord_crs", (None,))[0]
        answer = service.point(
            dataset,
            x=parameters.parse_number("lon", lon),
            y=parameters.parse_number("lat", lat),
            crs_code=None if code is None else parameters.parse_crs_code(code),
            wish=parameters.parse_wish(values),
        )
        return _respond(request, answer, settings)

    def malformed_point(request: Request, dataset: str) -> Response:  # noqa: ARG001 - parts of the route
        """Refuse the address of a point that is not lon,lat."""
        raise ParameterError("point", found="another address", expected="{lon},{lat}")

    def map_page(request: Request, dataset: str, tms: str) -> Response:
        """Show a map."""
        parameters.parse_query(_query(request), parameters.PICTURE)
        response = _respond(request, service.map_page(dataset, tms), settings)
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        return response

    _route(app, "/", index)
    _route(app, "/healthz", health)
    _route(app, "/{dataset}/info", info)
    _route(app, "/{dataset}/point/{lon},{lat}", point, parameters.POINT)
    _route(app, "/{dataset}/point/{rest:path}", malformed_point, is_documented=False)
    _route(app, "/{dataset}/tiles/{tms}/{z}/{x}/{y}", tile, parameters.PICTURE)
    _route(app, "/{dataset}/tiles/{tms}/{rest:path}", malformed_tile, is_documented=False)
    _route(app, "/{dataset}/{tms}/tilejson.json", tilejson, parameters.PICTURE)
    _route(app, "/{dataset}/{tms}/map.html", map_page, parameters.PICTURE)
    return app


def _route(
    app: FastAPI,
    path: str,
    endpoint: Callable[..., Response],
    query: tuple[parameters.Parameter, ...] = (),
    *,
    is_documented: bool = True,
) -> None:
    """Add a route for GET, described with its query parameters, and the same for HEAD."""
    described = [
        {"in": "query", "name": item.name, "description": item.description, "schema": _schema(item)} for item in query
    ]
    app.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        response_model=None,
        openapi_extra={"parameters": described} if described else None,
        include_in_schema=is_documented,
    )
    app.add_api_route(path, endpoint, methods=["HEAD"], response_model=None, include_in_schema=False)


def _schema(parameter: parameters.Parameter) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}} if parameter.is_repeatable else {"type": "string"}


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


def _listed(service: Service, name: str) -> dict[str, Any]:
    """Name a dataset and the address of its map; one that cannot be read does not hide the others."""
    try:
        opened = service.open(name)
    except GeoZarrError:
        _LOG.warning("dataset %s cannot be opened", name, exc_info=True)
        return {"name": name, "error": _DAMAGED}
    base = service.settings.base_url
    return {"name": name, "map": service.map_url(opened), "info": f"{base}/{name}/info"}


def _respond(request: Request, answer: Answer, settings: Settings) -> Response:
    """Send an answer, or say that the client has it."""
    tag = f'"{answer.tag}"'
    headers = {"ETag": tag, "Cache-Control": f"public, max-age={settings.max_age}"}
    if _has_it(request.headers.get("if-none-match", ""), tag):
        return Response(status_code=304, headers=headers)
    body, media_type = answer.make()
    return Response(body, headers={**headers, "Content-Type": media_type})


def _has_it(if_none_match: str, tag: str) -> bool:
    """Compare weakly, as RFC 9110, 13.1.2 asks."""
    candidates = [item.strip().removeprefix("W/") for item in if_none_match.split(",")]
    return "*" in candidates or tag in candidates


def _no_cache() -> dict[str, str]:
    return {"Cache-Control": "no-cache"}


def _error_response(request: Request, error: Exception) -> Response:
    """Turn an error of ours into its status; what is wrong with a store is logged, not told."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if status >= 500:
        _LOG.error("%s: %s", request.url.path, error, exc_info=error)
        return _failure(status, _DAMAGED)
    return _failure(status, str(error))


def _http_error_response(request: Request, error: Exception) -> Response:  # noqa: ARG001 - starlette's signature
    assert isinstance(error, HTTPException)
    return _failure(error.status_code, "there is nothing at this address")


def _bug_response(request: Request, error: Exception) -> Response:
    _LOG.error("%s: a bug", request.url.path, exc_info=error)
    return _failure(500, "the service failed")


def _failure(status: int, detail: str) -> Response:
    lifetime = f"public, max-age={_NOT_FOUND_SECONDS}" if status == 404 else "no-store"
    return JSONResponse({"detail": detail}, status_code=status, headers={"Cache-Control": lifetime})


class _Frame:
    """What holds for every response: methods, size of the target, and headers for browsers of any origin.

    Parameters
    ----------
    app : callable
        The ASGI application within.
    """

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def framed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_FRAME_HEADERS]
            await send(message)

        target = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
        if target > _MAX_TARGET:
            response = _failure(400, f"the address has {target} bytes; at most {_MAX_TARGET} are allowed")
        elif scope["method"] == "OPTIONS":
            response = Response(status_code=204, headers=_PREFLIGHT_HEADERS)
        elif scope["method"] not in _METHODS:
            response = _failure(405, f"methods are {', '.join(_METHODS)}")
            response.headers["Allow"] = ", ".join(_METHODS)
        else:
            await self._app(scope, receive, framed)
            return
        await response(scope, receive, framed)


_FRAME_HEADERS = [
    # Always, not only where a request names its origin: a shared cache may serve it to a page of another one.
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"ETag"),
    (b"x-content-type-options", b"nosniff"),
]
_PREFLIGHT_HEADERS = {
    "Allow": ", ".join(_METHODS),
    "Access-Control-Allow-Methods": ", ".join(_METHODS),
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}
