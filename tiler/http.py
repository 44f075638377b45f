"""What HTTP says about errors, about what a client has already, and about how long an answer may be kept."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, Response

from geozarr.errors import GeoZarrError, ParameterError, TileOutsideLimitsError, UnknownNameError
from tiler.admission import BusyError, ClientGoneError, DeadlineError
from tiler.service import PointOutsideError

if TYPE_CHECKING:
    from starlette.requests import Request

_LOG = logging.getLogger(__name__)

STATUS: dict[type[GeoZarrError], int] = {
    ParameterError: 400,
    UnknownNameError: 404,
    TileOutsideLimitsError: 404,
    PointOutsideError: 404,
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
        _LOG.error("%s: %s", request.url.path, error, exc_info=error)
        return failure(status, DAMAGED)
    return failure(status, str(error))


def bug_response(request: Request, error: Exception) -> Response:
    """Answer where the service is at fault; the trace is logged, not told."""
    _LOG.error("%s: a bug", request.url.path, exc_info=error)
    return failure(500, "the service failed")


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
