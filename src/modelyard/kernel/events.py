"""The audit trail's record of one change: who changed what, by which request."""

import secrets
import time
from typing import Any

from msgspec import Struct, field


def _id() -> str:
    """Ids sort by time: milliseconds first, then chance."""
    return f"evt_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(6)}"


class Event(Struct, frozen=True, kw_only=True):
    """One change. ``before`` and ``after`` are what a client could read: never a secret.

    ``at`` is Unix seconds; ``actor`` is the id of the key that asked.
    """

    workspace: str
    actor: str
    verb: str  # "key.create"
    resource: str  # "auth/keys/key_1f…"
    request_id: str
    before: Any = None
    after: Any = None
    id: str = field(default_factory=_id)
    at: float = field(default_factory=time.time)
