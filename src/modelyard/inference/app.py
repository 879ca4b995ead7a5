"""The entry: path → surface, by dictionary; everything else is the control plane's."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable
from time import monotonic
from typing import Any, Protocol
from urllib.parse import quote, unquote

from modelyard.auth.credentials import presented_for_serving
from modelyard.auth.keys import Key
from modelyard.inference.call import Call
from modelyard.inference.http import asgi
from modelyard.inference.http.connection import Connection
from modelyard.inference.http.exchange import Exchange
from modelyard.inference.outbox import Outbox
from modelyard.inference.pipeline import infer
from modelyard.inference.plane import Plane
from modelyard.inference.surfaces.delivery import Delivery
from modelyard.inference.surfaces.inbound import (
    Inbound,
    Named,
    authenticate,
    check,
    inbound,
    take_key,
    without_key,
)
from modelyard.protocol.errors import Failure

log = logging.getLogger("modelyard.inference")
_DRAIN_STEP = 0.02  # seconds
LATER = "/v1/ai-inference/jobs"  # takes on what is to be answered later
_MODELS = ("/v1beta/models/", "/v1/models/", "/api/v1beta/models/", "/api/v1/models/")


class Surface(Protocol):
    """What clients speak at one path; ``:method`` stands for that method of every model."""

    name: str
    path: str
    permission: str

    def delivery(self, inbound: Inbound) -> Delivery:
        """A delivery for a request whose body is not known."""

    def read(self, inbound: Inbound) -> tuple[Call, Delivery]:
        """Understand the body. Raises Failure, or Named where its key is to be claimed first."""


class Once(Protocol):
    """Answers requests with an ``Idempotency-Key``, or a ``request_id`` in the body."""

    async def serve(self, request: Inbound, named: str | None) -> None:
        """Answer one whose body is in; ``named`` is what that names it. Raises Failure."""


class App:
    """Serves both planes on client connections."""

    def __init__(self, plane: Plane, surfaces: Iterable[Surface], control: asgi.App) -> None:
        self.plane = plane
        self.connections: set[Connection] = set()
        self._control_tasks: set[asyncio.Task[None]] = set()
        self._control = control
        self._running: set[Delivery] = set()
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox()
        self._surfaces: dict[str, Surface] = {}
        for surface in surfaces:
            self._surfaces[surface.path] = surface
            self._surfaces["/api" + surface.path] = surface
        self.once: Once | None = None  # serves what has an idempotency key
        self.lent: dict[bytes, Key] = {}  # by what ``Authorization`` holds: a job's caller
        self._methods = {path: one for path, one in self._surfaces.items() if path[0] == ":"}

    def connect(self) -> Any:
        """A new client connection's protocol."""
        return Connection(self, self.connections, self._outbox)

    def connect_claimed(self) -> Any:
        """One of ours, for requests whose idempotency keys are claimed."""
        return Connection(_Claimed(self), self.connections, self._outbox)

    @property
    def tasks(self) -> set[asyncio.Task[None]]:
        """What is being done for clients now."""
        running = {one.task for one in self._running if one.task is not None}
        return running | self._control_tasks

    def begin(self, exchange: Exchange) -> None:
        """Know who asks before the body is read."""
        surface = self._surfaces.get(exchange.path) or self._method(exchange)
        if surface is None or exchange.method != "POST":
            exchange.path = of_dialect(exchange)
            self._pass_on(exchange)
            return
        request = inbound(exchange)
        if exchange.query and surface.path[0] == ":":
            take_key(request)
        exchange.route, exchange.state = surface, request
        try:
            if self.lent:
                request.key = self.lent.get(request.fields.get(b"authorization", b""))
            if request.key is None:
                authenticate(request, self.plane.snapshot.keys, surface.permission)
            if b"prefer" in request.fields and _later(request):
                self._defer(exchange, request)
                return
            check(request)
            exchange.limit = self._limit(request)
            length = request.fields.get(b"content-length", b"0")
            if length.isdigit() and int(length) > exchange.limit:
                raise too_large(exchange.limit)
        except Failure as failure:
            self._reject(surface, request, failure)

    def _defer(self, exchange: Exchange, request: Inbound) -> None:
        """To who takes it on as a job, with its caller's secret where it is looked for there."""
        secret = presented_for_serving(request.fields) or ""
        exchange.headers = [*exchange.headers, (b"x-api-key", secret.encode("latin-1"))]
        asked = quote(exchange.path, safe="/%:@!$&'()*+,;=")
        if kept := without_key(exchange.query.decode("latin-1")):
            asked += "?" + kept
        exchange.path, exchange.query = LATER, b"surface=" + quote(asked, safe="/").encode()
        self._pass_on(exchange)

    def _pass_on(self, exchange: Exchange) -> None:
        """To the control plane."""
        bridge = asgi.Bridge(exchange)
        exchange.limit = 1  # so that 100-continue is answered; the application bounds it
        self._spawn(self._serve_control(exchange, bridge))

    def _method(self, exchange: Exchange) -> Surface | None:
        """The surface of ``/v1beta/models/{model}:method``, whose colon may be encoded."""
        if exchange.method != "POST" or not exchange.path.startswith(_MODELS):
            return None
        _, colon, method = unquote(exchange.path).rpartition(":")
        return self._methods.get(colon + method)

    def serve(self, exchange: Exchange) -> None:
        """The body is in: understand it, and start the inference."""
        surface: Surface = exchange.route
        request: Inbound = exchange.state
        if b"idempotency-key" in request.fields and self.once is not None:
            self._spawn(self._serve_once(self.once, surface, request, None))
            return
        try:
            call, delivery = surface.read(request)
        except Failure as failure:
            self._reject(surface, request, failure)
            return
        except Named as named:
            assert self.once is not None
            self._spawn(self._serve_once(self.once, surface, request, named.key))
            return
        except Exception:
            log.exception("request not understood", extra={"request_id": request.request_id})
            self._reject(surface, request, internal())
            return
        self._running.add(delivery)
        exchange.on_gone = delivery.departed
        delivery.task = self._loop.create_task(self._infer(call, delivery))

    def refuse(self, exchange: Exchange, reason: str) -> None:
        """HTTP itself forbids this request."""
        surface: Surface = exchange.route or next(iter(self._surfaces.values()))
        request: Inbound = exchange.state or inbound(exchange)
        if reason == "body_too_large":
            failure = too_large(exchange.limit)
        elif reason == "head_too_large":
            failure = Failure(
                "INVALID_REQUEST",
                "The headers are larger than 64 KiB.",
                details={"field": "headers", "limit_bytes": 65536},
            )
        elif reason == "timeout":
            failure = Failure("REQUEST_TIMEOUT", "The request was not sent in time. Send it again.")
        else:
            failure = Failure("INVALID_REQUEST", "This is no valid HTTP/1.1 request.")
        self._reject(surface, request, failure)

    def tick(self, now: float) -> None:
        """About once a second: end what takes too long, keep silent streams open."""
        for connection in list(self.connections):
            connection.expire(now)
        interval = self.plane.settings.gateway.keepalive_interval
        for delivery in self._running:
            if delivery.streams:
                delivery.beat(now, interval)

    async def drain(self, seconds: float) -> None:
        """Let running requests finish; after ``seconds`` they are cancelled."""
        for connection in list(self.connections):
            connection.close_if_idle()
        deadline = monotonic() + seconds
        # Not only tasks: an answer may still be on its way, a request half received.
        while self.connections and monotonic() < deadline:  # noqa: ASYNC110 (nothing signals it)
            await asyncio.sleep(_DRAIN_STEP)
        for task in self.tasks:
            task.cancel()
        if tasks := self.tasks:
            await asyncio.wait(tasks, timeout=2.0)
        self._outbox.flush()
        for connection in list(self.connections):
            connection.transport.close()

    async def _infer(self, call: Call, delivery: Delivery) -> None:
        delivery.meter = self.plane.admission.meter(call.key)
        delivery.streams = call.stream
        delivery.deadline = call.started + call.timeout
        try:
            await infer(self.plane, call, delivery)
        except asyncio.CancelledError:
            if not delivery.gone:
                delivery.exchange.abort()
        except Exception:
            log.exception(
                "inference failed",
                extra={"request_id": call.id, "correlation_id": call.correlation_id},
            )
            failure = internal()
            self.plane.ledger.failed(call, None, failure)
            delivery.fail(failure, None)
        finally:
            self._running.discard(delivery)
            delivery.task = delivery.leading = None

    async def _serve_once(
        self, once: Once, surface: Surface, request: Inbound, named: str | None
    ) -> None:
        try:
            await once.serve(request, named)
        except Failure as failure:
            self._reject(surface, request, failure)
        except Exception:
            log.exception("not answered once", extra={"request_id": request.request_id})
            self._reject(surface, request, internal())
        if not request.exchange.finished:
            request.exchange.abort()

    async def _serve_control(self, exchange: Exchange, bridge: asgi.Bridge) -> None:
        try:
            await asgi.serve(self._control, bridge)
        except Exception:
            log.exception("control plane failed")
        if not exchange.finished:
            exchange.abort()

    def _limit(self, request: Inbound) -> int:
        limit = self.plane.settings.gateway.max_payload_bytes
        own = request.owner.limits.payload_bytes
        return limit if own is None else min(limit, own)

    def _reject(self, surface: Surface, request: Inbound, failure: Failure) -> None:
        """Answer a request that never became a call; with a key, it is in the log all the same."""
        delivery = surface.delivery(request)
        if request.key is not None:
            delivery.meter = self.plane.admission.meter(request.key)
            call = Call(
                id=request.request_id,
                record_id=request.record_id,
                key=request.key,
                surface=surface.name,
                kind="",
                model="",
                body={},
                started=request.started,
                at=request.at,
                traceparent=request.traceparent,
                correlation_id=request.correlation_id,
            )
            self.plane.ledger.failed(call, None, failure)
        delivery.fail(failure, None)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._control_tasks.add(task)
        task.add_done_callback(self._control_tasks.discard)
        return task


def _later(request: Inbound) -> bool:
    """Whether the client would rather not wait: ``Prefer: respond-async`` (RFC 7240, 4.1).

    A preference may be passed over: who could not read the result is answered now.
    """
    wanted = request.fields[b"prefer"].lower().replace(b" ", b"").split(b",")
    asked = any(one.partition(b";")[0] == b"respond-async" for one in wanted)
    return asked and not request.owner.serving_only


def of_dialect(exchange: Exchange) -> str:
    """The path of the model list in the shape that the client's headers ask for."""
    path = exchange.path
    if path == "/v1/models" or path.startswith("/v1/models/"):
        for name, _ in exchange.headers:
            if name == b"anthropic-version":
                return "/anthropic" + path
            if name == b"x-goog-api-key":
                return "/v1beta" + path.removeprefix("/v1")
    return path


def too_large(limit: int) -> Failure:
    """The body is larger than the key or the server takes."""
    return Failure(
        "PAYLOAD_TOO_LARGE",
        f"The body is larger than {limit} bytes. Send less, or send files by URL.",
        details={"limit_bytes": limit},
    )


def internal() -> Failure:
    """Something of ours broke; the log has it under the request id."""
    return Failure("INTERNAL", "Something went wrong here. The request id finds it in the log.")


class _Claimed:
    """The application as a connection sees it that ``Once`` made."""

    def __init__(self, app: App) -> None:
        self._app = app

    def begin(self, exchange: Exchange) -> None:
        self._app.begin(exchange)
        request = exchange.state
        if isinstance(request, Inbound):
            request.claimed = True

    def serve(self, exchange: Exchange) -> None:
        self._app.serve(exchange)

    def refuse(self, exchange: Exchange, reason: str) -> None:
        self._app.refuse(exchange, reason)
