"""Routes of documents: about the service, and about datasets in the words of OGC API, WMTS and GeoJSON."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, TypeVar

from fastapi import FastAPI, Request  # noqa: TC002 - FastAPI looks the names of annotations up
from starlette.responses import Response  # noqa: TC002 - the same

from geozarr.errors import GeoZarrError, in_one_line
from tiler import pages, parameters
from tiler.http import DAMAGED
from tiler.papers import Papers
from tiler.routing import HTML, JSON, PNG, XML, add_route, query_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tiler.desk import Desk
    from tiler.service import Answer, Opened

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_OWN = ""  # lane of the work that belongs to no dataset


def add_routes(api: FastAPI, desk: Desk) -> None:
    """Add the routes of documents.

    Parameters
    ----------
    api : FastAPI
        To which.
    desk : Desk
        Answers them.
    """
    papers = Papers(desk.service)

    async def landing_page(request: Request) -> Response:
        """List the datasets with their addresses: JSON, or HTML for people."""
        values = parameters.parse_query(query_of(request), parameters.FORM)
        form = parameters.parse_form(values, ("json", "html"))
        is_html = form == "html" or (form is None and "text/html" in request.headers.get("accept", ""))
        entries = await _each(desk, lambda name: _entry(desk, request, papers, name))
        response = await desk.respond(request, _OWN, papers.landing_page(entries, is_html=is_html))
        response.headers["Cache-Control"] = "no-cache"  # what can be opened changes
        response.headers["Vary"] = "Accept"
        if is_html:
            response.headers["Content-Security-Policy"] = pages.POLICY
        return response

    async def conformance(request: Request) -> Response:
        """List the conformance classes of OGC API that the service meets."""
        parameters.parse_query(query_of(request))
        return await desk.respond(request, _OWN, papers.conformance())

    async def collections(request: Request) -> Response:
        """Describe the datasets that can be read as collections."""
        parameters.parse_query(query_of(request))
        told = await _each(desk, lambda name: _collection(desk, request, papers, name))
        return await desk.respond(request, _OWN, papers.collections([item for item in told if item is not None]))

    async def collection(request: Request, dataset: str) -> Response:
        """Describe a dataset as a collection: extent in space, time and other dimensions, CRS, links."""
        parameters.parse_query(query_of(request))

        async def find(opened: Opened) -> Answer:
            return papers.collection(opened)

        return await desk.answer(request, dataset, find)

    async def tilesets(request: Request, dataset: str) -> Response:
        """List the tilesets of a dataset."""
        parameters.parse_query(query_of(request))

        async def find(opened: Opened) -> Answer:
            return papers.tilesets(opened)

        return await desk.answer(request, dataset, find)

    async def tileset(request: Request, dataset: str, tms: str) -> Response:
        """Describe a tileset: limits of each matrix, layers, extents of dimensions, templates of tiles."""
        parameters.parse_query(query_of(request))

        async def find(opened: Opened) -> Answer:
            return papers.tileset(opened, await desk.tileset(request, opened, tms))

        return await desk.answer(request, dataset, find)

    async def capabilities(request: Request, dataset: str) -> Response:
        """Describe a dataset to clients of WMTS, in all sets that it is offered in."""
        parameters.parse_query(query_of(request))

        async def find(opened: Opened) -> Answer:
            return papers.capabilities(opened)

        return await desk.answer(request, dataset, find)

    async def capabilities_of_tms(request: Request, dataset: str, tms: str) -> Response:
        """Describe a dataset to clients of WMTS, in one set."""
        parameters.parse_query(query_of(request))

        async def find(opened: Opened) -> Answer:
            return papers.capabilities(opened, await desk.tileset(request, opened, tms))

        return await desk.answer(request, dataset, find)

    async def feature(request: Request, dataset: str) -> Response:
        """Describe a dataset as a GeoJSON feature."""
        parameters.parse_query(query_of(request))

        async def find(opened: Opened) -> Answer:
            return papers.feature(opened)

        return await desk.answer(request, dataset, find)

    async def tile_matrix_sets(request: Request) -> Response:
        """List the tile matrix sets."""
        parameters.parse_query(query_of(request))
        return await desk.respond(request, _OWN, papers.tile_matrix_sets(await _readable(desk, request)))

    async def tile_matrix_set(request: Request, tms: str) -> Response:
        """Define a tile matrix set."""
        parameters.parse_query(query_of(request))
        datasets = await _readable(desk, request)
        answer = await desk.run(request, _OWN, ("set", tms), lambda: papers.tile_matrix_set(tms, datasets))
        return await desk.respond(request, _OWN, answer)

    async def colormap_names(request: Request) -> Response:
        """List the colormaps."""
        parameters.parse_query(query_of(request))
        return await desk.respond(request, _OWN, papers.colormap_names())

    async def colormap(request: Request, name: str) -> Response:
        """Return a colormap: red, green, blue and alpha of each value from 0 to 255, or a picture of them."""
        values = parameters.parse_query(query_of(request), parameters.MAP_FORM)
        is_image = parameters.parse_form(values, ("json", "png")) == "png"
        return await desk.respond(request, _OWN, papers.colormap(name, is_image=is_image))

    async def all_algorithms(request: Request) -> Response:
        """Describe the algorithms."""
        parameters.parse_query(query_of(request))
        return await desk.respond(request, _OWN, papers.algorithm())

    async def algorithm(request: Request, name: str) -> Response:
        """Describe an algorithm: what it takes and gives, and its parameters."""
        parameters.parse_query(query_of(request))
        return await desk.respond(request, _OWN, papers.algorithm(name))

    async def legend(request: Request, dataset: str) -> Response:
        """Tell which colour is which value."""
        return await legend_of(request, dataset, is_image=False)

    async def legend_image(request: Request, dataset: str) -> Response:
        """Draw which colour is which value."""
        return await legend_of(request, dataset, is_image=True)

    async def legend_of(request: Request, dataset: str, *, is_image: bool) -> Response:
        known = parameters.LEGEND if is_image else parameters.PICTURE
        values = parameters.parse_query(query_of(request), known)
        wish = parameters.parse_wish(values, expressions=desk.settings.expressions)
        parameters.parse_sampling(values, most=desk.settings.max_side)  # which changes no colour, and yet is no noise
        drawing = parameters.parse_drawing(values) if is_image else None

        async def find(opened: Opened) -> Answer:
            return papers.legend(opened, wish, await desk.positions(request, opened, wish), drawing)

        return await desk.answer(request, dataset, find)

    add_route(api, "/", landing_page, parameters.FORM, media_types=(*JSON, *HTML))
    add_route(api, "/conformance", conformance)
    add_route(api, "/collections", collections)
    add_route(api, "/collections/{dataset}", collection)
    add_route(api, "/collections/{dataset}/map/tiles", tilesets)
    add_route(api, "/collections/{dataset}/map/tiles/{tms}", tileset)
    add_route(api, "/tileMatrixSets", tile_matrix_sets)
    add_route(api, "/tileMatrixSets/{tms}", tile_matrix_set)
    add_route(api, "/colorMaps", colormap_names)
    add_route(api, "/colorMaps/{name}", colormap, parameters.MAP_FORM, media_types=(*JSON, *PNG))
    add_route(api, "/algorithms", all_algorithms)
    add_route(api, "/algorithms/{name}", algorithm)
    add_route(api, "/{dataset}/info.geojson", feature, media_types=("application/geo+json",))
    add_route(api, "/{dataset}/tiles", tilesets)
    add_route(api, "/{dataset}/tiles/{tms}", tileset)
    add_route(api, "/{dataset}/WMTSCapabilities.xml", capabilities, media_types=XML)
    add_route(api, "/{dataset}/{tms}/WMTSCapabilities.xml", capabilities_of_tms, media_types=XML)
    add_route(api, "/{dataset}/legend.json", legend, parameters.PICTURE)
    add_route(api, "/{dataset}/legend.png", legend_image, parameters.LEGEND, media_types=PNG)


async def _each(desk: Desk, ask: Callable[[str], Awaitable[T]]) -> list[T]:
    """Ask for something of all datasets, several at once: one that is slow holds up few others."""
    places = asyncio.Semaphore(max(1, desk.settings.renders_of_client // 2))

    async def placed(name: str) -> T:
        async with places:
            return await ask(name)

    return list(await asyncio.gather(*map(placed, desk.service.catalog.names)))


async def _entry(desk: Desk, request: Request, papers: Papers, name: str) -> pages.Entry:
    """Tell of a dataset; one that cannot be read does not hide the others."""
    try:
        opened = await desk.open(request, name)
        known = papers.known_entry(opened)
        if known is not None:
            return known
        return await desk.run(request, name, ("entry", opened.version), lambda: papers.entry(opened))
    except GeoZarrError as error:
        _log_unreadable(name, error)
        return pages.Entry(name, name, None, "", error=DAMAGED)


async def _collection(desk: Desk, request: Request, papers: Papers, name: str) -> bytes | None:
    """Describe a dataset as a collection; None where it cannot be read."""
    try:
        answer = papers.collection(await desk.open(request, name))
        made = answer.made()
        if made is None:
            made = await desk.run(request, name, answer.tag, answer.make)
    except GeoZarrError as error:
        _log_unreadable(name, error)
        return None
    return made[0]


async def _readable(desk: Desk, request: Request) -> list[Opened]:
    """Open all datasets but those that cannot be read."""

    async def opened(name: str) -> Opened | None:
        try:
            return await desk.open(request, name)
        except GeoZarrError as error:
            _log_unreadable(name, error)
            return None

    return [item for item in await _each(desk, opened) if item is not None]


def _log_unreadable(name: str, error: GeoZarrError) -> None:
    _LOG.warning("dataset %s cannot be read: %s", name, in_one_line(error))
