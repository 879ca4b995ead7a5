"""What a request's headers say, read once."""

from __future__ import annotations

import re
from time import monotonic, time
from urllib.parse import parse_qsl, urlencode

from modelyard.auth.credentials import presented_for_serving
from modelyard.auth.keys import Key, KeyRing
from modelyard.inference.http.exchange import Exchange
from modelyard.inference.ledger import new_id
from modelyard.protocol.errors import Failure
from modelyard.protocol.wire import API_VERSION

_TRACEPARENT = re.compile(rb"^00-([0-9a-f]{32})-[0-9a-f]{16}-([0-9a-f]{2})$")
_DATE = re.compile(rb"^\d{4}-\d{2}-\d{2}$")
_JSON = b"application/json"
_LONGEST = 128  # characters of an id that is taken over from a client


class Named(Exception):
    """A body names its request: ``key`` is its idempotency key, and is not claimed yet."""

    def __init__(self, key: str) -> None:
        super().__init__(key)
        self.key = key


class Inbound:
    """One request before its body is understood."""

    __slots__ = (
        "at",
        "claimed",
        "correlation_id",
        "exchange",
        "fields",
        "key",
        "record_id",
        "request_id",
        "started",
        "traceparent",
    )

    def __init__(
        self,
        exchange: Exchange,
        fields: dict[bytes, bytes],
        key: Key | None,
        request_id: str,
        record_id: str,
        correlation_id: str,
        traceparent: str,
        started: float,
        at: float,
    ) -> None:
        self.exchange = exchange
        self.fields = fields
        self.key = key
        self.request_id = request_id
        self.record_id = record_id
        self.correlation_id = correlation_id
        self.traceparent = traceparent
        self.started = started  # loop time
        self.at = at  # Unix time
        self.claimed = False  # whether its idempotency key is: it came from ``Once``

    @property
    def version(self) -> str | None:
        """``X-Model-Version``: the version that is asked for."""
        value = self.fields.get(b"x-model-version")
        return value.decode("latin-1") if value else None

    @property
    def owner(self) -> Key:
        """The authenticated key."""
        assert self.key is not None
        return self.key

    @property
    def caching(self) -> bool | None:
        """``X-Modelyard-Cache``: on, off, or not said."""
        return self._switch(b"x-modelyard-cache", "X-Modelyard-Cache")

    @property
    def semantic(self) -> bool | None:
        """``X-Modelyard-Semantic-Cache``: on, off, or not said."""
        return self._switch(b"x-modelyard-semantic-cache", "X-Modelyard-Semantic-Cache")

    def _switch(self, field: bytes, name: str) -> bool | None:
        value = self.fields.get(field)
        if value is None:
            return None
        if value in {b"on", b"off"}:
            return value == b"on"
        raise Failure(
            "INVALID_REQUEST",
            f"The header {name} must be 'on' or 'off'.",
            details={"field": name, "allowed": ["on", "off"]},
        )


def inbound(exchange: Exchange) -> Inbound:
    """Read ids and trace context; nothing here can fail."""
    fields = dict(exchange.headers)
    at = time()
    record_id = new_id(at)
    request_id = (b"x-request-id" in fields and _taken(fields[b"x-request-id"])) or (
        "req_" + record_id
    )
    correlation_id = (
        b"x-correlation-id" in fields and _taken(fields[b"x-correlation-id"])
    ) or request_id
    if b"traceparent" in fields:
        trace = _traceparent(fields[b"traceparent"], record_id)
    else:
        trace = f"00-{record_id}-{record_id[16:]}-00"
    return Inbound(
        exchange, fields, None, request_id, record_id, correlation_id, trace, monotonic(), at
    )


def take_key(inbound: Inbound) -> None:
    """Take Google's other place of a key, ``?key=``, where no header has one."""
    for name, value in parse_qsl(inbound.exchange.query.decode("latin-1")):
        if name == "key":
            inbound.fields.setdefault(b"x-goog-api-key", value.encode())


def without_key(query: str) -> str:
    """A query without Google's place of a key: what is kept of a request holds no secret."""
    parts = parse_qsl(query, keep_blank_values=True)
    return urlencode([one for one in parts if one[0] != "key"])


def authenticate(inbound: Inbound, keys: KeyRing, permission: str) -> None:
    """Find the key of a request and check what it may do, before its body is read.

    Raises UNAUTHENTICATED or PERMISSION_DENIED.
    """
    inbound.key = keys.allowed(presented_for_serving(inbound.fields), permission, inbound.at)


def check(inbound: Inbound) -> None:
    """Refuse headers whose meaning would be lost. Raises INVALID_REQUEST."""
    version = inbound.fields.get(b"api-version")
    if version is not None and not _DATE.match(version):
        raise Failure(
            "INVALID_REQUEST",
            "The header API-Version must be a date, YYYY-MM-DD.",
            details={"field": "API-Version", "allowed": "YYYY-MM-DD"},
        )
    kind = inbound.fields.get(b"content-type", _JSON)
    if kind != _JSON and kind.partition(b";")[0].strip().lower() != _JSON:
        raise Failure(
            "UNSUPPORTED_MEDIA_TYPE",
            "The body must be JSON: send 'Content-Type: application/json'.",
            details={"supported": ["application/json"]},
        )


def head(inbound: Inbound, content_type: bytes, limits: bytes, extra: bytes = b"") -> bytes:
    """The header lines that every answer of the data plane has."""
    lines = (
        b"content-type: %b\r\nx-request-id: %b\r\nx-correlation-id: %b\r\ntraceparent: %b\r\n"
        b"x-api-version: %b\r\n%b%b"
    ) % (
        content_type,
        inbound.request_id.encode(),
        inbound.correlation_id.encode(),
        inbound.traceparent.encode(),
        API_VERSION.encode(),
        limits,
        extra,
    )
    version = inbound.fields.get(b"api-version")
    return lines if version is None else lines + b"api-version: %b\r\n" % version


def _taken(value: bytes | None) -> str | None:
    if not value or len(value) > _LONGEST or not value.isascii():
        return None
    text = value.decode("ascii")
    return text if text.isprintable() and " " not in text else None


def _traceparent(value: bytes, record_id: str) -> str:
    """The context to pass on (W3C Trace Context): the caller's trace with a span of ours.

    Without a caller's, the record's own id is the trace's: 16 bytes, unique, half of it random.
    """
    match = _TRACEPARENT.match(value)
    if match is None:
        return f"00-{record_id}-{record_id[16:]}-00"
    return f"00-{match[1].decode()}-{record_id[16:]}-{match[2].decode()}"
