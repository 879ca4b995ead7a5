"""The upstream itself: raw sockets, so that every byte it sends is scripted.

It runs on a thread of its own. A test says what happens to each request of a model::

    with Upstream() as upstream:
        upstream.on("m", Plan(status=429), Plan(tokens=60))  # the last plan repeats
        ...
        assert len(upstream.calls("m")) == 2
"""

import asyncio
import contextlib
import json
import socket
import ssl
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from patience import LONG
from upstream.plan import Plan, play

LINGER_RESET = struct.pack("ii", 1, 0)


class Received:
    """One request as it came in, and what became of it. Times are ``time.monotonic()``."""

    def __init__(self, number: int, method: str, path: str, headers: dict[str, str]) -> None:
        self.number = number
        self.method = method
        self.path = path
        self.headers = headers  # names in lower case
        self.body = b""
        self.model = ""  # as asked for
        self.sent = 0  # bytes written in answer
        self.at = time.monotonic()
        self.finished_at: float | None = None  # the plan was played to its end
        self.closed_at: float | None = None  # the client closed the connection

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)


class Exchange:
    """What a plan sees: the request, and the socket to write on."""

    def __init__(self, request: Received, connection: "Connection") -> None:
        self.request = request
        self._connection = connection

    async def send(self, data: bytes) -> None:
        """Write, respecting back-pressure. Raises ConnectionError once the client is gone."""
        connection = self._connection
        if connection.lost.is_set():
            raise ConnectionError("the client closed the connection")
        connection.transport.write(data)
        self.request.sent += len(data)
        await connection.writable.wait()

    async def sleep(self, seconds: float) -> None:
        """Wait. Raises ConnectionError as soon as the client is gone."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._connection.lost.wait(), seconds)
            raise ConnectionError("the client closed the connection")

    async def until(self, event: threading.Event) -> None:
        """Wait for a test's event. Raises ConnectionError as soon as the client is gone."""
        while not event.is_set():
            await self.sleep(0.005)

    def close(self, *, reset: bool = False) -> None:
        """Hang up: orderly (FIN) or with a reset (RST)."""
        transport = self._connection.transport
        if reset:
            sock = transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
            transport.abort()
        else:
            transport.close()


class Connection(asyncio.Protocol):
    """One accepted connection: reads requests one after the other, plays a plan for each."""

    def __init__(self, upstream: "Upstream") -> None:
        self.upstream = upstream
        self.lost = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.transport: asyncio.Transport
        self._buffer = b""
        self._exchange: asyncio.Task[None] | None = None
        self._last: Received | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.upstream.connections.add(self)
        self.upstream.accepted += 1

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._next()

    def eof_received(self) -> None:
        self._gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._gone()
        self.upstream.connections.discard(self)

    def _gone(self) -> None:
        self.lost.set()
        self.writable.set()
        if self._last is not None and self._last.closed_at is None:
            self._last.closed_at = time.monotonic()

    def _next(self) -> None:
        """Start the next exchange if a whole request is in and none is being answered."""
        if self._exchange is not None or self.lost.is_set():
            return
        request = self._parse()
        if request is not None:
            self._last = request
            self._exchange = asyncio.get_running_loop().create_task(self._answer(request))

    def _parse(self) -> Received | None:
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return None
        line, *fields = head.decode("latin-1").split("\r\n")
        headers = {
            name.lower(): value.strip() for name, _, value in (f.partition(":") for f in fields)
        }
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return None
        self._buffer = rest[length:]
        method, path, _ = line.split(" ", 2)
        request = Received(len(self.upstream.requests), method, path, headers)
        request.body = rest[:length]
        request.model = _model(request.body)
        self.upstream.requests.append(request)
        return request

    async def _answer(self, request: Received) -> None:
        try:
            await play(self.upstream.plan_for(request), Exchange(request, self))
            request.finished_at = time.monotonic()
        except ConnectionError:
            pass
        finally:
            self._exchange = None
        self._next()


def _model(body: bytes) -> str:
    try:
        return str(json.loads(body).get("model", ""))
    except (ValueError, AttributeError, RecursionError):
        return ""


class Upstream:
    """The server. ``url`` is the base URL to configure, with ``/v1``."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[Received] = []
        self.connections: set[Connection] = set()
        self.accepted = 0  # connections, ever
        self.default = Plan()
        self._plans: dict[str, deque[Plan]] = {}
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "Upstream":
        self._thread.start()
        self._server = self._run(self._listen())
        port = self._server.sockets[0].getsockname()[1]
        scheme = "https" if self._tls else "http"
        self.url = f"{scheme}://127.0.0.1:{port}/v1"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LONG)

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(
            lambda: Connection(self), "127.0.0.1", 0, ssl=self._tls, backlog=1024
        )

    async def _stop(self) -> None:
        self._server.close()
        for connection in list(self.connections):
            connection.transport.abort()

    def _run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(LONG)

    # -- what a test says and asks

    def on(self, model: str, *plans: Plan) -> None:
        """Answer ``model`` by these plans in order; the last one repeats."""
        self._plans[model] = deque(plans)

    def plan_for(self, request: Received) -> Plan:
        """The plan of this request: the model's next, else the default."""
        plans = self._plans.get(request.model)
        if not plans:
            return self.default
        return plans.popleft() if len(plans) > 1 else plans[0]

    def calls(self, model: str | None = None) -> list[Received]:
        """The inference requests so far (not ``GET /models``), of one model or of all."""
        return [
            request
            for request in list(self.requests)
            if request.method == "POST" and model in (None, request.model)
        ]

    def wait_for(self, condition: Callable[[], Any], seconds: float = LONG) -> None:
        """Wait until ``condition()`` holds. Raises AssertionError after ``seconds``."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"not within {seconds} s; saw {self.summary()}"
            time.sleep(0.002)

    def wait_calls(self, count: int, model: str | None = None, seconds: float = LONG) -> None:
        """Wait until ``count`` inference requests have come in."""
        self.wait_for(lambda: len(self.calls(model)) >= count, seconds)

    def summary(self) -> list[str]:
        """The requests in short, for messages."""
        return [f"{request.method} {request.path} {request.model}" for request in self.requests]

    def drop(self) -> None:
        """Close every open connection, idle ones included, as a restarting server does."""
        for connection in list(self.connections):
            self._loop.call_soon_threadsafe(connection.transport.abort)

    def clear(self) -> None:
        """Forget requests and plans; connections stay open."""
        self.requests.clear()
        self._plans.clear()
        self.default = Plan()


def closed_port() -> tuple[socket.socket, str]:
    """A base URL where connections are refused: bound, never listening.

    Keep the socket as long as the URL is used, so that nobody else gets the port.
    """
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, f"http://127.0.0.1:{sock.getsockname()[1]}/v1"
