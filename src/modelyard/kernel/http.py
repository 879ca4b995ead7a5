"""The control plane's HTTP: a route is a declaration; the life of a request is one function."""

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import quote

from msgspec import Struct

from modelyard.kernel import asgi, decode
from modelyard.kernel.errors import Failure, envelope
from modelyard.kernel.events import Event
from modelyard.kernel.principal import Principal
from modelyard.kernel.routing import Found, Table
from modelyard.kernel.wire import request_id

MAX_BODY = 1024 * 1024  # bytes of a control plane's request
BODY_SECONDS = 30.0  # for a client to send it

log = logging.getLogger("modelyard.http")


Envelope = Callable[[Failure, str], dict[str, Any]]  # of a failure and the request's id


class Context(Struct):
    """What a route's function is given beside its arguments."""

    principal: Principal
    request_id: str
    verb: str = ""  # the route's ``audit``
    recorded: bool = False  # an event was made of this request: its maker commits it
    envelope: Envelope = envelope  # the route's

    def event(
        self, resource: str, *, workspace: str = "", before: Any = None, after: Any = None
    ) -> Event:
        """The audit trail's record of a change, to be committed together with the change.

        ``resource`` is the path without its version (``auth/keys/key_1f``), ``workspace`` the
        changed resource's (the caller's when left out). ``before`` and ``after`` hold no secret.
        """
        self.recorded = True
        return Event(
            workspace=workspace or self.principal.workspace,
            actor=self.principal.id,
            verb=self.verb,
            resource=resource,
            request_id=self.request_id,
            before=before,
            after=after,
        )


class Raw(Struct, frozen=True):
    """An answer that is no JSON document of ours: a page, an asset, metrics."""

    body: bytes
    content_type: str
    status: int = 200
    headers: dict[str, str] = {}


class Route(Struct, frozen=True, kw_only=True):
    """One endpoint.

    ``serve`` is called as ``serve(context, **path parameters, ask=…, query=…)``: ``ask`` when
    ``request`` is declared (the decoded body), ``query`` when ``query`` is. It returns an
    instance of ``response`` (None for 204), or a ``Raw``. A route that changes something
    declares ``audit`` and commits ``context.event(…)`` with its change; if it makes no event,
    one is written for it afterwards.

    The fields below ``envelope`` are for the OpenAPI document. A route without ``serve`` is for it
    alone: another application answers there.
    """

    method: str
    path: str  # "/v1/auth/keys/{key_id}/rotate"; "{name*}" takes slashes too
    serve: Callable[..., Awaitable[Any]] | None = None
    permission: str | None  # None: public
    summary: str
    tag: str
    request: Any = None  # a type
    query: Any = None  # a Struct type
    response: Any = None  # a type
    status: int = 200
    errors: tuple[str, ...] = ()  # codes beyond those that every such route can give
    audit: str | None = None  # the verb written to the audit trail
    envelope: Envelope = envelope  # the body of its failures
    description: str = ""
    operation: str = ""  # operationId; made of method and path when empty
    produces: str = asgi.JSON  # media type of the answer
    stream: Any = None  # type of one event's data, where text/event-stream may be answered
    failure: Any = None  # the surface's own error envelope; ours when None
    headers: dict[str, str] = {}  # request headers of its own: name -> meaning
    sends: dict[str, str] = {}  # header fields of its success: name -> meaning
    examples: dict[str, Any] = {}  # by "request", "response" and "stream"
    hidden: bool = False  # not in the document


Authenticate = Callable[[list[tuple[bytes, bytes]]], Principal]
Audit = Callable[[Event], Awaitable[None]]

ANYONE = Principal(id="anonymous", workspace="", scopes=())


class Application:
    """An ASGI application compiled from route declarations.

    ``authenticate`` raises ``UNAUTHENTICATED``; ``audit`` writes the event of a route that made
    none itself. ``max_body`` is in bytes; ``body_seconds`` is a client's time to send it.
    """

    def __init__(
        self,
        routes: Iterable[Route],
        *,
        authenticate: Authenticate,
        audit: Audit | None = None,
        max_body: int = MAX_BODY,
        body_seconds: float = BODY_SECONDS,
    ) -> None:
        self._table: Table[Route] = Table()
        for route in routes:
            if route.audit and route.serve and audit is None:
                raise ValueError(f"{route.method} {route.path} needs an audit trail")
            self._table.add(route.method, route.path, route)
        self._authenticate = authenticate
        self._audit = audit
        self._max_body = max_body
        self._body_seconds = body_seconds

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answer one request (ASGI 3)."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        headers = dict(scope["headers"])
        context = Context(ANYONE, request_id(headers.get(b"x-request-id")))
        version = ""
        try:
            version = asgi.check_version(headers.get(b"api-version"))
            answer = await self._answer(scope, headers, context, receive)
        except Failure as failure:
            answer = asgi.failed(failure, context.envelope(failure, context.request_id))
        except asgi.Disconnected:
            return
        except Exception:
            log.exception("internal error", extra={"request_id": context.request_id})
            fault = _internal()
            answer = asgi.failed(fault, context.envelope(fault, context.request_id))
        await asgi.deliver(send, answer, context.request_id, version, scope["method"] == "HEAD")

    async def _answer(
        self, scope: dict[str, Any], headers: dict[bytes, bytes], context: Context, receive: Any
    ) -> asgi.Answer:
        """The life of a request."""
        path = _path(scope)
        found = self._find(path)
        if scope["method"] == "OPTIONS":
            return asgi.Answer(204, headers={"Allow": ", ".join(_allowed(found))})
        route, serve = _chosen(found, scope["method"])
        context.envelope = route.envelope
        if route.permission is not None:
            context.principal = self._authenticate(scope["headers"])
            authorize(context.principal, route.permission)
        given: dict[str, Any] = dict(found.values)
        if route.request is not None:
            given["ask"] = await self._ask(route, headers, receive)
        if route.query is not None:
            given["query"] = decode.query(scope["query_string"], route.query)
        elif route.permission is not None:
            decode.refuse_query(scope["query_string"])
        context.verb = route.audit or ""
        value = await serve(context, **given)
        if route.audit and self._audit and not context.recorded:
            await self._audit(context.event(path.removeprefix("/v1/")))
        if isinstance(value, Raw):
            return asgi.Answer(value.status, value.body, value.content_type, value.headers)
        return asgi.encode(route.status, value)

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

    async def _ask(self, route: Route, headers: dict[bytes, bytes], receive: Any) -> Any:
        """The decoded body. None at all is an empty object, which needs no Content-Type."""
        content_type = headers.get(b"content-type")
        if content_type is not None:
            asgi.check_json(content_type)
        body = await asgi.read_body(headers, receive, self._max_body, self._body_seconds)
        if body:
            asgi.check_json(content_type)
        return decode.decode(body or b"{}", route.request, either_case=True)


def authorize(principal: Principal, permission: str) -> None:
    """Raise ``PERMISSION_DENIED``, naming the permission, unless ``principal`` has it."""
    if not principal.may(permission):
        raise Failure(
            "PERMISSION_DENIED",
            f"This key lacks the permission '{permission}'. Use a key that has it in its scopes.",
            details={"permission": permission, "scopes": list(principal.scopes)},
        )


def _path(scope: dict[str, Any]) -> str:
    """The percent-encoded path; ``/api/v1/…`` is ``/v1/…``."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    path = raw.partition(b"?")[0].decode("utf-8", errors="replace")
    return path.removeprefix("/api") if path.startswith("/api/v1/") else path


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
