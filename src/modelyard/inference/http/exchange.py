"""One request and its response on a client's connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from modelyard.inference.framing import frame
from modelyard.inference.relay import Relay

if TYPE_CHECKING:
    from modelyard.inference.http.connection import Connection

_STATUS_LINES = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_NO_BODY = frozenset({204, 304})


def status_line(status: int) -> bytes:
    """The first line of a response, CRLF included."""
    return _STATUS_LINES.get(status) or f"HTTP/1.1 {status} Unknown\r\n".encode()


class Exchange:
    """A request as it arrived, and the ways to answer it.

    Heads given to ``respond`` and ``begin`` are header lines, each ended by CRLF, without the
    framing fields (Content-Length, Transfer-Encoding, Connection), which are added here.
    Writing to a client that has gone is a no-op; ``gone`` tells.
    """

    __slots__ = (
        "_drained",
        "_held",
        "body",
        "body_complete",
        "connection",
        "finished",
        "gone",
        "headers",
        "keep_alive",
        "limit",
        "measured",
        "method",
        "on_body",
        "on_drained",
        "on_gone",
        "parts",
        "path",
        "query",
        "received",
        "relay",
        "route",
        "started",
        "state",
        "version",
    )

    def __init__(
        self,
        connection: Connection,
        method: str,
        path: str,
        query: bytes,
        headers: list[tuple[bytes, bytes]],
        version: str,
    ) -> None:
        self.connection = connection
        self.method = method
        self.path = path  # as sent: still percent-encoded
        self.query = query
        self.headers = headers  # names in lower case
        self.version = version
        self.keep_alive = True
        self.limit = 0  # bytes of body that are buffered before it is refused
        self.received = 0
        self.parts: list[bytes] = []
        self.body = b""
        self.body_complete = False
        self.started = False  # the response's head was written
        self.measured = False  # its length was announced: what is written goes out as it is
        self.finished = False
        self.gone = False
        self.on_gone: Callable[[], None] | None = None
        self.on_drained: Callable[[], None] | None = None
        self.on_body: Callable[[bytes | None], None] | None = None  # None: the body is complete
        self.route: Any = None  # what the application chose when the headers were in
        self.relay: Relay | None = None  # writes to the socket, too: halted before we do
        self.state: Any = None  # what it wants to keep until the body is in
        self._drained: asyncio.Future[None] | None = None
        self._held: list[bytes] = []  # written before it was this exchange's turn

    def respond(self, status: int, head: bytes, body: bytes) -> None:
        """Answer at once with a complete body, in one write."""
        if self.started:
            return
        self.started = True
        framing = b"\r\n" if status in _NO_BODY else b"content-length: %d\r\n\r\n" % len(body)
        if self.method == "HEAD":
            body = b""
        self._write(b"".join((status_line(status), head, self._closing(), framing, body)))
        self._finish()

    def begin(self, status: int, head: bytes, length: int = -1) -> None:
        """Send the head of a response whose body follows by ``write``.

        ``length`` are its bytes where that is known: exactly as many have to follow.
        """
        if self.started:
            return
        self.started = True
        if length >= 0:
            self.measured = True
            framing = b"content-length: %d\r\n\r\n" % length
        elif self.version == "1.0":
            self.keep_alive = False
            framing = b"\r\n"
        else:
            framing = b"transfer-encoding: chunked\r\n\r\n"
        self._write(status_line(status) + head + self._closing() + framing)

    def write(self, data: bytes) -> None:
        """Send a part of the body."""
        self.halt()
        if not data or self.finished or self.gone or self.method == "HEAD":
            return
        if self.version != "1.0" and not self.measured:
            data = frame(data)
        connection = self.connection
        if connection.current is self:
            connection.outbox.pass_on(connection.transport, data)
        else:
            self._held.append(data)

    @property
    def chunked(self) -> bool:
        """Whether parts of the body go out as chunks."""
        return self.version != "1.0" and self.method != "HEAD" and not self.measured

    @property
    def ready(self) -> bool:
        """Whether a part of the body would go to the client at once."""
        connection = self.connection
        return (
            connection.current is self
            and not (connection.write_paused or self.finished or self.gone)
            and not self._held
        )

    @property
    def drained(self) -> bool:
        """Whether all that was written is with the system."""
        connection = self.connection
        return connection.outbox.empty and not connection.transport.get_write_buffer_size()

    def halt(self) -> None:
        """Let the relay, if there is one, write nothing more."""
        if self.relay is not None:
            self.relay.halt()

    def catch_up(self) -> None:
        """Hear from the relay, if there is one, what went through up to now."""
        if self.relay is not None:
            self.relay.catch_up()

    def write_chunk(self, chunk: bytes) -> None:
        """Send a part of the body that has its framing already; only while ``ready``."""
        connection = self.connection
        connection.outbox.pass_on(connection.transport, chunk)

    def end(self, data: bytes = b"") -> None:
        """Send the last part of the body, in one write with its end."""
        if self.finished:
            return
        if self.method == "HEAD":
            pass
        elif self.version == "1.0" or self.measured:
            self._write(data)
        elif data:
            self._write(frame(data) + b"0\r\n\r\n")
        else:
            self._write(b"0\r\n\r\n")
        self._finish()

    def abort(self) -> None:
        """Cut the connection: the only honest end of a body that cannot be completed."""
        self.halt()
        self.finished = True
        self.on_gone = self.on_body = self.state = self.relay = None
        self.connection.abort()

    @property
    def slow(self) -> bool:
        """The client reads slower than we write: ``drain`` before writing more."""
        return self.connection.write_paused and not self.gone

    async def drain(self) -> None:
        """Wait until the client has read enough, or has gone."""
        if self.slow:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    async def turn(self) -> None:
        """Wait until the answers before this one are written, or the client has gone."""
        while self.connection.current is not self and not self.gone:
            self._drained = asyncio.get_running_loop().create_future()
            await self._drained

    def wake(self) -> None:
        """It is its turn, the connection took up writing again, or was lost."""
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)
        if self.on_drained is not None:
            self.on_drained()

    def leave(self) -> None:
        """The client has gone. Who works for it alone ends, before it is told of room."""
        if self.gone:
            return
        self.gone = True
        self.halt()
        on_gone, self.on_gone, self.state, self.relay = self.on_gone, None, None, None
        if on_gone is not None and not self.finished:
            on_gone()
        self.wake()

    def _closing(self) -> bytes:
        if not self.body_complete:
            self.keep_alive = False  # the rest of the body is read and dropped, then we close
        return b"" if self.keep_alive else b"connection: close\r\n"

    def _write(self, data: bytes) -> None:
        self.halt()
        if self.gone or not data:
            return
        if self.connection.current is self:
            self.connection.outbox.write(self.connection.transport, data)
        else:
            self._held.append(data)

    def flush(self) -> None:
        """It is this exchange's turn: send what was held back."""
        if self._held:
            held, self._held = self._held, []
            self._write(b"".join(held))

    def _finish(self) -> None:
        self.finished = True
        # No reference cycle may outlive a request: the collector would cost a fifth of the time.
        self.on_gone = self.on_body = self.state = self.relay = None
        self.connection.finished(self)
