"""Routes of FastAPI as this service has them: described with all that they take and answer, and HEAD as GET has it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from tiler.render import MEDIA_TYPES

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from fastapi import FastAPI, Request

    from tiler.parameters import Parameter

JSON = ("application/json",)
HTML = ("text/html",)
PNG = ("image/png",)
XML = ("application/xml",)
PICTURES = tuple(dict.fromkeys(MEDIA_TYPES.values()))
_GEOJSON = ("application/geo+json", "application/json")
_PROBLEM = {
    "application/json": {
        "schema": {"type": "object", "properties": {"detail": {"type": "string"}}, "required": ["detail"]}
    }
}
_FAILURES = {
    400: "A parameter or the address is malformed",
    404: "There is no such dataset, set, variable, tile or place",
    502: "The store is damaged or cannot be read",
    503: "Too much is waiting; ask again after the seconds that Retry-After says",
    504: "Not ready in time",
}
_FAILURES_OF_BODIES = {408: "The body has not arrived in time", 413: "The body is too large"}


def add_route(
    api: FastAPI,
    path: str,
    endpoint: Callable[..., Awaitable[Response]],
    query: tuple[Parameter, ...] = (),
    *,
    media_types: tuple[str, ...] = JSON,
    statuses: Mapping[int, str] | None = None,
    is_documented: bool = True,
    takes_body: bool = False,
) -> None:
    """Add a route: POST with GeoJSON, else GET and the same for HEAD.

    Parameters
    ----------
    api : FastAPI
        To which.
    path : str
        Its path, with parameters in braces.
    endpoint : callable
        Answers; its docstring describes it.
    query : tuple of Parameter
        Query parameters.
    media_types : tuple of str
        Of what it answers with.
    statuses : mapping of int to str, optional
        What it answers beside those that all routes have, and when.
    is_documented : bool
        Whether `/openapi.json` has it.
    takes_body : bool
        True for POST.
    """
    described: dict[str, Any] = {"parameters": [_described(item) for item in query]}
    if takes_body:
        content = {media_type: {"schema": {"type": "object"}} for media_type in _GEOJSON}
        described["requestBody"] = {"required": True, "content": content}
    api.add_api_route(
        path,
        endpoint,
        methods=["POST" if takes_body else "GET"],
        response_model=None,
        response_class=Response,
        responses=_responses(media_types, statuses or {}, takes_body=takes_body),
        openapi_extra=described,
        include_in_schema=is_documented,
    )
    if takes_body:
        return
    api.add_api_route(path, endpoint, methods=["HEAD"], response_model=None, include_in_schema=False)


def _responses(
    media_types: tuple[str, ...], statuses: Mapping[int, str], *, takes_body: bool
) -> dict[int | str, dict[str, Any]]:
    content: dict[str, Any] = {media_type: {} for media_type in media_types}
    found: dict[int | str, dict[str, Any]] = {200: {"description": "Found", "content": content}}
    if not takes_body:
        found[304] = {"description": "The client has it: its If-None-Match names the tag"}
    failures = _FAILURES | (_FAILURES_OF_BODIES if takes_body else {})
    for status, text in (failures | dict(statuses)).items():
        found[status] = {"description": text, "content": _PROBLEM if status >= 400 else content}
    # FastAPI describes errors of its own validation, which there is none of, where this is not said.
    found["4XX"] = {"description": "Another fault of the request", "content": _PROBLEM}
    return found


def query_of(request: Request) -> bytes:
    """Return the query string as it came."""
    query: bytes = request.scope["query_string"]
    return query


def _described(item: Parameter) -> dict[str, Any]:
    schema = {"type": "array", "items": {"type": "string"}} if item.is_repeatable else {"type": "string"}
    return {"in": "query", "name": item.name, "description": item.description, "schema": schema}
