"""Webhooks at ``/v1/webhooks``: what happens here is told to other servers (Standard Webhooks)."""

import msgspec

from modelyard.kernel.resource import Resource
from modelyard.webhooks.checks import admit
from modelyard.webhooks.schema import Webhook

webhooks = Resource(
    "/webhooks",
    Webhook,
    tag="Webhooks",
    filterable=("url", "enabled"),
    searchable=("url", "description"),
    admit=admit,
    examples={"request": {"url": "https://example.com/hooks", "events": ["key.*"]}},
)
RegisteredWebhook = msgspec.defstruct(
    "RegisteredWebhook",
    [("secret", str)],
    bases=(webhooks.types.view,),
    kw_only=True,
    module=__name__,
)
