"""One client connection: HTTP/1.1 as RFC 9112 has it, on httptools and asyncio.

Our own, because the data plane needs three things that ASGI servers hide: a callback when the
client leaves (a task that watches costs more than the whole path), the body in one piece without
a queue, and one write per answer. The control plane is served through ``asgi.py``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, cast

import httptools

from modelyard.inference.http.exchange import Exchange
from modelyard.inference.outbox import Outbox

MAX_HEAD = 64 * 1024  # bytes of request line and headers
HEAD_SECONDS = 20.0  # for the headers, from the first byte
BODY_SECONDS = 30.0  # between two reads of a body
IDLE_SECONDS = 75.0  # between two requests
STALL_SECONDS = 120.0  # a client that reads nothing while we write
DISCARD_SECONDS = 30.0  # reading the rest of a refused body, so that the client sees the answer
MAX_WAITING = 16  # pipelined requests that are read while the first is served
MAX_WAITING_BODY = 64 * 1024  # bytes; behind a larger one nothing is read
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


class Application(Protocol):
    """What a connection calls."""

    def begin(self, exchange: Exchange) -> None:
        """The headers are in: choose a route, set ``exchange.limit``, or respond at once."""

    def serve(self, exchange: Exchange) -> None:
        """The body is in, and it is this exchange's turn."""

    def refuse(self, exchange: Exchange, reason: str) -> None:
        """Answer a request that HTTP itself forbids: "malformed", "head_too_large",
        "body_too_large" or "timeout".
        """


class Connection:
    """One connection. Requests are answered in their order; pipelined ones wait."""

    def __init__(
        self, application: Application, connections: set[Connection], outbox: Outbox
    ) -> None:
        self._application = application
        self.outbox = outbox
        self._connections = connections
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._in_head = True
        self.current: Exchange | None = None
        self._receiving: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._discarding = False
        self._refused = False  # what follows is not parsed any more
        self._upgrade = False  # the parser stops behind a head that asks for another protocol
        self.transport: asyncio.Transport
        self.write_paused = False
        self.deadline = self._loop.time() + IDLE_SECONDS
        self.peer: tuple[str, int] | None = None
        self.socket = -1  # its file descriptor, where what is written there goes out as it is

    # Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected."""
        self.transport = cast(asyncio.Transport, transport)
        self._connections.add(self)
        sock = transport.get_extra_info("socket")
        if sock is not None and transport.get_extra_info("ssl_object") is None:
            self.socket = sock.fileno()
        peer = transport.get_extra_info("peername")
        self.peer = (peer[0], peer[1]) if isinstance(peer, tuple) else None

    def connection_lost(self, exc: Exception | None) -> None:
        """The client left: whoever works for it is told at once."""
        self._connections.discard(self)
        for exchange in (self.current, *self._waiting):
            if exchange is not None:
                exchange.leave()
        if self._receiving is not None:
            self._receiving.leave()
        self._waiting.clear()
        self._turn_to(None)

    def data_received(self, data: bytes) -> None:
        """Bytes of one or more requests."""
        if self._refused:
            return
        before, begun = self._receiving, self._in_head and self._head_bytes
        if self._in_head:
            self._head_bytes += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self._refuse("malformed")
            return
        receiving = self._receiving
        if self._in_head and self._head_bytes > MAX_HEAD:
            self._refuse("head_too_large")
        elif receiving is None and self.current is None and self._head_bytes:
            if not begun:
                self.deadline = self._loop.time() + HEAD_SECONDS
        elif receiving is not None or self.current is not None:
            self._renew()
            if receiving is not None and receiving is not before:
                self._invite(receiving)

    def _feed(self, data: bytes | memoryview) -> None:
        """Parse. Requests to upgrade are served as plain HTTP, RFC 9110 7.8.

        llhttp takes what follows such a head for another protocol. So a new parser goes on with
        the body: else its bytes would be lost, or be taken for a request of their own.
        """
        while data:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as stop:
                data = memoryview(data)[stop.args[0] :]
                self._upgrade = False
                self._parser = httptools.HttpRequestParser(self)
                framing = [b"%b: %b\r\n" % field for field in self._headers if field[0] in _FRAMING]
                self._parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n" % b"".join(framing))

    def _renew(self) -> None:
        """Set the deadline for what comes next."""
        if self._discarding or self.write_paused:
            return
        if self._receiving is not None:
            self.deadline = self._loop.time() + BODY_SECONDS
        elif self.current is not None:
            self.deadline = float("inf")
        else:
            self.deadline = self._loop.time() + IDLE_SECONDS

    def _invite(self, exchange: Exchange) -> None:
        """Ask for the body of a request that waits to be asked, RFC 9110 10.1.1."""
        if exchange is not self.current or exchange.started or not exchange.limit:
            return
        if exchange.version != "1.0" and any(
            name == b"expect" and value.lower() == b"100-continue"
            for name, value in exchange.headers
        ):
            self.outbox.write(self.transport, b"HTTP/1.1 100 Continue\r\n\r\n")

    def hold(self) -> None:
        """Read no more of a body for now: who takes it is slower than the client."""
        self.transport.pause_reading()
        self.deadline = float("inf")

    def release(self) -> None:
        """Read on."""
        if not self.transport.is_closing():
            self.transport.resume_reading()
            self._renew()

    def eof_received(self) -> None:
        """The client sends nothing more: the transport closes."""

    def pause_writing(self) -> None:
        """The client reads slower than we write."""
        self.write_paused = True
        self.deadline = self._loop.time() + STALL_SECONDS

    def resume_writing(self) -> None:
        """The client caught up."""
        self.write_paused = False
        self._renew()
        if self.current is not None:
            self.current.wake()

    # Parser

    def on_url(self, url: bytes) -> None:
        """Part of the request target."""
        if self._in_head:
            self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field; those behind a body (trailers) are dropped, RFC 9110 6.5.1."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is in: the application chooses, before the body is read."""
        if not self._in_head:
            return
        parser = self._parser
        self._upgrade = parser.should_upgrade()
        exchange = self._exchange(parser.get_method().decode("ascii"), parser.get_http_version())
        exchange.keep_alive = parser.should_keep_alive() and exchange.version != "1.0"
        self._in_head = False
        self._receiving = exchange
        self._line_up(exchange)
        if (
            self._head_bytes > MAX_HEAD
            and len(self._url) + sum(len(name) + len(value) for name, value in exchange.headers)
            > MAX_HEAD
        ):
            exchange.limit = 0
            self._application.refuse(exchange, "head_too_large")
            return
        self._application.begin(exchange)

    def on_body(self, data: bytes) -> None:
        """Part of a body."""
        exchange = self._receiving
        if exchange is None or exchange.started:
            return
        if exchange.on_body is not None:
            exchange.on_body(data)
            return
        exchange.received += len(data)
        if exchange.received > exchange.limit:
            exchange.parts.clear()
            self._application.refuse(exchange, "body_too_large")
        else:
            exchange.parts.append(data)

    def on_message_complete(self) -> None:
        """A whole request is in."""
        if self._upgrade:
            return  # its body is still to come
        exchange, self._receiving = self._receiving, None
        self._url, self._headers = b"", []
        self._in_head, self._head_bytes = True, 0
        if exchange is None:
            return
        exchange.body_complete = True
        if exchange.on_body is not None:
            exchange.on_body(None)
            return
        parts = exchange.parts
        exchange.body = parts[0] if len(parts) == 1 else b"".join(parts)
        exchange.parts = []
        if self._discarding:
            self._close()
        elif exchange is self.current:
            if not exchange.started:
                self._application.serve(exchange)
        elif len(self._waiting) >= MAX_WAITING or exchange.received > MAX_WAITING_BODY:
            self.transport.pause_reading()  # from here on a client that leaves is not noticed

    # Exchange

    def finished(self, exchange: Exchange) -> None:
        """The response is written: close, or go on with the next request."""
        if exchange.gone or exchange is not self.current:
            return
        if not exchange.body_complete:
            self._discarding = True
            self._allow(DISCARD_SECONDS)
            return
        if not exchange.keep_alive:
            self._close()
            return
        self._allow(IDLE_SECONDS)
        self._turn_to(None)
        if self._waiting:
            self._loop.call_soon(self._next)

    def close_if_idle(self) -> None:
        """Part of a graceful stop: busy connections close after their answer."""
        if self.current is None:
            self._close()
        else:
            self.current.keep_alive = False

    def abort(self) -> None:
        """Drop the connection at once."""
        self.transport.abort()

    def expire(self, now: float) -> None:
        """Called about once a second: end what takes too long."""
        if now < self.deadline:
            return
        if self.write_paused or self._discarding or self.transport.is_closing():
            self.transport.abort()
        elif self.current is None and self._in_head and not self._head_bytes:
            self.transport.close()
        else:
            self._refuse("timeout")

    def _close(self) -> None:
        """Close after what was written is on its way.

        A client that was refused may still be sending: a close would reset the connection, and
        the answer would be lost. So its bytes are dropped until it closes, too.
        """
        self.outbox.flush()
        if self._refused and not self._discarding:
            self._discarding = True
            self.deadline = self._loop.time() + DISCARD_SECONDS
            self.transport.write_eof()
            return
        self.deadline = self._loop.time() + STALL_SECONDS
        self.transport.close()

    def _allow(self, seconds: float) -> None:
        """Give it so long; a client that does not read what was written has its own time."""
        if not self.write_paused:
            self.deadline = self._loop.time() + seconds

    def _line_up(self, exchange: Exchange) -> None:
        """Serve this one after those that came before."""
        if self.current is None and not self._waiting:
            self._turn_to(exchange)
        else:
            self._waiting.append(exchange)

    def _turn_to(self, exchange: Exchange | None) -> None:
        """Serve this one now; None: nothing, for the moment."""
        self.outbox.serving += (exchange is not None) - (self.current is not None)
        self.current = exchange

    def _next(self) -> None:
        if self.current is not None or not self._waiting:
            return
        exchange = self._waiting.popleft()
        self._turn_to(exchange)
        if not self._waiting:
            self.transport.resume_reading()
        self._renew()
        exchange.flush()
        exchange.wake()
        if exchange.finished:
            self.finished(exchange)
        elif exchange.body_complete and not exchange.started and exchange.on_body is None:
            self._application.serve(exchange)
        elif not exchange.body_complete:
            self._invite(exchange)

    def _exchange(self, method: str, version: str) -> Exchange:
        path, _, query = self._url.partition(b"?")
        if path[:7] == b"http://" or path[:8] == b"https://":  # absolute form, RFC 9112 3.2.2
            path = b"/" + path.split(b"//", 1)[1].partition(b"/")[2]
        text = path.decode("latin-1")
        return Exchange(self, method, text, query, self._headers, version)

    def _refuse(self, reason: str) -> None:
        """Answer what is being received, and parse nothing any more."""
        exchange, self._receiving = self._receiving, None
        self._refused = True
        if exchange is None:  # of the next request not even the head is whole
            exchange = self._exchange("GET", "1.1")
            self._line_up(exchange)
        if exchange.started:
            self.transport.abort()
            return
        exchange.keep_alive = False
        exchange.body_complete = True
        left, exchange.on_gone = exchange.on_gone, None
        self._application.refuse(exchange, reason)
        if left is not None:
            left()  # whoever waits for the rest of the body
