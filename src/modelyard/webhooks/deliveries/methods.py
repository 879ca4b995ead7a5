"""What can be done with deliveries."""

import time
from typing import Any

from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import EventQuery, Write
from modelyard.protocol.errors import Failure
from modelyard.webhooks import webhooks
from modelyard.webhooks.deliveries import deliveries, records
from modelyard.webhooks.deliveries.schema import Delivery
from modelyard.webhooks.schema import Webhook


@deliveries.post("redeliver", response=deliveries.types.view, status=201)
async def redeliver(context: Context, item: Item[Delivery]) -> dict[str, Any]:
    """Send a delivery's message again: as a new delivery, with the same `webhook-id`."""
    parent = item.row.address.parent.rpartition("/")[2]
    webhook = await context.get(webhooks, parent)
    on(webhook)
    found = await context.ports.store.events(_event(item))
    row = records.new(webhook.row.address, found[0].event, time.time(), redelivery_of=item.id)
    context.commit.writes.append(Write(row=row))
    context.event(row.address.name, kind=deliveries.kind, after=deliveries.show(row))
    return deliveries.show(row)


def _event(item: Item[Delivery]) -> EventQuery:
    return EventQuery(workspace=item.row.address.workspace, ids=(item.spec.event_id,), size=1)


def on(item: Item[Webhook]) -> None:
    """Raise ``CONFLICT`` for a webhook that is turned off."""
    if not item.spec.enabled:
        raise Failure(
            "CONFLICT",
            f"The webhook {item.id} is turned off. Set 'enabled' to true first.",
            details={"field": "enabled", "reason": item.spec.disabled_reason},
        )
