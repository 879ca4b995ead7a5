"""What can be done with webhooks, beside reading and changing them."""

import time
from typing import Any

from msgspec import structs

from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Write
from modelyard.kernel.resource import DELETE
from modelyard.protocol.errors import timestamp
from modelyard.webhooks import RegisteredWebhook, webhooks
from modelyard.webhooks.deliveries import deliveries, records
from modelyard.webhooks.deliveries.methods import on
from modelyard.webhooks.kept import Secrets
from modelyard.webhooks.messages import TEST, new_secret
from modelyard.webhooks.schema import CreateWebhook, RotateSecret, Webhook

_REQUEST = {"url": "https://example.com/hooks", "events": ["key.*"]}


@webhooks.standard_method(
    "create", response=RegisteredWebhook, status=201, examples={"request": _REQUEST}
)
async def create(context: Context, ask: CreateWebhook) -> dict[str, Any]:
    """Register a webhook.

    Its secret, with which messages are signed, is in this answer and nowhere else. Events are
    those that the caller may read; what happened before is not sent.
    """
    secret = new_secret()
    spec = Webhook(
        url=ask.url,
        events=ask.events,
        description=ask.description,
        enabled=ask.enabled,
        sealed=context.of(Secrets).seal(secret),
    )
    made = await context.create(webhooks, spec, labels=ask.labels)
    return webhooks.show(made.row) | {"secret": secret}


@webhooks.standard_method(DELETE, status=204, errors=("ETAG_MISMATCH",))
async def delete(context: Context, item: Item[Webhook]) -> None:
    """Remove a webhook, with its log of deliveries."""
    context.check("webhook:delete", item.row)
    if not context.validate_only:
        await records.remove_all(context.ports.store, item.row.address)
    context.delete(item)
    # What happens meanwhile makes more deliveries: they must not keep a busy webhook alive.
    writes = context.commit.writes
    writes[-1] = structs.replace(writes[-1], guard=False)

    async def remove_the_rest() -> None:
        await records.remove_all(context.ports.store, item.row.address)

    context.afterwards.append(remove_the_rest)


@webhooks.post("rotate-secret", response=RegisteredWebhook, examples={"request": {}})
async def rotate_secret(context: Context, item: Item[Webhook], ask: RotateSecret) -> dict[str, Any]:
    """Replace a webhook's secret.

    For ``overlap_seconds`` each message is signed with both, so that a receiver can change over
    without missing one.
    """
    secret, before = new_secret(), item.spec
    until = timestamp(time.time() + ask.overlap_seconds) if ask.overlap_seconds else None
    spec = structs.replace(
        before,
        sealed=context.of(Secrets).seal(secret),
        previous_sealed=before.sealed if until else None,
        previous_expires_at=until,
    )
    made = await context.update(item, spec, verb="rotate-secret", unchecked=True)
    return webhooks.show(made.row) | {"secret": secret}


@webhooks.post("test", response=deliveries.types.view, status=201)
async def test(context: Context, item: Item[Webhook]) -> dict[str, Any]:
    """Send a webhook a message of the type `webhook.test`, whatever it is registered for."""
    on(item)
    shown = webhooks.show(item.row)
    event = context.event(item.name, verb=TEST, kind=webhooks.kind, after=shown)
    row = records.new(item.row.address, event, event.at)
    context.commit.writes.append(Write(row=row))
    return deliveries.show(row)
