"""What the service logs: one record a line for machines, or text for people, on standard error.

Whatever a client sends can neither end a line nor begin another one: control characters are escaped in both forms, and
lines after the first of a record, which a trace has, are indented. Texts are cut where they are long.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import count
from secrets import token_hex
from typing import TYPE_CHECKING, Any

from tiler.settings import ALL, AUTO, DOCUMENTS, JSON, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_PATH = 200  # characters of a path and query in an access line
_MAX_MESSAGE = 4000  # characters of any message
_MAX_METHOD = 16
_MAX_TRACE = 32_000
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ACCESS = "tiler.access"
_PROBES = ("/healthz", "/readyz", "/metrics")

# Of the request that is being answered, so that whatever is logged on its way can be found by it.
REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")


@dataclass(frozen=True)
class Access:
    """A request that has been answered.

    Parameters
    ----------
    method, path : str
        As asked; the path without its query.
    query : str
        What follows the question mark, as sent.
    status, size : int
        Status, and bytes of the body that were sent.
    seconds : float
        From the end of its head to the end of the answer.
    client : str
        Address of the client, or of the proxy before it.
    dataset : str
        Name of the dataset; empty where it is about none.
    """

    method: str
    path: str
    query: str
    status: int
    size: int
    seconds: float
    client: str
    dataset: str

    def fields(self) -> dict[str, Any]:
        """Values of the line, by their keys."""
        return {
            "method": shown(self.method, _MAX_METHOD),
            "path": shown(f"{self.path}?{self.query}" if self.query else self.path, MAX_PATH),
            "status": self.status,
            "bytes": self.size,
            "ms": round(self.seconds * 1000, 2),
            "client": self.client,
            "dataset": self.dataset,
        }


def request_ids() -> Callable[[str], str]:
    """Make what names requests.

    Returns
    -------
    callable
        Takes the id that a proxy has sent, or an empty text, and returns the id of a request: the proxy's where it is
        a plain word of at most 64 letters, else one that no other request of this or another process has.
    """
    process, numbers = token_hex(4), count(1)

    def name(sent: str) -> str:
        if sent and len(sent) <= 64 and _REQUEST_ID.fullmatch(sent):
            return sent
        return f"{process}-{next(numbers)}"

    return name


def is_logged(choice: str, path: str, *, is_tile: bool) -> bool:
    """Tell whether a request has an access line.

    Parameters
    ----------
    choice : str
        The setting `access_log`.
    path : str
        Path of the request.
    is_tile : bool
        True for a map tile.
    """
    if choice == DOCUMENTS:
        return not (is_tile or path in _PROBES or path.startswith("/_static/"))
    return choice == ALL


def log_access(access: Access) -> None:
    """Write an access line."""
    logging.getLogger(_ACCESS).info("", extra={"access": access})


def shown(text: str, most: int) -> str:
    r"""Return a text on one line: control characters and halves of surrogate pairs as `\xNN` or `\uNNNN`, cut.

    Parameters
    ----------
    text : str
        Any text.
    most : int
        Characters that are kept of it; then an ellipsis follows.
    """
    if len(text) > most:
        text = text[:most] + "\u2026"
    return text if text.isprintable() else "".join(map(_plain, text))


def _plain(character: str) -> str:
    if character.isprintable():
        return character
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"


class JsonFormatter(logging.Formatter):
    """A JSON object a line, in ASCII: `time` (UTC), `level`, `logger`, `message` or fields of a request, `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        made: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
        }
        access = record.__dict__.get("access")
        if access is None:
            made["message"] = shown(record.getMessage(), _MAX_MESSAGE)
        else:
            made |= access.fields()
        if request_id := REQUEST_ID.get():
            made["request_id"] = request_id
        if record.exc_info:
            made["trace"] = self.formatException(record.exc_info)[-_MAX_TRACE:]
        return json.dumps(made)


class TextFormatter(logging.Formatter):
    """A line of text a record, with the lines of a trace indented below it."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record."""
        access = record.__dict__.get("access")
        request_id = REQUEST_ID.get()
        if access is None:
            text = shown(record.getMessage(), _MAX_MESSAGE)
            name = "" if record.name.startswith("tiler") else f"{record.name}: "
            line = f"{_time(record.created)} {record.levelname.lower():<7} {name}{text}"
        else:
            line = f"{_time(record.created)} {_access_text(access.fields())}"
        if request_id:
            line += f" [{request_id}]"
        if record.exc_info:
            trace = self.formatException(record.exc_info)[-_MAX_TRACE:]
            line += "".join(f"\n    {shown(part, _MAX_MESSAGE)}" for part in trace.split("\n"))
        return line


def _access_text(values: Mapping[str, Any]) -> str:
    units = {"bytes": " B", "ms": " ms"}
    keys = ("client", "method", "path", "status", "bytes", "ms")
    return " ".join(f"{values[key]}{units.get(key, '')}" for key in keys)


def _time(seconds: float) -> str:
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{whole}.{int(seconds % 1 * 1000):03d}Z"


def configure(log_format: str) -> None:
    """Send all that this process logs to standard error.

    Parameters
    ----------
    log_format : str
        The setting of that name.
    """
    is_text = log_format == TEXT or (log_format == AUTO and sys.stderr.isatty())
    assert is_text or log_format in (AUTO, JSON)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if is_text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("tiler").setLevel(logging.INFO)
