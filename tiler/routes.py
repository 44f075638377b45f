"""Addresses and parameters of the service, as routes of FastAPI: each parses, finds an answer, and responds."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request  # noqa: TC002 - FastAPI looks the names of annotations up
from starlette.responses import JSONResponse, Response

from geozarr.errors import GeoZarrError, ParameterError
from tiler import parameters
from tiler.http import DAMAGED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tiler.desk import Desk
    from tiler.service import Answer, Opened

_LOG = logging.getLogger(__name__)
_PAGE_POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'"
)


async def draw_tile(desk: Desk, request: Request, dataset: str, tms: str, z: str, x: str, y: str) -> Response:
    """Answer with a map tile; `x` is the column, and `y` the row with the format that may follow it."""
    wish = parameters.parse_wish(parameters.parse_query(_query(request), parameters.PICTURE))
    row, image_format = parameters.parse_row(y)
    col = parameters.parse_whole("x", x)

    async def find(opened: Opened) -> Answer:
        tileset = await desk.tileset(request, opened, tms)
        return desk.service.tile(
            opened,
            tileset,
            matrix_id=parameters.parse_matrix_id(z, tileset.tms.ids),
            row=row,
            col=col,
            image_format=image_format,
            wish=wish,
            positions=await desk.positions(request, opened, wish),
        )

    return await desk.answer(request, dataset, find)


def add_routes(api: FastAPI, desk: Desk) -> None:
    """Add all routes of the service.

    Parameters
    ----------
    api : FastAPI
        To which.
    desk : Desk
        Answers them.
    """
    service = desk.service

    async def index(request: Request) -> Response:
        """List the datasets with the address of a map of each."""
        parameters.parse_query(_query(request))
        listed = [await _listed(desk, request, name) for name in service.catalog.names]
        return JSONResponse({"datasets": listed}, headers={"Cache-Control": "no-cache"})

    async def health(request: Request) -> Response:
        """Say that the service runs."""
        parameters.parse_query(_query(request))
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    async def tile(request: Request, dataset: str, tms: str, z: str, x: str, y: str) -> Response:
        """Draw a map tile."""
        return await draw_tile(desk, request, dataset, tms, z, x, y)

    async def malformed_tile(request: Request, dataset: str, tms: str) -> Response:  # noqa: ARG001 - of the route
        """Refuse the address of a tile that is not z/x/y."""
        raise ParameterError("tile", found="another address", expected="{z}/{x}/{y}, and .png, .jpg, .webp or .npy")

    async def tilejson(request: Request, dataset: str, tms: str) -> Response:
        """Describe the tiles of a dataset as TileJSON 3.0; parameters go on to the tiles' addresses."""
        values = parameters.parse_query(_query(request), parameters.PICTURE)
        text = urlencode([(name, text) for name, texts in values.items() for text in texts], safe=",")
        wish = parameters.parse_wish(values)

        async def find(opened: Opened) -> Answer:
            tileset = await desk.tileset(request, opened, tms)
            positions = await desk.positions(request, opened, wish)
            query = f"?{text}" if text else ""
            return service.tilejson(opened, tileset, wish=wish, positions=positions, query=query)

        return await desk.answer(request, dataset, find)

    async def info(request: Request, dataset: str) -> Response:
        """Describe a dataset: CRS, bounds, levels, variables."""
        parameters.parse_query(_query(request))

        async def find(opened: Opened) -> Answer:
            return service.info(opened)

        return await desk.answer(request, dataset, find)

    async def dimensions(request: Request, dataset: str) -> Response:
        """List the dimensions before rows and columns, and the labels of their steps, which `sel` takes."""
        parameters.parse_query(_query(request))

        async def find(opened: Opened) -> Answer:
            return service.dimensions(opened)

        return await desk.answer(request, dataset, find)

    async def point(request: Request, dataset: str, lon: str, lat: str) -> Response:
        """Return the stored values at a point."""
        values = parameters.parse_query(_query(request), parameters.POINT)
        code = values.get("coord_crs", (None,))[0]
        crs_code = None if code is None else parameters.parse_crs_code(code)
        x, y = parameters.parse_number("lon", lon), parameters.parse_number("lat", lat)
        wish = parameters.parse_wish(values)

        async def find(opened: Opened) -> Answer:
            positions = await desk.positions(request, opened, wish)
            return service.point(opened, x=x, y=y, crs_code=crs_code, wish=wish, positions=positions)

        return await desk.answer(request, dataset, find)

    async def malformed_point(request: Request, dataset: str) -> Response:  # noqa: ARG001 - of the route
        """Refuse the address of a point that is not lon,lat."""
        raise ParameterError("point", found="another address", expected="{lon},{lat}")

    async def map_page(request: Request, dataset: str, tms: str) -> Response:
        """Show a map."""
        parameters.parse_query(_query(request), parameters.PICTURE)

        async def find(opened: Opened) -> Answer:
            await desk.tileset(request, opened, tms)
            return service.map_page()

        response = await desk.answer(request, dataset, find)
        response.headers["Content-Security-Policy"] = _PAGE_POLICY
        return response

    _route(api, "/", index)
    _route(api, "/healthz", health)
    _route(api, "/{dataset}/info", info)
    _route(api, "/{dataset}/dimensions", dimensions)
    _route(api, "/{dataset}/point/{lon},{lat}", point, parameters.POINT)
    _route(api, "/{dataset}/point/{rest:path}", malformed_point, is_documented=False)
    _route(api, "/{dataset}/tiles/{tms}/{z}/{x}/{y}", tile, parameters.PICTURE)
    _route(api, "/{dataset}/tiles/{tms}/{rest:path}", malformed_tile, is_documented=False)
    _route(api, "/{dataset}/{tms}/tilejson.json", tilejson, parameters.PICTURE)
    _route(api, "/{dataset}/{tms}/map.html", map_page, parameters.PICTURE)


def _route(
    api: FastAPI,
    path: str,
    endpoint: Callable[..., Awaitable[Response]],
    query: tuple[parameters.Parameter, ...] = (),
    *,
    is_documented: bool = True,
) -> None:
    """Add a route for GET, described with its query parameters, and the same for HEAD."""
    described = [
        {"in": "query", "name": item.name, "description": item.description, "schema": _schema(item)} for item in query
    ]
    api.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        response_model=None,
        openapi_extra={"parameters": described} if described else None,
        include_in_schema=is_documented,
    )
    api.add_api_route(path, endpoint, methods=["HEAD"], response_model=None, include_in_schema=False)


def _schema(parameter: parameters.Parameter) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "string"}} if parameter.is_repeatable else {"type": "string"}


def _query(request: Request) -> bytes:
    query: bytes = request.scope["query_string"]
    return query


async def _listed(desk: Desk, request: Request, name: str) -> dict[str, Any]:
    """Name a dataset and the address of its map; one that cannot be read does not hide the others."""
    try:
        opened = await desk.open(request, name)
    except GeoZarrError:
        _LOG.warning("dataset %s cannot be opened", name, exc_info=True)
        return {"name": name, "error": DAMAGED}
    base = desk.settings.base_url
    return {"name": name, "map": desk.service.map_url(opened), "info": f"{base}/{name}/info"}
