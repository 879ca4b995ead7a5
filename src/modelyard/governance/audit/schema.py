"""What clients send and read of the audit trail (camelCase)."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from modelyard.kernel.fields import Time
from modelyard.protocol.paging import DEFAULT_SIZE, MAX_SIZE, Size, Token

EVERY = "-"  # stands for all workspaces (AIP-159)

Workspace = Annotated[
    str,
    Meta(
        pattern=r"^(-|[a-z0-9][a-z0-9_-]{0,63})\Z",
        description="Another workspace than the caller's, or `-` for all of the installation: "
        "needs `workspace:write`.",
    ),
]
Text = Annotated[
    str,
    Meta(
        max_length=2000,
        description="An AIP-160 filter over id, at, actor, verb, resource, kind, requestId and "
        "workspace; bare words search what was changed, before and after.",
    ),
]
Moment = Annotated[datetime, Meta(tz=True)]
Since = Annotated[Moment | None, Meta(description="No earlier than this: RFC 3339.")]
Until = Annotated[Moment | None, Meta(description="Before this: RFC 3339.")]
Order = Annotated[
    Literal["at desc", "at"], Meta(description="The newest first, or the oldest first.")
]
Count = Annotated[int, Meta(ge=0)]


class AuditChange(Struct, frozen=True, kw_only=True):
    """One field that has another value than before."""

    field: Annotated[str, Meta(description="With dots: `limits.requests_per_minute`.")]
    before: Any
    after: Any


class AuditEntry(Struct, frozen=True, kw_only=True, rename="camel"):
    """One change, as it was sealed into the chain."""

    id: str
    sequence: Annotated[int, Meta(description="Its place in the chain, from 1 without gaps.")]
    digest: Annotated[
        str, Meta(description="SHA-256 in hex, over the entry and the digest before it.")
    ]
    at: Time
    actor: Annotated[str, Meta(description="The id of the key, user or service account.")]
    verb: Annotated[str, Meta(description="`key.create`, `user.set-roles` …")]
    resource: Annotated[str, Meta(description="The changed resource's name: `auth/keys/key_1f`.")]
    kind: Annotated[str, Meta(description="Its collection; empty for what is no resource.")]
    request_id: str
    workspace: Annotated[str, Meta(description="Empty for what belongs to the installation.")]
    before: Annotated[Any, Meta(description="As clients read it then; null when it was created.")]
    after: Annotated[Any, Meta(description="Null when it was deleted.")]
    changes: Annotated[
        list[AuditChange], Meta(description="Field by field, where there is a before and an after.")
    ]


class AuditLog(Struct, frozen=True, kw_only=True, rename="camel"):
    """A page of the trail."""

    entries: list[AuditEntry]
    next_page_token: str | None


class Part(Struct, frozen=True, kw_only=True, rename="camel"):
    """Which part of the trail is asked for."""

    filter: Text = ""
    since: Since = None
    until: Until = None
    order_by: Order = "at desc"
    page_size: Size = 0
    page_token: Token = ""

    @property
    def size(self) -> int:
        """How many entries to serve."""
        return min(self.page_size or DEFAULT_SIZE, MAX_SIZE)


class AuditQuery(Part, frozen=True, kw_only=True):
    """Query parameters of the trail."""

    workspace: Workspace | None = None


class SearchAudit(Part, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True):
    """A search: everything that is given must match."""

    words: Annotated[
        str, Meta(max_length=1000, description="All of them, in what was changed.")
    ] = ""
    actor: str = ""
    verb: Annotated[str, Meta(description="`key.create`, or `key.*`.")] = ""
    resource: Annotated[
        str, Meta(description="A resource's name; what lies below it counts, too.")
    ] = ""
    kind: Annotated[str, Meta(description="`auth/keys`, say.")] = ""
    request_id: str = ""
    workspace: Workspace | None = None


class ReportQuery(Struct, frozen=True, kw_only=True, rename="camel"):
    """Query parameters of the report."""

    since: Annotated[
        Moment | None, Meta(description="Where it begins; 30 days before its end if left out.")
    ] = None
    until: Annotated[Moment | None, Meta(description="Its end; now if left out.")] = None
    filter: Text = ""
    format: Annotated[
        Literal["json", "csv", "html"], Meta(description="`text/csv` and `text/html`, too.")
    ] = "json"
    top: Annotated[int, Meta(ge=1, le=1000, description="How many actors and names are shown.")] = (
        20
    )
    workspace: Workspace | None = None


class Tally(Struct, frozen=True, kw_only=True):
    """How often something is in the trail."""

    value: str
    count: Count


class Period(Struct, frozen=True, kw_only=True):
    """From ``since`` up to, but not including, ``until``."""

    since: Time
    until: Time


class ChainState(Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether the newest entries are what was sealed.

    A report looks at the last 10,000 of the installation; `modelyard audit verify` at all.
    """

    intact: bool
    verified_from: Annotated[
        int, Meta(description="Sequence number of the first that was checked.")
    ]
    verified_to: Annotated[int, Meta(description="Of the last that is as it was sealed.")]
    digest: Annotated[
        str, Meta(description="Its digest: keep both elsewhere, to find later what was cut off.")
    ]
    broken_at: Annotated[int | None, Meta(description="Where the chain does not hold.")]
    reason: Annotated[
        Literal["changed", "missing"] | None,
        Meta(description="`changed`: not what was sealed there. `missing`: nothing is there."),
    ]


class Denied(Struct, frozen=True, kw_only=True, rename="camel"):
    """Attempts that were refused and recorded: sign-ins with a wrong password."""

    total: Count
    by_resource: Annotated[list[Tally], Meta(description="Whose login was tried.")]


class AuditReport(Struct, frozen=True, kw_only=True, rename="camel"):
    """What happened in a period, and whether its record can be trusted. Lists: the most first."""

    generated_at: Time
    workspace: Annotated[str, Meta(description="`-`: all of them.")]
    period: Period
    filter: str
    total: Count
    by_actor: list[Tally]
    by_verb: list[Tally]
    by_kind: list[Tally]
    by_day: Annotated[list[Tally], Meta(description="Days of the period (UTC) with entries.")]
    denied: Denied
    chain: ChainState


def plain(type_: type[Struct], name: str, **other: Any) -> Any:
    """The type with its fields in snake_case; ``other`` are fields of another type."""
    given: list[Any] = [
        (field, other.get(field, type_.__annotations__[field])) for field in type_.__struct_fields__
    ]
    made = msgspec.defstruct(name, given, frozen=True, kw_only=True, module=type_.__module__)
    made.__doc__ = type_.__doc__
    return made


HistoryEntry: Any = plain(AuditEntry, "HistoryEntry")
History: Any = plain(AuditLog, "History", entries=list[HistoryEntry])
