"""What the failures of an object store mean: which ones pass, which are final, and how to tell a person.

obstore has one exception for most of what goes wrong, lists above all, so the status and the code that the server has
sent are taken from its text. Without a status there was no whole answer (a connection refused or reset, a time limit,
a body cut short), and that may pass.
"""

from __future__ import annotations

import re

_STATUS = re.compile(r"non-2xx status code: (\d{3})(?: ([A-Za-z -]+))?")
_CODE = re.compile(r"<Code>([A-Za-z0-9.]{1,60})</Code>")
_MESSAGE = re.compile(r"<Message>([^<]{1,200})")
_QUERY = re.compile(r"\?[^\s):]*")  # may hold a signature
# 408 and 425: the server asks for another try; 429: for a later one.
_PASSING = frozenset({408, 425, 429})
_MISSING_FEATURES = frozenset({501, 505})
# What S3 answers to puts that meet each other, with 409; Azure's 409 to a put that is to create says "there is one".
_MET = frozenset({"ConditionalRequestConflict", "OperationAborted"})
_NO_CONTAINER = frozenset({"NoSuchBucket", "ContainerNotFound"})
_SHOWN = 300  # characters of a failure without an answer


class CutBodyError(Exception):
    """A body has ended before all of it was there, though the answer calls itself whole."""


def is_passing(error: Exception) -> bool:
    """Tell whether another try may succeed."""
    text = str(error)
    status = _status_of(text)
    if status is None:
        return not _is_refused_by_client(text)
    if status == 409:
        return is_meeting(error)
    return status in _PASSING or (status >= 500 and status not in _MISSING_FEATURES)


def is_meeting(error: Exception) -> bool:
    """Tell whether a put has failed for another one at the same time, and not for an object that is there."""
    return _code_of(str(error)) in _MET


def is_missing_feature(error: Exception) -> bool:
    """Tell whether the store does not know what was asked of it."""
    return isinstance(error, NotImplementedError) or _status_of(str(error)) in _MISSING_FEATURES


def is_missing_container(error: Exception) -> bool:
    """Tell whether the bucket or container is not there, and not just an object in it."""
    return _code_of(str(error)) in _NO_CONTAINER


def reason(error: Exception) -> str:
    """Say on one line what a store has answered, or why there is no answer."""
    text = str(error)
    found = _STATUS.search(text)
    if found is None:
        if _is_refused_by_client(text):
            return "the endpoint is plain http, which must be allowed (AWS_ALLOW_HTTP, GOOGLE_ALLOW_HTTP, ...)"
        line = next(iter(text.splitlines()), "")
        return _QUERY.sub("", line)[:_SHOWN]
    if is_missing_container(error):
        return f"the bucket or container does not exist ({_code_of(text)})"
    message = _MESSAGE.search(text)
    said = _code_of(text) or (found[2] or "").strip()
    return f"the store answered {found[1]} {said}".rstrip() + (f": {message[1]}" if message else "")


def _is_refused_by_client(text: str) -> bool:
    return "HTTP error: builder error" in text


def _status_of(text: str) -> int | None:
    found = _STATUS.search(text)
    return None if found is None else int(found[1])


def _code_of(text: str) -> str | None:
    found = _CODE.search(text)
    return None if found is None else found[1]
