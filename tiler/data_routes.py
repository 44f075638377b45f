"""Routes of pictures and statistics of everything, of a box, or of a geometry."""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request  # noqa: TC002 - FastAPI looks the names of annotations up
from starlette.responses import Response  # noqa: TC002 - the same

from tiler import parameters
from tiler.body import features_of, parse_geojson, read_body
from tiler.place import Box, Everything, Outline
from tiler.routing import PICTURES, add_route, query_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tiler.desk import Desk
    from tiler.place import Place, Size
    from tiler.service import Answer, Opened

    Values = Mapping[str, tuple[str, ...]]


def add_routes(api: FastAPI, desk: Desk) -> None:
    """Add the routes of pictures and statistics.

    Parameters
    ----------
    api : FastAPI
        To which.
    desk : Desk
        Answers them.
    """
    service, most = desk.service, desk.settings.max_side

    async def preview(request: Request, dataset: str) -> Response:
        """Draw all of a dataset."""
        return await draw_everything(request, dataset)

    async def preview_as(request: Request, dataset: str, suffix: str) -> Response:
        """Draw all of a dataset in a format."""
        return await draw_everything(request, dataset, suffix=suffix)

    async def preview_sized(request: Request, dataset: str, size: str, suffix: str) -> Response:
        """Draw all of a dataset in a format, {width}x{height} pixels."""
        return await draw_everything(request, dataset, size=size, suffix=suffix)

    async def part_as(request: Request, dataset: str, box: str, suffix: str) -> Response:
        """Draw a box, minx,miny,maxx,maxy in degrees or in units of `coord_crs`, in a format."""
        return await draw_box(request, dataset, box, suffix=suffix)

    async def part_sized(request: Request, dataset: str, box: str, size: str, suffix: str) -> Response:
        """Draw a box in a format, {width}x{height} pixels."""
        return await draw_box(request, dataset, box, size=size, suffix=suffix)

    async def feature(request: Request, dataset: str) -> Response:
        """Draw what a GeoJSON feature or geometry covers."""
        return await draw_feature(request, dataset)

    async def feature_as(request: Request, dataset: str, suffix: str) -> Response:
        """Draw what a GeoJSON feature or geometry covers, in a format."""
        return await draw_feature(request, dataset, suffix=suffix)

    async def feature_sized(request: Request, dataset: str, size: str, suffix: str) -> Response:
        """Draw what a GeoJSON feature or geometry covers in a format, {width}x{height} pixels."""
        return await draw_feature(request, dataset, size=size, suffix=suffix)

    async def statistics(request: Request, dataset: str) -> Response:
        """Compute statistics of a dataset, from the level that fits the size."""
        values = parameters.parse_query(query_of(request), parameters.STATISTICS)
        _, crs = parameters.parse_codes(values)
        place = Everything(crs, parameters.parse_size(values, most=most))

        return await count(request, dataset, values, (place,))

    async def statistics_of_features(request: Request, dataset: str) -> Response:
        """Compute statistics of what the features of a GeoJSON document cover, added to their properties."""
        values = parameters.parse_query(query_of(request), parameters.STATISTICS_OF_FEATURES)
        given, crs = parameters.parse_codes(values)
        size = parameters.parse_size(values, most=most)
        document = await geojson(request, dataset)
        places = tuple(_outline(item, given, crs, size) for item in features_of(document))

        return _unkept(await count(request, dataset, values, places, document))

    async def draw_everything(
        request: Request, dataset: str, *, size: str | None = None, suffix: str | None = None
    ) -> Response:
        values = parameters.parse_query(query_of(request), parameters.PREVIEW)
        _, crs = parameters.parse_codes(values)
        place = Everything(crs, parameters.parse_size(values, most=most, size=size))
        return await draw(request, dataset, values, suffix, place)

    async def draw_box(request: Request, dataset: str, box: str, *, suffix: str, size: str | None = None) -> Response:
        values = parameters.parse_query(query_of(request), parameters.PART)
        given, crs = parameters.parse_codes(values)
        bounds = parameters.parse_box(box)
        place = Box(bounds, given, crs, parameters.parse_size(values, most=most, size=size))
        return await draw(request, dataset, values, suffix, place)

    async def draw_feature(
        request: Request, dataset: str, *, size: str | None = None, suffix: str | None = None
    ) -> Response:
        values = parameters.parse_query(query_of(request), parameters.PART)
        given, crs = parameters.parse_codes(values)
        wanted = parameters.parse_size(values, most=most, size=size)
        item = features_of(await geojson(request, dataset))[0]
        return _unkept(await draw(request, dataset, values, suffix, _outline(item, given, crs, wanted)))

    async def geojson(request: Request, dataset: str) -> dict[str, Any]:
        await desk.open(request, dataset)  # whoever names no dataset need not send all of it
        body = await read_body(request, most=desk.settings.max_body)
        key = ("body", hashlib.sha256(body).hexdigest())
        return await desk.run(request, dataset, key, partial(parse_geojson, body))

    async def draw(request: Request, dataset: str, values: Values, suffix: str | None, place: Place) -> Response:
        wish = parameters.parse_wish(values, expressions=desk.settings.expressions)
        sampling = parameters.parse_sampling(values, most=most)
        image_format = None if suffix is None else parameters.parse_format(suffix)

        async def find(opened: Opened) -> Answer:
            positions = await desk.positions(request, opened, wish)
            return service.picture(
                opened, place, image_format=image_format, wish=wish, positions=positions, sampling=sampling
            )

        return await desk.answer(request, dataset, find)

    async def count(
        request: Request,
        dataset: str,
        values: Values,
        places: tuple[Place, ...],
        document: dict[str, Any] | None = None,
    ) -> Response:
        wish = parameters.parse_wish(values, expressions=desk.settings.expressions)
        sampling, options = parameters.parse_sampling(values, most=most), parameters.parse_counts(values)

        async def find(opened: Opened) -> Answer:
            positions = await desk.positions(request, opened, wish)
            return service.statistics(
                opened,
                places,
                wish=wish,
                positions=positions,
                sampling=sampling,
                options=options,
                document=document,
            )

        return await desk.answer(request, dataset, find)

    add_route(api, "/{dataset}/preview", preview, parameters.PREVIEW, media_types=PICTURES)
    add_route(api, "/{dataset}/preview.{suffix}", preview_as, parameters.PREVIEW, media_types=PICTURES)
    add_route(api, "/{dataset}/preview/{size}.{suffix}", preview_sized, parameters.PREVIEW, media_types=PICTURES)
    for name in ("bbox", "part"):
        add_route(
            api, f"/{{dataset}}/{name}/{{box}}/{{size}}.{{suffix}}", part_sized, parameters.PART, media_types=PICTURES
        )
        add_route(api, f"/{{dataset}}/{name}/{{box}}.{{suffix}}", part_as, parameters.PART, media_types=PICTURES)
    add_route(api, "/{dataset}/feature", feature, parameters.PART, takes_body=True, media_types=PICTURES)
    add_route(api, "/{dataset}/feature.{suffix}", feature_as, parameters.PART, takes_body=True, media_types=PICTURES)
    add_route(
        api, "/{dataset}/feature/{size}.{suffix}", feature_sized, parameters.PART, takes_body=True, media_types=PICTURES
    )
    add_route(api, "/{dataset}/statistics", statistics, parameters.STATISTICS)
    add_route(api, "/{dataset}/statistics", statistics_of_features, parameters.STATISTICS_OF_FEATURES, takes_body=True)


def _outline(feature: dict[str, Any], given: str | None, crs: str | None, size: Size) -> Outline:
    return Outline(json.dumps(feature["geometry"]), given, crs, size)


def _unkept(response: Response) -> Response:
    """Say that an answer to a POST is not to be kept: nobody else can ask for it by its address."""
    response.headers["Cache-Control"] = "no-store"
    return response
