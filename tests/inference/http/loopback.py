"""A tiny application behind real connections, and a client that sees every byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from modelyard.inference.http.connection import Connection
from modelyard.inference.http.exchange import Exchange
from modelyard.inference.outbox import Outbox

PATIENCE = 60.0  # seconds; what takes longer has failed
EARLY = 0.005  # uvloop counts in milliseconds
STATUS = {"malformed": 400, "head_too_large": 400, "body_too_large": 413, "timeout": 408}


class Tiny:
    """Answers with what it understood; the path tells how.

    ``/refused`` is answered before its body, ``/held`` waits for ``go``, ``/kept`` is never
    answered by itself, ``/stream`` is answered in parts, ``/raw`` takes its body as it comes.
    """

    def __init__(self, limit: int = 1 << 20) -> None:
        self.limit = limit
        self.served: list[Exchange] = []
        self.refusals: list[str] = []
        self.left: list[str] = []
        self.pieces: list[bytes | None] = []
        self.began: list[Exchange] = []
        self.paths: list[str] = []

    def begin(self, exchange: Exchange) -> None:
        self.began.append(exchange)
        exchange.limit = self.limit
        if exchange.path.startswith("/refused"):
            exchange.respond(401, b"", b"who are you?")
        elif exchange.path.startswith("/raw"):
            exchange.on_body = self.pieces.append

    def serve(self, exchange: Exchange) -> None:
        self.served.append(exchange)
        self.paths.append(exchange.path)
        path = exchange.path
        exchange.on_gone = lambda: self.left.append(path)
        if path.startswith("/kept"):
            return
        if path.startswith("/stream"):
            exchange.begin(200, b"content-type: text/plain\r\n")
            exchange.write(b"one,")
            exchange.write(b"")
            exchange.end(b"two")
            return
        exchange.respond(200, b"content-type: application/json\r\n", told(exchange))

    def refuse(self, exchange: Exchange, reason: str) -> None:
        self.refusals.append(reason)
        exchange.respond(STATUS[reason], b"", reason.encode())


def told(exchange: Exchange) -> bytes:
    """What a request said, as JSON."""
    said = {
        "method": exchange.method,
        "path": exchange.path,
        "query": exchange.query.decode(),
        "version": exchange.version,
        "headers": {name.decode(): value.decode("latin-1") for name, value in exchange.headers},
        "body": exchange.body.decode("latin-1"),
    }
    return json.dumps(said).encode()


class Reply:
    """A response as it came."""

    def __init__(self, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
        self.status = status
        self.headers = headers  # names in lower case
        self.body = body

    @property
    def said(self) -> Any:
        """What the application understood."""
        return json.loads(self.body)

    @property
    def closes(self) -> bool:
        return self.headers.get(b"connection") == b"close"


class Peer:
    """A client's end of one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *parts: bytes) -> None:
        """Write parts, each for itself."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def head(self) -> tuple[int, dict[bytes, bytes]]:
        text = await self.reader.readuntil(b"\r\n\r\n")
        line, *fields = text[:-4].split(b"\r\n")
        assert line.startswith(b"HTTP/1.1 ")
        pairs = [field.split(b": ", 1) for field in fields]
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), "a field was sent twice"
        return int(line.split(b" ")[1]), {name.lower(): value for name, value in pairs}

    async def reply(self, *, bodiless: bool = False) -> Reply:
        """The next response, read by its own framing."""
        async with asyncio.timeout(PATIENCE):
            status, headers = await self.head()
            if bodiless or status in {100, 204, 304}:
                body = b""
            elif headers.get(b"transfer-encoding") == b"chunked":
                assert b"content-length" not in headers
                body = await self._chunks()
            elif b"content-length" in headers:
                body = await self.reader.readexactly(int(headers[b"content-length"]))
            else:
                body = await self.reader.read()
        return Reply(status, headers, body)

    async def _chunks(self) -> bytes:
        parts = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            parts.append(await self.reader.readexactly(size))
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return b"".join(parts)

    async def ask(self, *parts: bytes) -> Reply:
        await self.send(*parts)
        return await self.reply()

    async def closed(self) -> bytes:
        """What came until the server closed the connection."""
        rest = b""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                while piece := await self.reader.read(65536):
                    rest += piece
        return rest


class Served:
    """A listening server with its application."""

    def __init__(self, application: Tiny, port: int, connections: set[Connection]) -> None:
        self.application = application
        self.port = port
        self.connections = connections

    @contextlib.asynccontextmanager
    async def peer(self) -> AsyncIterator[Peer]:
        """Connect."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()

    @property
    def connection(self) -> Connection:
        """The only connection."""
        (one,) = self.connections
        return one

    def later(self, seconds: float) -> None:
        """What the server does at its tick so many seconds from now."""
        now = asyncio.get_running_loop().time() + seconds
        for connection in list(self.connections):
            connection.expire(now)

    def just_before(self, seconds: float, since: float) -> None:
        """Its last tick before the end of so many seconds, which began after ``since``."""
        now = asyncio.get_running_loop().time()
        for connection in list(self.connections):
            assert since - EARLY <= connection.deadline - seconds <= now + EARLY
            connection.expire(connection.deadline - EARLY)


async def until(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 (what is waited for sets no event)
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def serving(application: Tiny | None = None) -> AsyncIterator[Served]:
    """A server on a free loopback port."""
    app = application or Tiny()
    loop = asyncio.get_running_loop()
    connections: set[Connection] = set()
    outbox = Outbox()
    server = await loop.create_server(lambda: Connection(app, connections, outbox), "127.0.0.1", 0)
    try:
        yield Served(app, server.sockets[0].getsockname()[1], connections)
    finally:
        server.close()
        for connection in list(connections):
            connection.abort()
        await until(lambda: not connections)
        assert outbox.serving == 0, "what is over still counts"


def get(path: str, *fields: str, version: str = "1.1", method: str = "GET") -> bytes:
    """A request without a body."""
    lines = [f"{method} {path} HTTP/{version}", "Host: x", *fields]
    return "".join(line + "\r\n" for line in lines).encode() + b"\r\n"


def post(path: str, body: bytes, *fields: str) -> bytes:
    """A request with a body of a known length."""
    return get(path, f"Content-Length: {len(body)}", *fields, method="POST") + body


def chunked(path: str, *pieces: bytes, trailer: bytes = b"") -> bytes:
    """A request with a body in chunks."""
    head = get(path, "Transfer-Encoding: chunked", method="POST")
    return (
        head
        + b"".join(b"%x\r\n%b\r\n" % (len(p), p) for p in pieces)
        + b"0\r\n"
        + trailer
        + b"\r\n"
    )
