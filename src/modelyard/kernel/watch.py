"""Following a collection: its changes as Server-Sent Events, from the sealed audit trail.

A follower that lost its connection sends the last ``id`` it saw as ``Last-Event-ID`` and misses
nothing: the ids are the trail's sequence numbers, the same on every server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta, Struct

from modelyard.kernel.ports import EventQuery, Sealed
from modelyard.protocol import filter_grammar
from modelyard.protocol.asgi import Stream, last_event_id
from modelyard.protocol.errors import timestamp
from modelyard.protocol.filtering import Filter, both
from modelyard.protocol.matching import matches

if TYPE_CHECKING:
    from modelyard.kernel.context import Context
    from modelyard.kernel.resource import Resource

POLL_SECONDS = 0.2
KEEP_ALIVE_SECONDS = 15.0
LIVE_SECONDS = 300.0  # then a stream ends: its client comes back, and its rights are looked at anew


class WatchQuery(Struct, frozen=True, kw_only=True):
    """Which changes to follow."""

    filter: Annotated[
        str, Meta(max_length=2000, description="Only what matches, before or after its change.")
    ] = ""
    after: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="A sequence number: the changes after it come first."),
    ] = None
    workspace: str | None = None


class Change(Struct, frozen=True, kw_only=True):
    """One change. ``resource`` is null once it is deleted, or out of the follower's sight."""

    type: Annotated[str, Meta(description="The verb of the audit trail: `user.create`.")]
    name: str
    actor: str
    at: str
    resource: dict[str, Any] | None


def serve(one: Resource[Any]) -> Callable[..., Awaitable[Stream]]:
    """The function of a collection's ``watch``."""

    async def follow(context: Context, query: WatchQuery) -> Stream:
        """The changes from now on, or after the event that was seen last."""
        asked = filter_grammar.parse(query.filter, one.filterable)
        seen = last_event_id(context.headers.get(b"last-event-id"))
        after = query.after if seen is None else seen
        if after is None:
            after = await context.ports.store.sealed()
        return Stream(_events(one, context, asked, after))

    return follow


async def _events(
    one: Resource[Any], context: Context, asked: Filter | None, after: int
) -> AsyncGenerator[bytes, None]:
    store, quiet = context.ports.store, 0.0
    ends = time.monotonic() + LIVE_SECONDS
    workspace = "" if one.installation else context.workspace
    yield b"retry: 1000\nid: %d\n\n" % after
    while time.monotonic() < ends:
        query = EventQuery(
            workspace=workspace, kind=one.kind, after=after, ascending=True, size=200
        )
        found = await store.events(query)
        if found:
            await context.renew()
        rights = one.seen_by(context, None) if found else None
        where = both(asked, rights)
        for sealed in found:
            after = sealed.sequence
            if _shown(one, context.parent, where, sealed):
                yield _message(sealed, hidden=not within(one, rights, sealed.event.after))
        if found:
            quiet = 0.0
            continue
        await asyncio.sleep(POLL_SECONDS)
        quiet += POLL_SECONDS
        if quiet >= KEEP_ALIVE_SECONDS:
            quiet = 0.0
            yield b": keep-alive\n\n"


def _shown(one: Resource[Any], parent: str | None, where: Filter | None, sealed: Sealed) -> bool:
    event = sealed.event
    if parent and not event.resource.startswith(parent + "/"):
        return False
    seen = [view for view in (event.before, event.after) if view is not None]
    return where is None or any(within(one, where, view) for view in seen)


def within(one: Resource[Any], where: Filter | None, view: dict[str, Any] | None) -> bool:
    """Whether a filter lets through a state as a client reads it; there is none to hide in None."""
    return where is None or view is None or matches(where, partial(one.seen, view))


def _message(sealed: Sealed, *, hidden: bool) -> bytes:
    """The event; of a resource that the caller may not read any more, only that it changed."""
    event = sealed.event
    data = msgspec.json.encode(
        Change(
            type=event.verb,
            name=event.resource,
            actor=event.actor,
            at=timestamp(event.at),
            resource=None if hidden else event.after,
        )
    )
    return b"id: %d\nevent: %b\ndata: %b\n\n" % (sealed.sequence, event.verb.encode(), data)
