"""Deliveries as they are stored: made, changed, removed.

The trail has the event that each one is of, and no events for the attempts: nobody asked for them.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterable

from msgspec import structs

from modelyard.kernel import names
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Query, Refused, Row, Store, Write
from modelyard.kernel.purge import ACTOR
from modelyard.protocol.errors import timestamp
from modelyard.protocol.filtering import And, Compare, Filter, Operator, Order
from modelyard.webhooks.deliveries import deliveries
from modelyard.webhooks.deliveries.schema import Delivery

BATCH = 200  # rows of one commit that removes


def new(webhook: Address, event: Event, now: float, redelivery_of: str | None = None) -> Row:
    """A delivery that is due at once."""
    spec = Delivery(
        event_id=event.id,
        event_type=event.verb,
        resource=event.resource,
        next_attempt_at=timestamp(now),
        redelivery_of=redelivery_of,
    )
    own_id = f"delivery_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"
    return Row(
        address=Address(deliveries.kind, webhook.workspace, webhook.name, own_id),
        uid=names.new_uid(),
        created_at=now,
        updated_at=now,
        created_by=ACTOR,
        updated_by=ACTOR,
        spec=deliveries.document(spec),
    )


async def due(store: Store, webhook: Address, now: float, size: int) -> list[Row]:
    """Those of a webhook whose time has come, the longest due first."""
    where = And((_is("state", "pending"), _is("next_attempt_at", timestamp(now), "<=")))
    order = (Order(deliveries.sortable["next_attempt_at"], descending=False),)
    return await store.page(_query(webhook, where, order, size))


async def any_since(store: Store, webhook: Address, moment: float) -> bool:
    """Whether one succeeded since then."""
    done = _is("finished_at", timestamp(moment), ">=")
    where = And((_is("state", "succeeded"), done))
    return bool(await store.page(_query(webhook, where, (), 1)))


async def change(store: Store, row: Row, spec: Delivery, now: float) -> Row | None:
    """Store another state; None where the row is not as it was read any more."""
    after = structs.replace(
        row,
        revision=row.revision + 1,
        updated_at=now,
        updated_by=ACTOR,
        spec=deliveries.document(spec),
    )
    try:
        await store.commit(Commit(writes=[Write(row=after, expected=row.revision, before=row)]))
    except Refused:
        return None
    return after


async def trim(store: Store, webhook: Address, before: float) -> int:
    """Remove what was finished before a moment; how many, at most ``BATCH``."""
    where = _is("finished_at", timestamp(before), "<")
    return await remove(store, await store.page(_query(webhook, where, (), BATCH)))


async def remove_all(store: Store, webhook: Address) -> None:
    """Remove all of a webhook, in batches."""
    while await remove(store, await store.page(_query(webhook, None, (), BATCH))):
        pass


async def remove(store: Store, rows: Iterable[Row]) -> int:
    """Remove these; how many. Those that were changed meanwhile stay."""
    writes = [
        Write(
            row=structs.replace(row, revision=row.revision + 1), expected=row.revision, remove=True
        )
        for row in rows
    ]
    if writes:
        with contextlib.suppress(Refused):
            await store.commit(Commit(writes=writes))
    return len(writes)


def _query(webhook: Address, where: Filter | None, order: tuple[Order, ...], size: int) -> Query:
    return Query(
        kind=deliveries.kind,
        workspace=webhook.workspace,
        parent=webhook.name,
        filter=where,
        order=order,
        size=size,
    )


def _is(field: str, value: str, operator: Operator = "=") -> Filter:
    return Compare(deliveries.filterable[field], operator, value)
