"""Bodies of requests: GeoJSON within bounds of size and time. All other requests have none."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from geozarr.errors import GeoZarrError, ParameterError
from tiler.geometry import parts_of
from tiler.json_text import parse_json

if TYPE_CHECKING:
    from starlette.requests import Request

SECONDS = 10.0  # that a body may take to arrive
MAX_DEPTH = 16  # a collection of features of multipolygons nests nine deep
MAX_FEATURES = 100
MAX_POSITIONS = 20_000


class BodyTooLargeError(GeoZarrError):
    """A body has more bytes than are read.

    Parameters
    ----------
    most : int
        Bytes that are.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        super().__init__(f"the body has more than {most} bytes")


class BodyTimeoutError(GeoZarrError):
    """A body has not arrived in time."""

    def __init__(self) -> None:
        super().__init__(f"the body has not arrived within {SECONDS:g} s")


async def read_body(request: Request, *, most: int) -> bytes:
    """Read the body of a request.

    Parameters
    ----------
    request : Request
        The request.
    most : int
        Bytes that are read.

    Raises
    ------
    BodyTooLargeError
        If it has more; what comes after these is not read.
    BodyTimeoutError
        If it does not arrive in time.
    """
    announced = request.headers.get("content-length", "0")
    if not announced.isdecimal() or len(announced) > 18 or int(announced) > most:
        raise BodyTooLargeError(most)
    body = bytearray()
    try:
        async with asyncio.timeout(SECONDS):
            async for part in request.stream():
                body += part
                if len(body) > most:
                    raise BodyTooLargeError(most)
    except TimeoutError:
        raise BodyTimeoutError from None
    return bytes(body)


def parse_geojson(body: bytes) -> dict[str, Any]:
    """Read a geometry, a feature or a collection of features (RFC 7946).

    Returns
    -------
    dict
        The document. Its `type` is that of a geometry, "Feature", or "FeatureCollection" with at most `MAX_FEATURES`;
        each feature has a geometry, and these have at most `MAX_POSITIONS` positions in all.

    Raises
    ------
    ParameterError
        If it is something else.
    """
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        raise ParameterError("body", found="other bytes", expected="GeoJSON in UTF-8") from None
    document = parse_json("body", text, max_characters=len(text), max_depth=MAX_DEPTH)
    count = 0
    for feature in features_of(document):
        parts = parts_of(feature.get("geometry") if isinstance(feature, dict) else None)
        count += sum(len(line) for part in parts for line in part.lines)
        if count > MAX_POSITIONS:
            raise ParameterError("body", found=f"{count} positions", expected=f"at most {MAX_POSITIONS} positions")
    assert isinstance(document, dict), "each of its features has a geometry"
    return document


def features_of(document: Any) -> list[Any]:
    """List the features of a GeoJSON document; of a geometry, a feature with it.

    Raises
    ------
    ParameterError
        If it is no object, or a collection of none or too many.
    """
    kind = document.get("type") if isinstance(document, dict) else None
    if kind == "Feature":
        return [document]
    if kind != "FeatureCollection":
        return [{"type": "Feature", "geometry": document, "properties": {}}]
    features = document.get("features")
    if not isinstance(features, list) or not 1 <= len(features) <= MAX_FEATURES:
        found = f"{len(features)} features" if isinstance(features, list) else features
        raise ParameterError("body", found=found, expected=f"1 to {MAX_FEATURES} features")
    return features


def with_statistics(document: dict[str, Any], found: list[dict[str, Any]]) -> dict[str, Any]:
    """Add statistics to the properties of a document's features; a geometry becomes a feature."""
    features = []
    for feature, statistics in zip(features_of(document), found, strict=True):
        properties = feature.get("properties")
        known = properties if isinstance(properties, dict) else {}
        features.append({**feature, "properties": {**known, "statistics": statistics}})
    return {**document, "features": features} if document["type"] == "FeatureCollection" else features[0]
