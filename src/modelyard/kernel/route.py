"""A route is a declaration: one endpoint, what it takes and what it answers."""

from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from modelyard.protocol import asgi
from modelyard.protocol.errors import Failure, envelope

Envelope = Callable[[Failure, str], dict[str, Any]]  # of a failure and the request's id


class Raw(Struct, frozen=True):
    """An answer that is no JSON document of ours: a page, an asset, metrics."""

    body: bytes
    content_type: str
    status: int = 200
    headers: dict[str, str] = {}


class Place(Struct, frozen=True):
    """Where in a resource's tree a route is.

    ``kind`` is the collection's; ``parent`` the template of the name above it
    (``catalog/datasets/{dataset_id}``); ``item`` the parameter with an item's id ("" on a
    collection's route), which ``fresh`` lets be missing.
    """

    kind: str
    parent: str = ""
    item: str = ""
    fresh: bool = False
    across: bool = False  # a parent of "-" means all of them (AIP-159)
    deleted: bool = False  # a softly deleted item is meant
    installation: bool = False  # the same in every workspace


class Route(Struct, frozen=True, kw_only=True):
    """One endpoint.

    ``serve`` is called as ``serve(context, **path parameters, ask=…, query=…)``: ``ask`` when
    ``request`` is declared (the decoded body), ``query`` when ``query`` is. With a ``place`` the
    context holds the item and its parent instead of the path's parameters. It returns an
    instance of ``response`` (None for 204), or a ``Raw``. What it staged in the context is
    committed afterwards. A route that changes something declares ``audit``; if it staged no
    event, one is written for it.

    The fields below ``envelope`` are for the OpenAPI document. A route without ``serve`` is for it
    alone: another application answers there.
    """

    method: str
    path: str  # "/v1/auth/keys/{key_id}/rotate"; "{name*}" takes slashes too
    serve: Callable[..., Awaitable[Any]] | None = None
    permission: str | None  # None: public; "": any caller
    summary: str
    tag: str
    request: Any = None  # a type
    query: Any = None  # a Struct type
    response: Any = None  # a type
    status: int = 200
    errors: tuple[str, ...] = ()  # codes beyond those that every such route can give
    audit: str | None = None  # the verb written to the audit trail
    place: Place | None = None
    ignored: frozenset[str] = frozenset()  # output-only fields, which a body may repeat
    form: bool = False  # application/x-www-form-urlencoded: ``serve`` is given the ``body``
    inflow: bool = False  # ``serve`` is given the ``body`` as it arrives: an ``asgi.Inflow``
    largest: Callable[[Any], int] | None = None  # bytes of a body, by the context; None: the usual
    envelopes: Callable[[bytes], Envelope] | None = None  # by the query; None: ``envelope``
    envelope: Envelope = envelope  # the body of its failures
    description: str = ""
    operation: str = ""  # operationId; made of method and path when empty
    produces: str = asgi.JSON  # media type of the answer
    also: tuple[str, ...] = ()  # media types of other forms of it, that are texts
    stream: Any = None  # type of one event's data, where text/event-stream may be answered
    failure: Any = None  # the surface's own error envelope; ours when None
    headers: dict[str, str] = {}  # request headers of its own: name -> meaning
    sends: dict[str, str] = {}  # header fields of its success: name -> meaning
    examples: dict[str, Any] = {}  # by "request", "response" and "stream"
    hidden: bool = False  # not in the document


class Sent(Struct, frozen=True):
    """A request as it came, for what checks it whole: a signature.

    ``body`` None is still to come; who reads it checks its ``Content-Digest``.
    """

    method: str
    scheme: str
    host: str
    target: str  # path and query, percent-encoded
    headers: list[tuple[bytes, bytes]]
    body: bytes | None
