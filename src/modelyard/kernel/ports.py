"""What the kernel needs of a store: rows, one-transaction commits, events, edges.

``storage.store`` implements it over SQLite and PostgreSQL; ``tests/conformance`` holds both to it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Raw, Struct, field

from modelyard.kernel.events import Event
from modelyard.kernel.principal import Principal
from modelyard.protocol.filtering import Field, Fields, Filter, Order, value_at

if TYPE_CHECKING:
    from modelyard.kernel.context import Context
    from modelyard.kernel.resource import Resource


class Address(Struct, frozen=True, order=True):
    """Where a resource is. ``kind`` is its collection's path without version and parents.

    ``parent`` is the name of the resource above it ("" at the top):
    ``Address("catalog/datasets/versions", "default", "catalog/datasets/ds_1", "2")``.
    """

    kind: str
    workspace: str
    parent: str
    id: str

    @property
    def name(self) -> str:
        """The path that a client reads it at: ``catalog/datasets/ds_1/versions/2``."""
        if not self.parent:
            return f"{self.kind}/{self.id}"
        return f"{self.parent}/{self.kind.rpartition('/')[2]}/{self.id}"


class Row(Struct, frozen=True, kw_only=True):
    """A stored resource. Times are Unix seconds; ``spec`` is its document in the wire's case.

    ``uid`` is never used again, an ``id`` may be once its resource is gone. ``revision`` begins
    at 1. ``deleted_at`` marks a soft deletion; the row goes for good after ``purge_at``.
    One that is softly deleted refers to nothing, and frees its unique values. ``newest`` is not
    stored: of what lies below it, the newest that lives; see ``Indexed.newest``. One that is
    ``recalled`` was remembered, not read, with what was ``told`` of a revision: ``Commit.above``.
    """

    address: Address
    uid: str
    revision: int = 1
    created_at: float
    updated_at: float
    created_by: str
    updated_by: str
    deleted_at: float | None = None
    purge_at: float | None = None
    labels: dict[str, str] = {}
    spec: dict[str, Any] = {}
    newest: Row | None = None
    recalled: bool = False
    told: tuple[int, Raw] = (0, Raw())


class Reference(Struct, frozen=True):
    """A field that names another resource, which must exist and may not go before this one."""

    field: str
    target: Address


class Write(Struct, frozen=True, kw_only=True):
    """One change of a commit.

    ``expected`` is the revision that must be stored now; None inserts. ``references`` replace
    those that the row had. ``guard`` refuses to delete what others refer to, or have below it.
    """

    row: Row
    expected: int | None = None
    before: Row | None = None  # what is stored, where it is known: what is the same stays
    remove: bool = False  # the row goes for good
    references: tuple[Reference, ...] = ()
    guard: bool = False


class Edge(Struct, frozen=True, kw_only=True):
    """One arrow of the provenance graph (W3C PROV), from the newer to the older.

    ``source`` and ``target`` are resource names; ``relation`` is used, wasGeneratedBy,
    wasDerivedFrom, wasAttributedTo, wasAssociatedWith, or refersTo (kept by the store for
    every ``Reference``, with the field in ``detail``).
    """

    workspace: str
    source: str
    relation: str
    target: str
    event: str = ""  # id of the event that made it
    detail: str = ""
    at: float = 0.0


class Replay(Struct, frozen=True, kw_only=True):
    """The kept answer of a request with an idempotency key. ``body`` is encrypted by the kernel.

    ``status`` 0 means that the first request still runs. ``key`` is a digest of the client's key,
    the caller and the route; ``fingerprint`` one of the payload.
    """

    key: bytes
    workspace: str
    fingerprint: bytes
    expires_at: float
    status: int = 0
    body: bytes = b""


class Commit(Struct, kw_only=True, weakref=True):
    """Everything that one request changes: all of it, or nothing.

    ``above`` is what the request adds to; where it, or a write's ``before``, is recalled, it must
    be stored as it is.
    """

    above: Row | None = None
    writes: list[Write] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    replay: Replay | None = None


class Query(Struct, frozen=True, kw_only=True):
    """One page of a collection, within one workspace.

    ``parent`` None crosses parents (AIP-159's ``-``). ``after`` is where the page before ended:
    ``position`` of its last row. Without ``order`` the newest come first; absent values are the
    lowest. ``skip`` counts from ``after``.
    """

    kind: str
    workspace: str
    parent: str | None = ""
    filter: Filter | None = None
    order: tuple[Order, ...] = ()
    after: tuple[Any, ...] | None = None
    size: int = 50
    skip: int = 0
    deleted: bool = False  # those that are softly deleted, too


_CREATED = Field("createdAt", "time", column="created_at")
_ID = Field("id", "string", column="id")
_PARENT = Field("parent", "string", column="parent")


def sorting(query: Query) -> tuple[Order, ...]:
    """The whole order of a list: what was asked, then what breaks ties, in the last direction.

    Ties are broken by the time of creation and the id, and by the parent where there are several.
    """
    asked = query.order or (Order(_CREATED, descending=True),)
    named = {one.field.column for one in asked}
    ties = [] if "id" in named else [_CREATED, _ID]
    if query.parent is None:
        ties.append(_PARENT)
    last = asked[-1].descending
    return asked + tuple(Order(one, last) for one in ties if one.column not in named)


def position(query: Query, row: Row) -> tuple[Any, ...]:
    """``Query.after`` for the page that follows one ending with ``row``: JSON values."""
    return tuple(_read(row, one.field) for one in sorting(query))


def _read(row: Row, field: Field) -> Any:
    if field.column:
        holder = row.address if field.column in Address.__struct_fields__ else row
        return getattr(holder, field.column)
    return value_at(row.spec, field.path)


class EventQuery(Struct, frozen=True, kw_only=True):
    """A part of the sealed audit trail, the newest first unless ``ascending``.

    ``resource`` is a name; with ``below`` also of what lies under it. ``after`` is a sequence
    number. ``workspace`` None is for the operator's own checks only. The fields of ``filter`` are
    columns: ``id``, ``at``, ``workspace``, ``actor``, ``verb``, ``kind``, ``resource``,
    ``request_id``.
    """

    workspace: str | None
    resource: str = ""
    below: bool = False
    kind: str = ""  # only events of this kind of resource
    actor: str = ""
    verb: str = ""  # may end with *
    words: str = ""  # full text over verb, resource, before and after
    request_id: str = ""
    ids: Sequence[str] | None = None  # only these events
    filter: Filter | None = None
    since: float = 0.0
    until: float | None = None
    after: int | None = None
    ascending: bool = False
    size: int = 50


EventPart = Literal["actor", "verb", "kind", "resource", "day"]  # a day is an ISO date in UTC


class Sealed(Struct, frozen=True):
    """An event with its place in the chain: ``digest`` covers it and the digest before it."""

    sequence: int
    digest: bytes
    event: Event


class Chain(Struct, frozen=True):
    """What was found on the way along the trail's chain.

    The events ``first`` to ``last`` are as they were sealed; ``digest`` is that of the last. At
    ``broken_at`` the chain does not hold: "missing" where no event has that number, "changed"
    where ``event`` is not what was sealed, or stands where another stood.
    """

    first: int
    last: int
    digest: bytes
    broken_at: int = 0  # 0: nowhere
    reason: Literal["", "changed", "missing"] = ""
    event: str = ""


class Indexed(Struct, frozen=True, kw_only=True):
    """What the store keeps ready for a kind: an index per field, unique paths, searched texts.

    A searchable path leads to a string, a list of strings, or a map of them. ``newest`` is the
    kind right below it whose newest is read with each, by ``get`` and ``page``.
    """

    kind: str
    fields: tuple[Field, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()  # paths in the document; unique in the installation
    searchable: tuple[tuple[str, ...], ...] = ()
    refers: bool = True  # whether a document may refer to others
    newest: str = ""
    nested: bool = False  # whether each lies below another resource


class Refused(Exception):
    """A commit that the store did not make; nothing of it is kept.

    ``reason`` is "stale" (another revision is stored), "exists" (the id, or ``field`` is
    unique), "missing" (``field`` refers to ``names``, which does not live; "parent" is the resource
    above), or "in use" (``names`` stand in the way, at most 10).
    """

    def __init__(
        self,
        reason: Literal["stale", "exists", "missing", "in use"],
        address: Address,
        field: str = "",
        names: Sequence[str] = (),
    ) -> None:
        super().__init__(f"{address.name}: {reason} {field}")
        self.reason = reason
        self.address = address
        self.field = field
        self.names = names


class Store(Protocol):
    """Resources, their history and their relations.

    Every method raises ``SYSTEM_OVERLOADED`` where the database is busy or gone for the moment,
    those that write ``STORAGE_FULL``.
    """

    async def get(self, address: Address) -> Row | None:
        """The resource there, softly deleted or not."""

    def recall(self, address: Address, *, whole: bool = False) -> Row | None:
        """The resource there, as it was when it was changed or added to here a while ago.

        With ``whole`` only where all that is shown of it is remembered.
        """

    async def page(self, query: Query) -> list[Row]:
        """At most ``query.size`` resources."""

    async def count(self, query: Query) -> int:
        """How many a list holds in all its pages."""

    async def everywhere(self, kind: str) -> list[Row]:
        """The live resources of a kind in all workspaces, for what this server publishes."""

    async def find(self, kind: str, path: tuple[str, ...], value: str) -> Row | None:
        """The live one of all workspaces with this value at a unique path (a login, a digest)."""

    async def commit(self, commit: Commit, *, dry: bool = False) -> None:
        """Make a commit, or with ``dry`` only see whether it could be made. Raises ``Refused``."""

    async def expired(self, now: float, size: int = 100) -> list[Row]:
        """Softly deleted resources whose time is over: to be removed for good."""

    async def claim(self, replay: Replay) -> Replay | None:
        """Claim an idempotency key; the kept answer (or running claim) where it was claimed."""

    async def release(self, replay: Replay) -> None:
        """Give up a claim whose request failed."""

    async def events(self, query: EventQuery) -> list[Sealed]:
        """A part of the audit trail."""

    async def sealed(self) -> int:
        """The sequence number of the newest sealed event; 0 when there is none."""

    async def tally(self, query: EventQuery, by: EventPart) -> list[tuple[str, int]]:
        """How many of the sealed events are of each actor, say; the most first, ``size`` of them.

        ``after`` does not count here.
        """

    async def examine(self, *, after: int = 0, most: int | None = None) -> Chain:
        """Recompute the chain behind the event number ``after``, of at most ``most`` events."""

    async def edges(
        self, workspace: str, names: Sequence[str], *, towards: bool, size: int = 1000
    ) -> list[Edge]:
        """The edges that leave ``names``; with ``towards`` those that point at them."""


class Artifacts(Protocol):
    """The artifacts of a context's workspace. A reference is a SHA-256 in hexadecimal.

    A resource refers to one by a field with ``refers("artifacts")``. Another workspace's is
    ``NOT_FOUND``.
    """

    async def put(self, body: AsyncIterable[bytes], *, name: str = "", media_type: str = "") -> str:
        """Store bytes, and stage the artifact: it is there with the commit of what refers to it.

        It goes once nothing refers to it. Raises ``STORAGE_FULL``, ``PAYLOAD_TOO_LARGE``,
        ``QUOTA_EXCEEDED``.
        """

    async def size(self, ref: str) -> int:
        """Its bytes. Raises ``NOT_FOUND``."""

    async def encrypted(self, ref: str) -> bool:
        """Whether its bytes, stored or staged, are kept encrypted. Raises ``NOT_FOUND``."""

    async def purge(self, ref: str) -> int:
        """Remove its bytes at once, where nothing needs them; how many were removed."""

    def open(self, ref: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Its bytes from ``start`` to before ``end``, in parts that were verified."""


class Policies(Protocol):
    """Who may do what: scopes, roles, attributes and the policies that admins added."""

    def check(self, principal: Principal, permission: str, row: Row | None = None) -> None:
        """Raise ``PERMISSION_DENIED``, naming the permission, unless it is allowed.

        With ``row`` the policies about that resource count, too.
        """

    def visible(
        self, principal: Principal, permission: str, kind: str, fields: Fields
    ) -> Filter | None:
        """What a list may show: the policies about resources as a filter. None shows all."""


class Ports(Struct, frozen=True):
    """What the kernel stands on, and what methods ask for by its type."""

    store: Store
    policies: Policies
    resources: Mapping[str, Resource[Any]]  # by kind
    services: Mapping[type, Any]
    artifacts: Callable[[Context], Artifacts] | None = None
