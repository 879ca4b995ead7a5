"""What the operator set for webhooks, parsed."""

from __future__ import annotations

from msgspec import Struct

from modelyard.settings.webhooks import WebhookSettings
from modelyard.webhooks.addresses import Network, networks


class Limits(Struct, frozen=True):
    """Where webhooks may be, and how often and how long sending is tried. Times are seconds."""

    networks: tuple[Network, ...] = ()
    retry: tuple[float, ...] = ()
    timeout: float = 15.0
    keep: float = 7 * 86_400.0


def limits(settings: WebhookSettings) -> Limits:
    """From the settings, which are checked at start."""
    return Limits(
        networks=networks(settings.allowed_networks),
        retry=tuple(settings.retry_seconds),
        timeout=settings.timeout,
        keep=settings.keep_days * 86_400.0,
    )
