"""What a webhook may be told of, and where it may be: checked when it is registered or changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from msgspec import structs

from modelyard.kernel.context import Context, Item
from modelyard.kernel.resource import Resource
from modelyard.protocol.errors import Failure, now
from modelyard.webhooks import addresses
from modelyard.webhooks.limits import Limits

if TYPE_CHECKING:
    from modelyard.webhooks.schema import Webhook

EVERY = "*"
TRAIL = "audit:read"  # who reads the whole trail may be sent all of it


async def admit(context: Context, webhook: Webhook, item: Item[Webhook] | None) -> Webhook:
    """Refuse an address that is not called, and events that the caller may not read.

    Turning it on again takes the reason away for which the server turned it off.
    """
    before = None if item is None else item.spec
    if before is None or webhook.url != before.url:
        _reachable(context, webhook.url)
    events = list(dict.fromkeys(webhook.events))
    if before is None or set(events) - set(before.events) or webhook.url != before.url:
        _readable(context, events)
    if webhook.enabled and (before is None or not before.enabled):
        webhook = structs.replace(webhook, disabled_reason=None, since=round(now() * 1000))
    return structs.replace(webhook, events=events)


def _reachable(context: Context, url: str) -> None:
    try:
        addresses.parse(url, context.of(Limits).networks)
    except addresses.Forbidden as error:
        raise Failure(
            "INVALID_REQUEST",
            f"'url' {error}. An operator can allow networks: [webhooks] allowed_networks.",
            details={"field": "url", "rule": error.rule},
        ) from None


def _readable(context: Context, events: Iterable[str]) -> None:
    """Raise unless the caller may read everything that these events tell of, now and later."""
    trail = context.may(TRAIL)  # of the workspace: what all workspaces share is not in it
    for area in _known(context, events):
        if trail and not any(one.installation for one in _of(context, area)):
            continue
        if area == EVERY:
            context.check(TRAIL)
        for one in _of(context, area):
            permission = f"{area}:read"
            context.check(permission)
            policies = context.ports.policies
            part = policies.visible(context.principal, permission, one.kind, one.filterable)
            if part is not None:  # some of them only: what is sent later cannot be foreseen
                context.check(TRAIL)


def _known(context: Context, events: Iterable[str]) -> list[str]:
    areas = list(dict.fromkeys(one.partition(".")[0] for one in events))
    for area in areas:
        if area != EVERY and not _of(context, area):
            known = sorted({one.area for one in context.ports.resources.values()})
            raise Failure(
                "INVALID_REQUEST",
                f"'events' names '{area}', of which there are no events. There are those of "
                f"{', '.join(known)}.",
                details={"field": "events", "rule": "known", "allowed": [EVERY, *known]},
            )
    return areas


def _of(context: Context, area: str) -> list[Resource[object]]:
    return [one for one in context.ports.resources.values() if one.area == area]
