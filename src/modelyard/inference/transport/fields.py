"""What the headers of an answer mean to the connection."""

import re
from functools import lru_cache

HEADERS_LIMIT = 65_536  # bytes of headers, or of anything else between two parts of a body
KEEP_IDLE = 30.0  # seconds an unused connection is kept
TELLING = frozenset((b"content-encoding", b"transfer-encoding", b"keep-alive"))

Headers = list[tuple[bytes, bytes]]  # names in lower case

_TIMEOUT = re.compile(rb"\btimeout\s*=\s*(\d{1,9})\b", re.IGNORECASE)


def size_of(headers: Headers) -> int:
    """Bytes of the headers as they were on the wire: ``: `` and CRLF count."""
    return sum(len(name) + len(value) + 4 for name, value in headers)


def ends_by_close(headers: Headers) -> bool:
    """Whether the body ends where the connection does (RFC 9112, section 6.3)."""
    names = {name for name, _ in headers}
    return names.isdisjoint((b"content-length", b"transfer-encoding"))


@lru_cache(maxsize=64)
def seconds_to_keep(field: bytes) -> float:
    """How long to keep an unused connection after ``Keep-Alive: timeout=5``.

    A second less than the peer does, so that it does not close on a request; 0 for not at all.
    """
    match = _TIMEOUT.search(field)
    return min(KEEP_IDLE, max(0.0, int(match[1]) - 1.0)) if match else KEEP_IDLE
