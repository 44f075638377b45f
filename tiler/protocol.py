"""HTTP/1.1 connections that cannot be held open by clients that trickle: uvicorn's, with limits on time and size.

uvicorn closes connections that are idle between requests, and nothing else: neither a request's head that never ends,
nor a body that nobody reads, nor an answer that the client does not take. Each has its limit here (promise T10).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

HEAD_SECONDS = 10.0  # from the first byte of a request, or the opening of its connection, to the end of its head
ANSWER_SECONDS = 20.0  # between two looks at an answer that fills the buffers
ANSWER_BYTES = 20 * 2**10  # that the client must have taken in between: 1 kB/s, slower than any telephone
LINGER_SECONDS = 0.3  # for a request that is on its way to a server that stops
HEAD_BYTES = 16 * 2**10  # request line and headers
_VERSIONS = ("1.0", "1.1")  # the parser knows 0.9 and 2.0 too, whose messages are others
_SLICE = 4096  # fed at once: the size of a head is known to that


class BoundedProtocol(HttpToolsProtocol):
    """A connection whose requests have a bounded head, in bounded time, and whose answers are taken in bounded time.

    Parameters
    ----------
    args, options : object
        Those of uvicorn's protocol.
    most_head : int, optional
        Bytes of a head; `HEAD_BYTES` by default.
    head_seconds : float, optional
        Time for a head; `HEAD_SECONDS` by default.
    """

    def __init__(
        self, *args: Any, most_head: int | None = None, head_seconds: float | None = None, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._most_head = HEAD_BYTES if most_head is None else most_head
        self._head_seconds = HEAD_SECONDS if head_seconds is None else head_seconds

    _is_last = False
    _head_bytes = 0
    _is_in_head = False
    _head_timer: asyncio.TimerHandle | None = None
    _answer_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection; its first request is awaited for as long as the head of one."""
        super().connection_made(transport)
        self._head_timer = self.loop.call_later(self._head_seconds, self._drop)

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        self._stop_head_timer()
        self._stop_answer_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has come, in slices, so that a head is refused before it is much too large."""
        for start in range(0, len(data), _SLICE):
            if self.parser is None or self.transport.is_closing():
                return
            part = data[start : start + _SLICE]
            super().data_received(part)
            if self._is_in_head:
                self._head_bytes += len(part)
                if self._head_bytes > self._most_head and not self.transport.is_closing():
                    self.send_400_response(f"The head of the request has more than {self._most_head} bytes.")

    def on_message_begin(self) -> None:
        """Begin a request."""
        super().on_message_begin()
        self._head_bytes = 0
        self._is_in_head = True
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self._head_seconds, self._drop)

    def on_headers_complete(self) -> None:
        """Begin to answer."""
        self._is_in_head = False
        self._stop_head_timer()
        version = self.parser.get_http_version()
        if version not in _VERSIONS:
            raise HttpParserError(f"HTTP/{version}")  # which is answered with 400, as all that is no request
        super().on_headers_complete()
        if self._is_last and self.cycle is not None:
            self.cycle.keep_alive = False

    def shutdown(self) -> None:
        """Take no more than one more request: one that was on its way when the server was told to stop is answered."""
        if self.cycle is None or self.cycle.response_complete:
            self._is_last = True
            self.loop.call_later(LINGER_SECONDS, self._end_idle)
        else:
            super().shutdown()

    def _end_idle(self) -> None:
        """Close an idle connection once nothing else is under way."""
        is_idle = self.cycle is None or self.cycle.response_complete
        if is_idle and self.tasks:
            self.loop.call_later(LINGER_SECONDS, self._end_idle)
        elif is_idle and not self.transport.is_closing():
            self.transport.close()

    def pause_writing(self) -> None:
        """Wait for a client that does not take its answer, but not for ever."""
        super().pause_writing()
        if self._answer_timer is None:
            self._await_progress()

    def resume_writing(self) -> None:
        """Go on: the client takes its answer."""
        super().resume_writing()
        self._stop_answer_timer()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one whose client has left an answer lying would never be flushed."""
        if self.transport.get_write_buffer_size():
            self._drop()
        else:
            super().timeout_keep_alive_handler()

    def _await_progress(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._answer_timer = self.loop.call_later(ANSWER_SECONDS, self._require_progress, left)

    def _require_progress(self, before: int) -> None:
        if before - self.transport.get_write_buffer_size() < ANSWER_BYTES:
            self._drop()
        else:
            self._await_progress()

    def _drop(self) -> None:
        """Close at once; what is unsent is lost, since the client does not take it."""
        self.transport.abort()

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_answer_timer(self) -> None:
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None
