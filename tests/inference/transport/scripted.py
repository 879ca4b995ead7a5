"""An upstream whose every byte is scripted by the test, on the test's own loop.

::

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    async with Upstream(script) as upstream:
        ...

A script runs once for each connection; the connection is closed when it returns.
"""

import asyncio
import contextlib
import ssl
import struct
import time
from collections.abc import Awaitable, Callable
from types import TracebackType

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.pool import Usage
from modelyard.inference.transport.wire import Deadlines, Origin, Request, Response, Tls, head

SOON = 0.1  # seconds within which a socket must be closed
PATIENCE = 60.0  # seconds; what takes longer has failed
LINGER_RESET = struct.pack("ii", 1, 0)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Asked:
    """A request as it came in."""

    def __init__(self, line: bytes, headers: dict[bytes, bytes], body: bytes) -> None:
        self.line = line
        self.headers = headers  # names in lower case
        self.body = body


class Peer:
    """One connection, as the upstream's script sees it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.asked: list[Asked] = []
        self.closed_at: float | None = None  # time.monotonic() when the client had closed

    async def head(self) -> Asked:
        """The head of a request, without its body."""
        text = await self.reader.readuntil(b"\r\n\r\n")
        line, *fields = text[:-4].split(b"\r\n")
        pairs = [field.split(b": ", 1) for field in fields]
        asked = Asked(line, {name.lower(): value for name, value in pairs}, b"")
        self.asked.append(asked)
        return asked

    async def request(self) -> Asked:
        """A complete request."""
        asked = await self.head()
        length = int(asked.headers.get(b"content-length", b"0"))
        asked.body = await self.reader.readexactly(length)
        return asked

    async def send(self, *parts: bytes) -> None:
        """Send parts, each in a packet of its own as far as that can be had."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            await asyncio.sleep(0)

    async def gone(self) -> None:
        """Wait until the client has closed, however it did."""
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while await self.reader.read(65536):
                pass
        self.closed_at = time.monotonic()

    def reset(self) -> None:
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, LINGER_RESET)  # SOL_SOCKET, SO_LINGER
        self.writer.transport.abort()


Script = Callable[[Peer], Awaitable[None]]


class Upstream:
    """Listens on loopback and runs ``script`` for each connection."""

    def __init__(
        self, script: Script, *, context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
    ) -> None:
        self.peers: list[Peer] = []
        self._script = script
        self._context = context
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()
        self.errors: list[BaseException] = []

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    @property
    def asked(self) -> list[Asked]:
        """Every request of every connection."""
        return [asked for peer in self.peers for asked in peer.asked]

    def origin(
        self,
        *,
        host: str | None = None,
        tls: Tls | None = None,
        proxy: str | None = None,
        max_connections: int = 512,
        pool_wait: float = PATIENCE,
    ) -> Origin:
        return Origin(
            "http" if tls is None else "https",
            host or self._host,
            self.port,
            tls or Tls(),
            proxy,
            max_connections,
            pool_wait,
        )

    async def __aenter__(self) -> "Upstream":
        self._server = await asyncio.start_server(
            self._accept, self._host, 0, ssl=self._context, limit=2**20
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None and self.errors:
            raise self.errors[0]

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(reader, writer)
        self.peers.append(peer)
        try:
            await self._script(peer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        except AssertionError as error:
            self.errors.append(error)
        finally:
            self._tasks.discard(task)
            writer.close()


def answers(*answers: bytes) -> Script:
    """A script that gives one answer after the other, the last one for ever."""

    async def script(peer: Peer) -> None:
        given = list(answers)
        while True:
            await peer.request()
            await peer.send(given.pop(0) if len(given) > 1 else given[0])

    return script


def request(method: str = "POST", target: str = "/", body: bytes = b"{}", **fields: str) -> Request:
    """A request; ``fields`` are more headers, ``_`` standing for ``-``."""
    named = [("Host", "upstream"), *((k.replace("_", "-"), v) for k, v in fields.items())]
    return Request(head(method, target, named), body)


class Heard:
    """A listener that remembers."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[Exception | None] = []
        self.ended = asyncio.Event()
        self.more = asyncio.Event()

    def piece(self, data: bytes) -> None:
        assert not self.ends, "a piece after the end"
        self.pieces.append(data)
        self.more.set()

    def end(self, error: Exception | None) -> None:
        self.ends.append(error)
        self.ended.set()

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    async def wait(self) -> Exception | None:
        """Wait for the end and return what it was."""
        await asyncio.wait_for(self.ended.wait(), PATIENCE)
        assert len(self.ends) == 1
        return self.ends[0]


def listen(response: Response) -> Heard:
    heard = Heard()
    response.listen(heard.piece, heard.end)
    return heard


async def until(condition: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Wait until ``condition`` holds; the seconds it took."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, "it did not come to pass"
        await asyncio.sleep(0.001)
    return time.monotonic() - begun


def short(**given: float) -> Deadlines:
    """Deadlines that no machine is too slow for, but those given."""
    return Deadlines(**{"connect": 60.0, "first_byte": 60.0, "idle": 60.0, "total": 90.0, **given})


def free(client: Client, origin: Origin) -> bool:
    """Whether no slot is taken and nobody waits."""
    usage = client.usage(origin)
    return usage.busy == 0 and usage.waiting == 0


NOTHING = Usage()
