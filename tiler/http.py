"""What HTTP says about errors, about what a client has already, and about how long an answer may be kept."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.responses import JSONResponse, Response

from geozarr.errors import GeoZarrError, ParameterError, TileOutsideLimitsError, UnknownNameError, in_one_line
from tiler.admission import BusyError, ClientGoneError, DeadlineError
from tiler.body import BodyTimeoutError, BodyTooLargeError
from tiler.raw import RangeError, parse_range, tag_of_document
from tiler.service import PointOutsideError

if TYPE_CHECKING:
    from starlette.requests import Request

    from tiler.raw import RawStore

_LOG = logging.getLogger(__name__)

STATUS: dict[type[GeoZarrError], int] = {
    ParameterError: 400,
    UnknownNameError: 404,
    TileOutsideLimitsError: 404,
    PointOutsideError: 404,
    BodyTimeoutError: 408,
    BodyTooLargeError: 413,
    RangeError: 416,
    ClientGoneError: 499,  # nginx's number for it; nobody but the log sees it
    BusyError: 503,
    DeadlineError: 504,
    # All others are about the store: the request was good, what stands behind the service is not.
    GeoZarrError: 502,
}
DAMAGED = "the dataset is damaged or cannot be read"
_NOT_FOUND_SECONDS = 60  # a tile that is missing may be built; a client that asks for it again and again is spared
_RETRY_SECONDS = 1


def error_response(request: Request, error: GeoZarrError) -> Response:
    """Turn an error of ours into its status; what is wrong with a store is logged, not told."""
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if status == 502:
        _LOG.error("%s: %s", _path(request), in_one_line(error))
        return failure(status, DAMAGED)
    response = failure(status, str(error))
    if isinstance(error, BodyTimeoutError | BodyTooLargeError):
        response.headers["Connection"] = "close"  # what comes of the body is not read
    if isinstance(error, RangeError):
        response.headers["Content-Range"] = f"bytes */{error.size}"
    return response


def bug_response(request: Request, error: Exception) -> Response:
    """Answer where the service is at fault; the trace is logged, not told."""
    _LOG.error("%s: a bug", _path(request), exc_info=error)
    return failure(500, "the service failed")


def _path(request: Request) -> str:
    """Path of a request as it came: without what ends a line, and whatever its Host header says."""
    return quote(request.scope["path"])


def failure(status: int, detail: str) -> Response:
    """Say that there is no answer, and why."""
    headers = {"Cache-Control": f"public, max-age={_NOT_FOUND_SECONDS}" if status == 404 else "no-store"}
    if status == 503:
        headers["Retry-After"] = str(_RETRY_SECONDS)
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)


def has_it(if_none_match: str, tag: str) -> bool:
    """Compare a tag with those that a client has, weakly, as RFC 9110, 13.1.2 asks."""
    candidates = [item.strip().removeprefix("W/") for item in if_none_match.split(",")]
    return "*" in candidates or tag in candidates


@dataclass(frozen=True)
class Asked:
    """What a request for a stored object says beside its address.

    Parameters
    ----------
    method : str
        GET or HEAD.
    if_none_match : str
        Tags that the client has.
    range, if_range : str, or None
        Part that is wanted, and the tag for which it is.
    """

    method: str
    if_none_match: str
    range: str | None
    if_range: str | None

    @classmethod
    def of(cls, request: Request) -> Asked:
        """Take it from a request."""
        headers = request.headers
        return cls(request.method, headers.get("if-none-match", ""), headers.get("range"), headers.get("if-range"))


def stored_response(raw: RawStore, key: str, asked: Asked, *, max_age: int) -> Response:
    """Answer with an object of a store (RFC 9110, 13.2.2 and 14.2: conditions come before ranges).

    Parameters
    ----------
    raw : RawStore
        The objects that may be read.
    key : str
        Which.
    asked : Asked
        What of it.
    max_age : int
        Seconds for which a chunk may be kept.

    Raises
    ------
    UnknownNameError
        If there is no such object.
    RangeError
        If the range begins after its end.
    ChunkReadError, StoreError, LimitError
        If it is lost, cannot be read, or is too large.
    """
    wanted = raw.find(key)
    if wanted.array is None:
        data = raw.read(wanted).data
        # Another document may come to stand under this key at any time; chunks of another build have other keys.
        headers = {"ETag": f'"{tag_of_document(data)}"', "Cache-Control": "no-cache"}
        if has_it(asked.if_none_match, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(data, headers={**headers, "Content-Type": "application/json"})
    tag = f'"{raw.tag(wanted)}"'
    headers = {"ETag": tag, "Cache-Control": f"public, max-age={max_age}", "Accept-Ranges": "bytes"}
    if has_it(asked.if_none_match, tag):
        return Response(status_code=304, headers=headers)
    headers["Content-Type"] = "application/octet-stream"
    if asked.method == "HEAD":
        return Response(headers={**headers, "Content-Length": str(raw.size(wanted))})
    span = parse_range(asked.range) if asked.if_range in (None, tag) else None
    part = raw.read(wanted, span)
    if span is not None:
        headers["Content-Range"] = f"bytes {part.first}-{part.first + len(part.data) - 1}/{part.size}"
    return Response(part.data, status_code=200 if span is None else 206, headers=headers)
