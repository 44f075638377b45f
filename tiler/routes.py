"""Addresses and parameters of the service, as routes of FastAPI: each parses, finds an answer, and responds."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from fastapi import FastAPI, Request  # noqa: TC002 - FastAPI looks the names of annotations up
from starlette.responses import JSONResponse, Response

from geozarr.errors import ParameterError, UnknownNameError
from tiler import page, parameters
from tiler.http import Asked, stored_response
from tiler.routing import HTML, PICTURES, add_route, query_of

if TYPE_CHECKING:
    from tiler.desk import Desk
    from tiler.picture import Wish
    from tiler.sampling import Sampling
    from tiler.service import Answer, Opened

_LOG = logging.getLogger(__name__)
_FOR_EVER = "public, max-age=31536000, immutable"  # what has its hash in its address
_PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


async def draw_tile(desk: Desk, request: Request, dataset: str, tms: str, z: str, x: str, y: str) -> Response:
    """Answer with a map tile; `x` is the column, and `y` the row with the scale and format that may follow it."""
    row, scale, image_format = parameters.parse_row(y)
    settings = desk.settings
    wish, sampling = parameters.parse_tile_query(
        query_of(request), most=settings.max_side, scale=scale, expressions=settings.expressions
    )
    place = (z, row, parameters.parse_whole("x", x))
    return await _draw(desk, request, dataset, tms, place, image_format, wish, sampling)


async def _draw(
    desk: Desk,
    request: Request,
    dataset: str,
    tms: str,
    place: tuple[str, int, int],
    image_format: str | None,
    wish: Wish,
    sampling: Sampling,
) -> Response:
    z, row, col = place

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
            sampling=sampling,
        )

    return await desk.answer(request, dataset, find)


def add_routes(api: FastAPI, desk: Desk) -> None:
    """Add the routes of datasets: tiles, values, pages.

    Parameters
    ----------
    api : FastAPI
        To which.
    desk : Desk
        Answers them.
    """
    service = desk.service

    async def health(request: Request) -> Response:
        """Say that the service runs."""
        parameters.parse_query(query_of(request))
        return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

    async def ready(request: Request) -> Response:
        """Say whether requests are welcome: 503 while the service stops, or where a dataset is not to be found."""
        parameters.parse_query(query_of(request))
        lost = () if desk.is_stopping else await desk.lost()
        status = "stopping" if desk.is_stopping else "not ready" if lost else "ready"
        document = {"status": status, "datasets": lost} if lost else {"status": status}
        return JSONResponse(document, 200 if status == "ready" else 503, headers={"Cache-Control": "no-store"})

    async def tile(request: Request, dataset: str, tms: str, z: str, x: str, y: str) -> Response:
        """Draw a map tile."""
        return await draw_tile(desk, request, dataset, tms, z, x, y)

    async def ogc_tile(request: Request, dataset: str, tms: str, z: str, row: str, col: str) -> Response:
        """Draw a map tile, addressed as in OGC API - Tiles: row before column, and the format as `f`."""
        values = parameters.parse_query(query_of(request), parameters.OGC_TILE)
        place = (z, parameters.parse_whole("tileRow", row), parameters.parse_whole("tileCol", col))
        image_format = parameters.parse_format(values["f"][0]) if "f" in values else None
        wish = parameters.parse_wish(values, expressions=desk.settings.expressions)
        sampling = parameters.parse_sampling(values, most=desk.settings.max_side)
        return await _draw(desk, request, dataset, tms, place, image_format, wish, sampling)

    async def malformed_tile(request: Request, dataset: str, tms: str) -> Response:  # noqa: ARG001 - of the route
        """Refuse the address of a tile that is not z/x/y."""
        raise ParameterError("tile", found="another address", expected="{z}/{x}/{y}, and .png, .jpg, .webp or .npy")

    async def tilejson(request: Request, dataset: str, tms: str) -> Response:
        """Describe the tiles of a dataset as TileJSON 3.0; parameters go on to the tiles' addresses."""
        values = parameters.parse_query(query_of(request), parameters.TILE)
        parameters.parse_sampling(values, most=desk.settings.max_side)
        text = urlencode([(name, text) for name, texts in values.items() for text in texts], safe=",")
        wish = parameters.parse_wish(values, expressions=desk.settings.expressions)

        async def find(opened: Opened) -> Answer:
            tileset = await desk.tileset(request, opened, tms)
            positions = await desk.positions(request, opened, wish)
            query = f"?{text}" if text else ""
            return service.tilejson(opened, tileset, wish=wish, positions=positions, query=query)

        return await desk.answer(request, dataset, find)

    async def info(request: Request, dataset: str) -> Response:
        """Describe a dataset: CRS, bounds, levels, variables."""
        parameters.parse_query(query_of(request))

        async def find(opened: Opened) -> Answer:
            return service.info(opened)

        return await desk.answer(request, dataset, find)

    async def dimensions(request: Request, dataset: str) -> Response:
        """List the dimensions before rows and columns, and the labels of their steps, which `sel` takes."""
        parameters.parse_query(query_of(request))

        async def find(opened: Opened) -> Answer:
            return service.dimensions(opened)

        return await desk.answer(request, dataset, find)

    async def point(request: Request, dataset: str, lon: str, lat: str) -> Response:
        """Return the stored values at a point."""
        values = parameters.parse_query(query_of(request), parameters.POINT)
        code = values.get("coord_crs", (None,))[0]
        crs_code = None if code is None else parameters.parse_crs_code(code)
        x, y = parameters.parse_number("lon", lon), parameters.parse_number("lat", lat)
        wish = parameters.parse_wish(values, expressions=desk.settings.expressions)

        async def find(opened: Opened) -> Answer:
            positions = await desk.positions(request, opened, wish)
            return service.point(opened, x=x, y=y, crs_code=crs_code, wish=wish, positions=positions)

        return await desk.answer(request, dataset, find)

    async def malformed_point(request: Request, dataset: str) -> Response:  # noqa: ARG001 - of the route
        """Refuse the address of a point that is not lon,lat."""
        raise ParameterError("point", found="another address", expected="{lon},{lat}")

    async def map_page(request: Request, dataset: str) -> Response:
        """Show a map, in the TileMatrixSet of the dataset where its matrices are numbered, else in Web Mercator."""
        parameters.parse_query(query_of(request), parameters.PICTURE)

        async def find(opened: Opened) -> Answer:  # noqa: ARG001 - the page is the same for all
            return service.map_page("../")

        return _with_policy(await desk.answer(request, dataset, find))

    async def map_page_of_tms(request: Request, dataset: str, tms: str) -> Response:
        """Show a map in a TileMatrixSet."""
        parameters.parse_query(query_of(request), parameters.PICTURE)

        async def find(opened: Opened) -> Answer:
            await desk.tileset(request, opened, tms)
            return service.map_page("../../")

        return _with_policy(await desk.answer(request, dataset, find))

    async def page_file(request: Request, version: str, path: str) -> Response:
        """Return a script or style of the map page."""
        parameters.parse_query(query_of(request))
        known = page.load()
        found = known.file(path)
        # A page that another release has sent gets what there is now, and may not keep it.
        headers = {"Cache-Control": _FOR_EVER if version == known.version else "no-cache"}
        return Response(found.data, headers={**headers, "Content-Type": found.media_type})

    async def stored(request: Request, dataset: str, key: str) -> Response:
        """Return an object of the store itself, a document or a chunk: whole, or a range of its bytes."""
        parameters.parse_query(query_of(request))
        opened = await desk.open(request, dataset)
        if opened.raw is None or _has_encoded_slash(request):
            raise UnknownNameError("stored object", key[:100], ())
        asked = Asked.of(request)
        raw = opened.raw
        work = partial(stored_response, raw, key, asked, max_age=desk.settings.max_age)
        return await desk.run(request, dataset, ("stored", opened.version, key, asked), work)

    add_route(api, "/healthz", health)
    add_route(api, "/readyz", ready)
    add_route(api, f"/{page.PREFIX}/{{version}}/{{path:path}}", page_file, is_documented=False)
    add_route(api, "/{dataset}/info", info)
    add_route(api, "/{dataset}/dimensions", dimensions)
    add_route(api, "/{dataset}/point/{lon},{lat}", point, parameters.POINT)
    add_route(api, "/{dataset}/point/{rest:path}", malformed_point, is_documented=False)
    add_route(api, "/{dataset}/tiles/{tms}/{z}/{x}/{y}", tile, parameters.TILE, media_types=PICTURES)
    add_route(
        api,
        "/collections/{dataset}/map/tiles/{tms}/{z}/{row}/{col}",
        ogc_tile,
        parameters.OGC_TILE,
        media_types=PICTURES,
    )
    add_route(api, "/{dataset}/tiles/{tms}/{rest:path}", malformed_tile, is_documented=False)
    add_route(api, "/{dataset}/{tms}/tilejson.json", tilejson, parameters.TILE)
    add_route(api, "/{dataset}/map", map_page, parameters.PICTURE, media_types=HTML)
    add_route(api, "/{dataset}/{tms}/map.html", map_page_of_tms, parameters.PICTURE, media_types=HTML)
    if desk.settings.expose_zarr:
        objects, parts = (
            ("application/json", "application/octet-stream"),
            {206: "A part", 416: "No part has that range"},
        )
        add_route(api, "/{dataset}/zarr/{key:path}", stored, media_types=objects, statuses=parts)


def _with_policy(response: Response) -> Response:
    response.headers["Content-Security-Policy"] = _PAGE_POLICY
    return response


def _has_encoded_slash(request: Request) -> bool:
    """Tell whether a slash of the path came percent-encoded, and so was meant to be a part of a name."""
    raw_path: bytes | None = request.scope.get("raw_path")
    return raw_path is not None and raw_path.partition(b"?")[0].count(b"/") != request.scope["path"].count("/")
