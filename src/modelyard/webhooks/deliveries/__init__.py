"""Deliveries at ``/v1/webhooks/{webhook_id}/deliveries``: what was sent, and what came of it."""

from modelyard.kernel.resource import GET, LIST, Resource
from modelyard.webhooks.deliveries.schema import Delivery

deliveries = Resource(
    "/webhooks/{webhook_id}/deliveries",
    Delivery,
    tag="Webhooks",
    singular="delivery",
    area="webhook-delivery",
    standard=(LIST, GET),
    filterable=("state", "event_type", "next_attempt_at", "finished_at"),
    sortable=("next_attempt_at", "finished_at"),
)
