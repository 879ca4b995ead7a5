"""The control plane's HTTP: a route is a declaration; the life of a request is one function."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from modelyard.kernel.principal import Principal


class Context(Struct):
    """What a route's function is given beside its arguments."""

    principal: Principal
    request_id: str


class Route(Struct, frozen=True, kw_only=True):
    """One endpoint.

    ``serve`` is called as ``serve(context, **path parameters, ask=…, query=…)``: ``ask`` when
    ``request`` is declared (the decoded body), ``query`` when ``query`` is. It returns an
    instance of ``response`` (None for 204).
    """

    method: str
    path: str  # "/v1/auth/keys/{key_id}/rotate"; "{name*}" takes slashes too
    serve: Callable[..., Awaitable[Any]]
    permission: str | None  # None: public
    summary: str
    tag: str
    request: type | None = None
    query: type | None = None
    response: type | None = None
    status: int = 200
    errors: tuple[str, ...] = ()
    audit: str | None = None  # the verb written to the audit trail, for routes that change something
