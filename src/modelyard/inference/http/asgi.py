"""Serves an ASGI 3 application (the control plane) on our connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import unquote

from modelyard.inference.http.exchange import Exchange
from modelyard.protocol.wire import WHOLE

Message = MutableMapping[str, Any]
App = Callable[[dict[str, Any], Any, Any], Awaitable[None]]  # scope, receive, send
_BEGINS: dict[bytes, bytes] = {}  # of lines of header fields, by their names
_MOST_NAMES = 1024
_FRAMING = frozenset({b"content-length", b"transfer-encoding", b"connection"})
_MOST_WAITING = 1024 * 1024  # bytes of a body that wait for the application before we read on


class Bridge:
    """One exchange seen as ASGI's scope, receive and send.

    The body is handed on as it arrives, so that the application may refuse before it is read.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._inbox: deque[bytes | None] = deque()  # None: the end, or the client's departure
        self._awaited: asyncio.Future[None] | None = None  # set when something comes in
        self._status = 200
        self._head = b""
        self._length = -1  # bytes of the answer's body, where the application said so
        self._sent = 0
        self._waiting = 0  # bytes of the request's body in the inbox
        self._held = False
        self._more = True
        self._over = False  # the client left
        self._left: asyncio.Event | None = None  # for who waits for that
        exchange.on_body = self._arrived
        exchange.on_gone = self._gone

    def scope(self) -> dict[str, Any]:
        """The connection scope of ASGI 3."""
        exchange = self._exchange
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": exchange.version,
            "method": exchange.method,
            "scheme": "http",
            "path": unquote(exchange.path),
            "raw_path": exchange.path.encode("latin-1"),
            "query_string": exchange.query,
            "root_path": "",
            "headers": exchange.headers,
            "client": exchange.connection.peer,
            "server": None,
            WHOLE: self.answer,
        }

    async def receive(self) -> Message:
        """The next part of the body, then the client's departure."""
        if self._more and not self._over:
            while not self._inbox:
                self._awaited = asyncio.get_running_loop().create_future()
                await self._awaited
            data = self._inbox.popleft()
            if data is not None:
                self._taken(len(data))
            if data is None or (self._inbox and self._inbox[0] is None):
                self._more = False
            if not self._over:
                return {"type": "http.request", "body": data or b"", "more_body": self._more}
        if not self._over:
            self._left = self._left or asyncio.Event()
            await self._left.wait()
        return {"type": "http.disconnect"}

    def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole answer, as ``send`` has it in two messages; without its body for HEAD."""
        self._taken(self._waiting)
        self._take(headers)
        self._exchange.respond(status, self._head, body)

    async def send(self, message: Message) -> None:
        """The head is held until the first part of the body: small answers are one write."""
        exchange = self._exchange
        if message["type"] == "http.response.start":
            self._status = message["status"]
            self._take(message.get("headers", ()))
            return
        body: bytes = message.get("body", b"")
        self._sent += len(body)
        if not message.get("more_body", False):
            self._taken(self._waiting)  # what is left of the request is read and dropped
            self._finish(body)
            return
        await exchange.turn()
        exchange.begin(self._status, self._head, self._length)
        exchange.write(body)
        await exchange.drain()
        await asyncio.sleep(0)  # the next part may be at hand: this one goes out, others are served

    def _finish(self, body: bytes) -> None:
        exchange = self._exchange
        if exchange.method == "HEAD" and self._length >= 0:
            exchange.begin(self._status, self._head, self._length)  # the GET's, RFC 9110 9.3.2
            exchange.end()
        elif not exchange.started:
            exchange.respond(self._status, self._head, body)
        elif exchange.measured and self._sent < self._length:
            exchange.abort()  # less than was announced: the client has to see it
        else:
            exchange.end(body)

    def _take(self, headers: Iterable[tuple[bytes, bytes]]) -> None:
        lines: list[bytes] = []
        for name, value in headers:
            begin = _BEGINS.get(name)
            if begin is None:
                begin = _begin(name)
            if begin:
                lines.append(begin)
                lines.append(value)
                lines.append(b"\r\n")
            elif name.lower() == b"content-length":
                self._length = int(value)
        self._head = b"".join(lines)

    def _arrived(self, data: bytes | None) -> None:
        """A part of the body; a client that is faster than the application has to wait."""
        self._put(data)
        self._waiting += len(data or b"")
        if self._waiting > _MOST_WAITING and not self._held:
            self._held = True
            self._exchange.connection.hold()

    def _taken(self, size: int) -> None:
        self._waiting -= size
        if self._held and self._waiting <= _MOST_WAITING // 2:
            self._held = False
            self._exchange.connection.release()

    def _gone(self) -> None:
        self._over = True
        if self._left is not None:
            self._left.set()
        self._put(None)

    def _put(self, data: bytes | None) -> None:
        self._inbox.append(data)
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(None)


def _begin(name: bytes) -> bytes:
    """How the line of a header field begins; of one that is ours alone there is none."""
    begin = b"" if name.lower() in _FRAMING else name + b": "
    if len(_BEGINS) < _MOST_NAMES:
        _BEGINS[name] = begin
    return begin


async def serve(app: App, bridge: Bridge) -> None:
    """Run the application for one exchange."""
    await app(bridge.scope(), bridge.receive, bridge.send)
