"""What a request says of kept answers: ``Cache-Control`` (RFC 9111) and Modelyard's own headers."""

from __future__ import annotations

from modelyard.inference.call import Terms
from modelyard.inference.surfaces.inbound import Inbound
from modelyard.protocol.errors import Failure

LONGEST_TTL = 365 * 86_400.0  # seconds
_LONGEST_NAME = 128  # characters of a namespace
_DEFAULT = Terms()


def sharing(
    inbound: Inbound, wanted: bool, ttl: float | None = None, namespace: str | None = None
) -> tuple[bool, Terms]:
    """Whether a request may be shared and answered from the cache, and on which terms.

    ``wanted``, ``ttl`` and ``namespace`` are what its body says, or its kind brings; headers beat
    them. ``no-store`` beats all. Raises INVALID_REQUEST.
    """
    fields = inbound.fields
    opted = inbound.caching
    share = wanted if opted is None else opted
    control = fields.get(b"cache-control")
    if b"x-modelyard-cache-ttl" in fields:
        ttl = _seconds(fields[b"x-modelyard-cache-ttl"])
    if b"x-modelyard-cache-namespace" in fields:
        namespace = _name(fields[b"x-modelyard-cache-namespace"])
    if control is None:
        if ttl is None and not namespace:
            return share, _DEFAULT
        return share, Terms(ttl=ttl, namespace=namespace or "")
    lines = [value for name, value in inbound.exchange.headers if name == b"cache-control"]
    store, fresh, max_age = _directives(b",".join(lines))  # RFC 9110, section 5.3: one list
    terms = Terms(fresh=fresh, max_age=max_age, ttl=ttl, namespace=namespace or "")
    return share and store, terms


def _directives(control: bytes) -> tuple[bool, bool, float | None]:
    """Of a request's ``Cache-Control``: may it be stored, must it be fresh, its ``max-age``.

    A ``max-age`` that is no number is one of 0 (RFC 9111, section 4.2.1: what is invalid is
    stale). Directives that are not known are ignored.
    """
    store, fresh = True, False
    max_age: float | None = None
    for part in control.lower().split(b","):
        name, _, value = part.strip().partition(b"=")
        if name == b"no-store":
            store = False
        elif name == b"no-cache":
            fresh = True
        elif name == b"max-age":
            digits = value.strip(b'"')
            age = float(digits) if digits.isdigit() and len(digits) <= 15 else 0.0
            max_age = age if max_age is None else min(age, max_age)
    return store, fresh or max_age == 0.0, max_age


def _seconds(value: bytes) -> float:
    try:
        ttl = float(value)
    except ValueError:
        ttl = 0.0
    if 0.0 < ttl <= LONGEST_TTL:
        return ttl
    raise Failure(
        "INVALID_REQUEST",
        "The header X-Modelyard-Cache-TTL must be seconds, above 0 and at most a year.",
        details={"field": "X-Modelyard-Cache-TTL", "allowed": "0 to 31536000"},
    )


def _name(value: bytes) -> str:
    if value and len(value) <= _LONGEST_NAME and all(33 <= byte <= 126 for byte in value):
        return value.decode("ascii")
    raise Failure(
        "INVALID_REQUEST",
        f"The header X-Modelyard-Cache-Namespace must be 1 to {_LONGEST_NAME} visible ASCII "
        "characters.",
        details={"field": "X-Modelyard-Cache-Namespace"},
    )
