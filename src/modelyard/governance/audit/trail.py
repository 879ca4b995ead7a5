"""The sealed trail as clients read it: pages of entries, newest first."""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct, structs

from modelyard.governance.audit.schema import EVERY, AuditChange, AuditEntry, Part
from modelyard.kernel.context import Context
from modelyard.kernel.ports import EventQuery, Sealed
from modelyard.protocol import filter_grammar, paging
from modelyard.protocol.errors import Failure, timestamp
from modelyard.protocol.filtering import And, Compare, Field, Filter, Text, both

RESOURCE = Field("resource", "string", column="resource")
FIELDS = {
    "id": Field("id", "string", column="id"),
    "at": Field("at", "time", column="at"),
    "actor": Field("actor", "string", column="actor"),
    "verb": Field("verb", "string", column="verb"),
    "kind": Field("kind", "string", column="kind"),
    "resource": RESOURCE,
    "requestId": Field("requestId", "string", column="request_id"),
    "workspace": Field("workspace", "string", column="workspace"),
}
_ALWAYS = frozenset(("etag", "updated_at", "updated_by", "updatedAt", "updatedBy"))


class Page(Struct, frozen=True):
    """Some of the trail, and the token of what follows."""

    found: list[Sealed]
    token: str | None


def meant(context: Context, asked: str | None) -> str | None:
    """The workspace that is asked for; None for all. Raises ``PERMISSION_DENIED``."""
    wanted = context.use(asked)
    return None if wanted == EVERY else wanted


def wanted(part: Part, workspace: str | None) -> EventQuery:
    """What a client asks of the trail, without its place in it."""
    return EventQuery(
        workspace=workspace,
        filter=filter_grammar.parse(part.filter, FIELDS),
        since=0.0 if part.since is None else part.since.timestamp(),
        until=None if part.until is None else part.until.timestamp(),
        ascending=part.order_by == "at",
        size=part.size,
    )


async def read(context: Context, query: EventQuery, part: Part) -> Page:
    """A page of ``query``; ``part`` says which, and is what its token is bound to."""
    asked = structs.asdict(structs.replace(part, page_token="", page_size=0))
    bound = msgspec.json.encode((asked, query.workspace, query.resource, query.kind)).decode()
    return await turn(context, query, part.page_token, bound)


async def turn(context: Context, query: EventQuery, token: str, bound: str) -> Page:
    """The page of ``query`` behind a token, which names all that ``bound`` does."""
    after = paging.position(token, bound, int)
    more = structs.replace(query, after=after, size=query.size + 1)
    found = await context.ports.store.events(more)
    if len(found) <= query.size:
        return Page(found, None)
    return Page(found[: query.size], paging.token(found[query.size - 1].sequence, bound))


def told_of(entity: str, query: EventQuery) -> EventQuery:
    """What a trail says of an entity: a resource's name, or its id alone."""
    if "/" in entity:
        return structs.replace(query, resource=entity, below=True)
    return structs.replace(query, filter=both(query.filter, with_id(entity)))


def with_id(own_id: str) -> Filter:
    """What resources with this id were changed; their words find them by an index."""
    return And((Text(own_id), Compare(RESOURCE, "=", f"*/{own_id}", wild=True)))


def unknown(entity: str) -> Failure:
    """Nothing was recorded of it, or in another workspace: the same for both."""
    return Failure(
        "NOT_FOUND",
        f"Nothing is recorded of '{entity[:200]}' in this workspace. Name a resource as it is read "
        "('auth/users/user_1', without /v1), or by its id alone.",
        details={"field": "id", "resource": entity[:200]},
    )


def entry(sealed: Sealed) -> AuditEntry:
    """An entry as it is shown."""
    event = sealed.event
    return AuditEntry(
        id=event.id,
        sequence=sealed.sequence,
        digest=sealed.digest.hex(),
        at=timestamp(event.at),
        actor=event.actor,
        verb=event.verb,
        resource=event.resource,
        kind=event.kind,
        request_id=event.request_id,
        workspace=event.workspace,
        before=event.before,
        after=event.after,
        changes=list(changes(event.before, event.after)),
    )


def changes(before: Any, after: Any, path: str = "") -> Iterator[AuditChange]:
    """The fields of two documents that differ, but what every change changes."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return
    for name in dict.fromkeys((*before, *after)):
        old, new = before.get(name), after.get(name)
        if old == new or (not path and name in _ALWAYS):
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from changes(old, new, f"{path}{name}.")
        else:
            yield AuditChange(field=path + name, before=old, after=new)
