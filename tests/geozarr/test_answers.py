from __future__ import annotations

import pytest
from obstore.exceptions import GenericError

from geozarr import answers


def answered(status: str, code: str = "", message: str = "") -> GenericError:
    """As obstore words it."""
    body = f": <Error><Code>{code}</Code><Message>{message}</Message></Error>" if code else ""
    url = "https://example.com/b/k?sig=secret"
    return GenericError(f"Error performing GET {url} in 1ms - Server returned non-2xx status code: {status}{body}")


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (answered("500 Internal Server Error", "InternalError"), True),
        (answered("502 Bad Gateway"), True),
        (answered("503 Service Unavailable", "SlowDown"), True),
        (answered("504 Gateway Timeout"), True),
        (answered("429 Too Many Requests"), True),
        (answered("408 Request Timeout"), True),
        (answered("409 Conflict", "ConditionalRequestConflict"), True),
        (answered("409 Conflict", "OperationAborted"), True),
        (answered("409 Conflict", "BlobAlreadyExists"), False),
        (answered("400 Bad Request", "InvalidRequest"), False),
        (answered("401 Unauthorized"), False),
        (answered("403 Forbidden", "AccessDenied"), False),
        (answered("404 Not Found", "NoSuchBucket"), False),
        (answered("501 Not Implemented", "NotImplemented"), False),
        (GenericError("Error performing GET https://e/ in 2s - HTTP error: error sending request"), True),
        (GenericError("HTTP error: request or response body error"), True),
        (GenericError("Error performing GET http://e/ in 2us - HTTP error: builder error"), False),
        (answers.CutBodyError("2 of 3 bytes"), True),
    ],
)
def test_what_may_pass_is_told_from_what_is_final(error: Exception, passes: bool) -> None:
    assert answers.is_passing(error) is passes


def test_a_reason_is_one_line_without_the_query() -> None:
    said = answers.reason(answered("503 Service Unavailable", "SlowDown", "Please reduce your rate."))
    assert said == "the store answered 503 SlowDown: Please reduce your rate."
    assert answers.reason(answered("502 Bad Gateway")) == "the store answered 502 Bad Gateway"
    silent = GenericError("Error performing GET https://e/b?sig=secret in 2s - HTTP error\n\nDebug source:\nmuch")
    assert answers.reason(silent) == "Error performing GET https://e/b in 2s - HTTP error"


@pytest.mark.parametrize("code", ["NoSuchBucket", "ContainerNotFound"])
def test_a_missing_container_is_no_missing_object(code: str) -> None:
    assert answers.is_missing_container(answered("404 Not Found", code))
    assert "does not exist" in answers.reason(answered("404 Not Found", code))
    assert not answers.is_missing_container(answered("404 Not Found", "NoSuchKey"))
