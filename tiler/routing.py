"""Routes of FastAPI as this service has them: described query parameters, and HEAD wherever there is GET."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import FastAPI, Request
    from starlette.responses import Response

    from tiler.parameters import Parameter

_GEOJSON = ("application/geo+json", "application/json")


def add_route(
    api: FastAPI,
    path: str,
    endpoint: Callable[..., Awaitable[Response]],
    query: tuple[Parameter, ...] = (),
    *,
    is_documented: bool = True,
    takes_body: bool = False,
) -> None:
    """Add a route, described with its query parameters: POST with GeoJSON, else GET and the same for HEAD."""
    described: dict[str, Any] = {"parameters": [_described(item) for item in query]}
    if takes_body:
        content = {media_type: {"schema": {"type": "object"}} for media_type in _GEOJSON}
        described["requestBody"] = {"required": True, "content": content}
    api.add_api_route(
        path,
        endpoint,
        methods=["POST" if takes_body else "GET"],
        response_model=None,
        openapi_extra=described,
        include_in_schema=is_documented,
    )
    if takes_body:
        return
    api.add_api_route(path, endpoint, methods=["HEAD"], response_model=None, include_in_schema=False)


def query_of(request: Request) -> bytes:
    """Return the query string as it came."""
    query: bytes = request.scope["query_string"]
    return query


def _described(item: Parameter) -> dict[str, Any]:
    schema = {"type": "array", "items": {"type": "string"}} if item.is_repeatable else {"type": "string"}
    return {"in": "query", "name": item.name, "description": item.description, "schema": schema}
