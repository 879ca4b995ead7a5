"""Amazon's binary event streams, as its servers write them."""

import json
from typing import Any
from zlib import crc32

AMAZON = "application/vnd.amazon.eventstream"


def event(name: str, payload: dict[str, Any], sort: str = "event") -> bytes:
    """One event of a stream."""
    return message(name, json.dumps(payload, separators=(",", ":")).encode(), sort)


def message(name: str, body: bytes, sort: str = "event") -> bytes:
    """One message; ``sort`` is ``event`` or ``exception``."""
    fields = {":message-type": sort, f":{sort}-type": name, ":content-type": "application/json"}
    headers = b"".join(_field(*one) for one in fields.items())
    prelude = _int(16 + len(headers) + len(body)) + _int(len(headers))
    whole = prelude + _int(crc32(prelude)) + headers + body
    return whole + _int(crc32(whole))


def _field(name: str, value: str) -> bytes:
    return bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2) + value.encode()


def _int(number: int) -> bytes:
    return number.to_bytes(4)
