"""What is sent for an event: a signed message as Standard Webhooks has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import Any

import msgspec
from standardwebhooks import Webhook as Signer

from modelyard.kernel.events import Event
from modelyard.protocol.errors import timestamp

TEST = "webhook.test"  # the type of the message that only tries a webhook
PREFIX = "whsec_"
SECRET_BYTES = 32  # the specification asks for 24 to 64
_encode = msgspec.json.Encoder(order="deterministic").encode


def new_secret() -> str:
    """A secret as its receiver keeps it."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def payload(event: Event) -> bytes:
    """The body of an event's message: ``type``, ``timestamp`` and ``data``. Always the same."""
    data: dict[str, Any] = {
        "id": event.id,
        "workspace": event.workspace,
        "actor": event.actor,
        "request_id": event.request_id,
        "kind": event.kind,
        "resource": event.resource,
        "before": event.before,
        "after": event.after,
    }
    return _encode({"type": event.verb, "timestamp": timestamp(event.at), "data": data})


def headers(event_id: str, body: bytes, keys: list[str], now: float) -> list[tuple[str, str]]:
    """The headers that identify and sign a message; one signature for each secret.

    ``now`` is when it is sent, in Unix seconds: a receiver refuses what is minutes old.
    """
    moment = datetime.fromtimestamp(int(now), UTC)
    text = body.decode()
    signatures = [Signer(key).sign(event_id, moment, text) for key in keys]
    return [
        ("webhook-id", event_id),
        ("webhook-timestamp", str(int(now))),
        ("webhook-signature", " ".join(signatures)),
    ]
