"""The audit trail's record of one change: who changed what, by which request.

A commit writes its events; one sealer then chains them. Event number n (from 1, without gaps) has

    digest(n) = SHA-256(digest(n - 1) + text(n))

where digest(0) is 32 zero bytes and text(n) is the UTF-8 JSON array ``[n, id, at, workspace,
actor, verb, kind, resource, request_id, before, after]`` without blanks, the keys of objects sorted
by code point, nothing escaped that JSON need not escape, and floats in their shortest form. In
Python: ``json.dumps(array, sort_keys=True, ensure_ascii=False, separators=(",", ":"))``.
"""

import hashlib
import json
import os
import time
from typing import Any

from msgspec import Struct, field

_canonical = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode
BEGINNING = bytes(32)  # the digest before the first event


def _id() -> str:
    """Ids sort by time: milliseconds first, then chance."""
    return f"evt_{time.time_ns() // 1_000_000:012x}{os.urandom(6).hex()}"


class Event(Struct, frozen=True, kw_only=True):
    """One change. ``before`` and ``after`` are what a client could read, or ``Raw``: no secret.

    ``at`` is Unix seconds; ``actor`` is the id of the key that asked; ``kind`` is that of the
    resource, as in its address.
    """

    workspace: str
    actor: str
    verb: str  # "key.create"
    kind: str = ""  # "auth/keys"
    resource: str  # "auth/keys/key_1f…"
    request_id: str
    before: Any = None
    after: Any = None
    id: str = field(default_factory=_id)
    at: float = field(default_factory=time.time)


def link(previous: bytes, sequence: int, event: Event) -> bytes:
    """The digest of an event whose ``before`` and ``after`` are JSON values."""
    begins = (sequence, event.id, event.at, event.workspace, event.actor, event.verb, event.kind)
    array = [*begins, event.resource, event.request_id, event.before, event.after]
    return hashlib.sha256(previous + _canonical(array).encode()).digest()
