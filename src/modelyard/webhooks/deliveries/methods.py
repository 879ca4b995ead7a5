"""What can be done with deliveries."""

import time
from typing import Any

from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import EventQuery, Write
from modelyard.protocol.errors import Failure
from modelyard.webhooks import webhooks
from modelyard.webhooks.deliveries import deliveries, records
from modelyard.webhooks.deliveries.schema import Delivery
from modelyard.webhooks.messages import TEST
from modelyard.webhooks.schema import Webhook, asks_for


@deliveries.post("redeliver", response=deliveries.types.view, status=201)
async def redeliver(context: Context, item: Item[Delivery]) -> dict[str, Any]:
    """Send a delivery's message again: as a new delivery, with the same `webhook-id`."""
    parent = item.row.address.parent.rpartition("/")[2]
    webhook = await context.get(webhooks, parent)
    on(webhook)
    if item.spec.event_type != TEST and not asks_for(webhook.spec, item.spec.event_type):
        raise Failure(
            "CONFLICT",
            f"The webhook {webhook.id} is not registered for {item.spec.event_type} any more. Add "
            "it to its 'events' first.",
            details={"field": "events", "reason": item.spec.event_type},
        )
    found = await context.ports.store.events(_event(item))
    if not found:
        raise Failure("CONFLICT", f"{item.name} has only just been made. Ask again in a second.")
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
