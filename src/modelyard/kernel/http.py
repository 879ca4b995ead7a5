"""The control plane's HTTP: the life of a request is one function."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from random import random
from typing import Any

from msgspec import structs

from modelyard.kernel import idempotency, names, refusals
from modelyard.kernel.context import Context, Ports
from modelyard.kernel.ports import Commit, Refused, Replay
from modelyard.kernel.principal import Principal
from modelyard.kernel.route import Place, Raw, Route, Sent
from modelyard.protocol import asgi, decode
from modelyard.protocol.asgi import Stream
from modelyard.protocol.errors import Failure
from modelyard.protocol.routing import Found, Table
from modelyard.protocol.wire import request_id

MAX_BODY = 1024 * 1024  # bytes of a control plane's request
BODY_SECONDS = 30.0  # for a client to send it
TRIES = 9  # to decide anew what another request changed meanwhile
PAUSE = 0.002  # seconds at most before the second try, twice as long before each further one

log = logging.getLogger("modelyard.http")

Authenticate = Callable[[list[tuple[bytes, bytes]]], Awaitable[Principal]]
Demand = Callable[[Principal, str, Sent], Awaitable[None]]  # caller, permission, request
Committed = Callable[[Commit], Awaitable[None]]

ANYONE = Principal(id="anonymous", workspace="", scopes=())


class Application:
    """An ASGI application compiled from route declarations.

    ``authenticate`` raises ``UNAUTHENTICATED``; ``demand`` may refuse a request that is not signed
    as its permission demands; ``committed`` is told of every commit that was made here.
    ``max_body`` is in bytes; ``body_seconds`` is a client's time to send it.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        authenticate: Authenticate,
        ports: Ports,
        demand: Demand | None = None,
        committed: Committed | None = None,
        max_body: int = MAX_BODY,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._table: Table[Route] = Table()
        for route in routes:
            self._table.add(route.method, route.path, route)
        self._authenticate = authenticate
        self._ports = ports
        self._demand = demand
        self._committed = committed
        self._max_body = max_body
        self._body_seconds = body_seconds
        self._stopping = asyncio.Event()

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        if bare := scope["method"] == "HEAD":
            headers.pop(b"range", None)  # RFC 9110, section 14.2: of GET alone
        sent_id = request_id(headers.get(b"x-request-id"))
        context = Context(ANYONE, sent_id, self._ports, headers)
        try:
            answer = await self._answer(scope, context, receive)
        except Failure as failure:
            answer = asgi.failed(failure, context.envelope(failure, context.request_id))
        except asgi.Disconnected:
            return
        except Exception:
            log.exception("internal error", extra={"request_id": context.request_id})
            fault = _internal()
            answer = asgi.failed(fault, context.envelope(fault, context.request_id))
        if isinstance(answer, Stream):
            await asgi.relay(send, receive, answer, context.request_id, context.version, bare)
        else:
            await asgi.deliver(scope, send, answer, context.request_id, context.version)

    async def _answer(
        self, scope: dict[str, Any], context: Context, receive: Any
    ) -> asgi.Answer | Stream:
        """The life of a request: authenticate, authorize, replay or find and decide, commit."""
        path = asgi.path(scope)
        found = self._find(path)
        if scope["method"] == "OPTIONS":
            return asgi.Answer(204, headers={"Allow": ", ".join(_allowed(found))})
        route, serve = _chosen(found, scope["method"])
        context.envelope, context.verb = route.envelope, route.audit or ""
        if route.envelopes is not None:
            context.envelope = route.envelopes(scope["query_string"])
        context.version = asgi.check_version(context.headers.get(b"api-version"))
        if route.permission is not None:
            context.principal = await self._authenticate(scope["headers"])
            context.use(None)
            if route.permission:
                self._authorize(context, route.permission, route.place)
        query = self._query(route, scope["query_string"])
        body = await self._body(route, context, receive)
        if self._demand is not None and route.permission is not None:
            await self._demand(context.principal, route.permission, _sent(scope, path, body))
        claimed: Replay | None = None
        own = route.audit and route.permission is not None  # what anyone may ask is no one's own
        key = idempotency.key_of(context.headers) if own else None
        if key is not None and isinstance(body, bytes):
            target = f"{route.method} {path}?{scope['query_string'].decode('latin-1')}"
            kept = await idempotency.claim(context, key, target, body)
            if isinstance(kept, asgi.Answer):
                return kept
            claimed = kept
        return await self._settle(context, route, found, serve, query, body, claimed)

    async def _settle(
        self,
        context: Context,
        route: Route,
        found: Found[Route],
        serve: Callable[..., Awaitable[Any]],
        query: Any,
        body: bytes | asgi.Inflow,
        claimed: Replay | None,
    ) -> asgi.Answer | Stream:
        """Find and decide, then commit; decided anew where another request came between."""
        try:
            given = _given(route, found, query, body)
            tries, decided = 0, False
            while True:
                try:
                    await self._enter(context, route, found, query)
                    value = await serve(context, **given)
                    if isinstance(value, Stream):
                        return self._lasting(context, route, value)
                    answer, decided = _encoded(context, route, value), True
                    return await self._commit(context, route, found, answer, claimed)
                except Refused as refused:
                    if not context.remembered:
                        if not _again(context, refused, tries):
                            raise refusals.failure(refused) from refused
                        tries += 1
                except Failure:
                    if decided or not context.remembered:
                        raise
                decided = False
                context.forget()
                await asyncio.sleep(random() * PAUSE * 2**tries)  # noqa: S311 (no secret)
        except BaseException:
            if claimed is not None:
                await context.ports.store.release(claimed)
            raise

    def stop(self) -> None:
        """End the streams; what else runs is finished."""
        self._stopping.set()

    def _lasting(self, context: Context, route: Route, stream: Stream) -> Stream:
        """A stream that ends with the server, and whose caller is known anew when it asks."""
        if "Content-Length" in stream.headers:
            return stream

        async def renew() -> None:
            if route.permission is not None:
                context.principal = await self._authenticate(list(context.headers.items()))
                context.use(context.workspace)
                if route.permission:
                    self._authorize(context, route.permission, route.place)

        context.renew = renew
        return structs.replace(stream, parts=asgi.lasting(stream.parts, self._stopping))

    async def _commit(
        self,
        context: Context,
        route: Route,
        found: Found[Route],
        answer: asgi.Answer,
        claimed: Replay | None,
    ) -> asgi.Answer:
        commit = context.commit
        idle = context.unchanged and route.method != "POST"
        if route.audit and not (commit.events or commit.writes or idle):
            context.event(
                route.path.replace("*}", "}").format_map(found.values).removeprefix("/v1/")
            )
        if claimed is not None and not context.validate_only:
            idempotency.keep(context, claimed, answer)
        changes = commit.events or commit.writes
        if changes or commit.replay is not None:
            await context.ports.store.commit(commit, dry=context.validate_only)
        if context.validate_only:
            if claimed is not None:
                await context.ports.store.release(claimed)
            return answer
        if changes and self._committed is not None:
            await self._committed(commit)
        for work in context.afterwards:
            await work()
        return answer

    def _authorize(self, context: Context, permission: str, place: Place | None) -> None:
        if place is not None and (place.item or place.across):
            context.check_some(permission, place.kind)
        else:
            context.check(permission)

    def _query(self, route: Route, raw: bytes) -> Any:
        if route.query is not None:
            return decode.query(raw, route.query)
        if route.permission is not None:
            decode.refuse_query(raw)
        return None

    async def _enter(self, context: Context, route: Route, found: Found[Route], query: Any) -> None:
        """Find what the path names, in the workspace that is meant."""
        if route.place is None:
            return
        context.use(getattr(query, "workspace", None))
        context.validate_only = getattr(query, "validate_only", False)
        if route.audit:
            context.expected = context.header(b"if-match")
            context.unwanted = context.header(b"if-none-match")
        await context.enter(route.place, found.values, route.permission or "")

    async def _body(self, route: Route, context: Context, receive: Any) -> bytes | asgi.Inflow:
        """The body. None at all is an empty object, which needs no Content-Type."""
        if route.inflow:
            return asgi.Inflow(context.headers, receive)
        if route.request is None and self._demand is None:
            return b""
        content_type = context.headers.get(b"content-type")
        checked = route.request is not None and not route.form
        if content_type is not None and checked:
            asgi.check_json(content_type)
        most = self._max_body if route.largest is None else route.largest(context)
        body = await asgi.read_body(context.headers, receive, most, self._body_seconds)
        if body and checked:
            asgi.check_json(content_type)
        return body

    def _find(self, path: str) -> Found[Route]:
        try:
            found = self._table.find(path)
        except UnicodeDecodeError:
            found = None
        if found is not None:
            return found
        near = self._table.nearest(path)
        hint = f" Did you mean {near[0]}?" if near else " GET /openapi.json lists every path."
        raise Failure("ROUTE_NOT_FOUND", "There is no such path." + hint, details={"nearest": near})


def _allowed(found: Found[Route]) -> list[str]:
    return sorted({"OPTIONS", *found.methods, *(["HEAD"] if "GET" in found.methods else [])})


def _chosen(found: Found[Route], method: str) -> tuple[Route, Callable[..., Awaitable[Any]]]:
    route = found.methods.get("GET" if method == "HEAD" else method)
    if route is not None and route.serve is not None:
        return route, route.serve
    allowed = _allowed(found)
    raise Failure(
        "METHOD_NOT_ALLOWED",
        f"This path does not answer {method[:20]}; it answers {', '.join(allowed)}.",
        details={"allowed": allowed},
    )


def _internal() -> Failure:
    return Failure(
        "INTERNAL", "Something went wrong inside the server. The request id finds it in the log."
    )


def _given(
    route: Route, found: Found[Route], query: Any, body: bytes | asgi.Inflow
) -> dict[str, Any]:
    """The arguments of a route's function. Raises ``INVALID_REQUEST``."""
    given: dict[str, Any] = {} if route.place else dict(found.values)
    if route.form or not isinstance(body, bytes):
        given["body"] = body
    elif route.request is not None:
        given["ask"] = decode.body(body, route.request, route.ignored)
    if route.query is not None:
        given["query"] = query
    return given


def _again(context: Context, refused: Refused, tries: int) -> bool:
    """Whether to decide anew: something came between, and the client did not say what it read."""
    taken = context.numbered or (context.wanted and not tries)
    made = refused.reason == "exists" and not refused.field and taken
    found = None if context.found is None else context.found.address
    told = context.expected and refused.address == found
    return tries < TRIES - 1 and not told and (refused.reason == "stale" or bool(made))


def _encoded(context: Context, route: Route, value: Any) -> asgi.Answer:
    if isinstance(value, Raw):
        return asgi.Answer(value.status, value.body, value.content_type, dict(value.headers))
    answer = asgi.encode(route.status, value)
    tag = value.get("etag") if isinstance(value, dict) else getattr(value, "etag", None)
    if tag:
        answer.headers = {"ETag": f'"{tag}"'}
        if route.method == "GET" and names.listed(context.header(b"if-none-match"), tag):
            return asgi.Answer(304, headers=answer.headers)
    return answer


def _sent(scope: dict[str, Any], path: str, body: bytes | asgi.Inflow) -> Sent:
    query = scope["query_string"].decode("latin-1")
    host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    raw = (scope.get("raw_path") or path.encode()).decode("latin-1").partition("?")[0]
    target = f"{raw}?{query}" if query else raw
    scheme = scope.get("scheme", "http")
    whole = body if isinstance(body, bytes) else None
    return Sent(scope["method"], scheme, host, target, scope["headers"], whole)
