"""What a surface answered instead of a result, as an error of ours."""

from __future__ import annotations

from typing import Any

import msgspec

from modelyard.gateway.jobs.inside import Reply
from modelyard.protocol.errors import REGISTRY, Failure

PATIENT = frozenset((429, 503))  # asked again: the limit is over, the provider is back
_BY_STATUS = {
    400: "INVALID_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "MODEL_NOT_FOUND",
    413: "PAYLOAD_TOO_LARGE",
    429: "RATE_LIMITED",
    503: "PROVIDER_UNAVAILABLE",
    504: "INFERENCE_TIMEOUT",
}


def failure(reply: Reply) -> Failure:
    """The error in an answer of any surface: each has an envelope of its own."""
    try:
        body = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        body = {}
    error = body.get("error") if isinstance(body, dict) else None
    inner: dict[str, Any] = error if isinstance(error, dict) else {}
    named = inner.get("code")
    symbol = (
        named
        if isinstance(named, str) and named in REGISTRY
        else _BY_STATUS.get(reply.status, "PROVIDER_ERROR")
    )
    details = inner.get("details")
    told = details if isinstance(details, dict) else {"status": reply.status}
    return Failure(symbol, str(inner.get("message") or f"Status {reply.status}"), details=told)


def decoded(reply: Reply) -> object:
    """The result in an answer. Raises ``PROVIDER_ERROR`` where it can be no JSON value of ours."""
    try:
        return msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Failure("PROVIDER_ERROR", f"The answer cannot be kept: {error}.") from error


def wait(reply: Reply, tries: int) -> float:
    """Seconds until it is worth asking again, after so many tries."""
    told = reply.fields.get("retry-after", "")
    backoff = min(60.0, 0.5 * 2.0**tries)
    plain = told.isascii() and told.replace(".", "", 1).isdigit()
    return float(told) if plain else backoff
