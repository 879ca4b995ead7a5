"""Signed requests (RFC 9421): who sent exactly this, just now, and for the first time."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from modelyard.auth.signed import Request, Stated, Unsigned
from modelyard.protocol.errors import Failure

WINDOW = 300  # seconds that a signature may be old
AHEAD = 60  # seconds that the signer's clock may be ahead
TAG = "modelyard"  # chooses ours among several signatures
LONGEST_NONCE = 256  # characters

# The JWK of the caller's key with this id, None where it has none.
KeyFor = Callable[[str], dict[str, Any] | None]
# Whether a nonce of this key id is used for the first time; kept until (Unix seconds). Key ids are
# the callers' own: two callers may have the same, so keep the nonces by caller, too.
FirstUse = Callable[[str, str, float], Awaitable[bool]]


def demanded(permission: str, patterns: Iterable[str]) -> bool:
    """Whether requests with this permission must be signed.

    In a pattern ``*`` stands for any area or action, the action ``write`` for all but ``read``.
    """
    area, _, action = permission.partition(":")
    actions = (action, "*") if action == "read" else (action, "*", "write")
    wanted = {f"{one}:{other}" for one in (area, "*") for other in actions}
    return not wanted.isdisjoint(patterns)


def accept_signature(digested: bool) -> str:
    """The field ``Accept-Signature`` (section 5.1): how to sign such a request."""
    digest = ' "content-digest"' if digested else ""
    return f'sig1=("@method" "@target-uri"{digest});created;keyid;nonce;tag="{TAG}"'


async def verify(request: Request, key_for: KeyFor, first_use: FirstUse, now: float) -> None:
    """Check that the request is signed with a key of its sender, and was not sent before.

    Covered must be ``@method``, the address (``@target-uri``, or ``@authority``, ``@path`` and
    ``@query``) and, where there is a body, ``content-digest``; ``created``, ``keyid`` and
    ``nonce`` are needed. Raises ``UNAUTHENTICATED``; ``details`` hold the ``reason`` (unsigned,
    malformed, incomplete, expired, not_yet_valid, signature, digest, replayed), what is
    ``missing`` and how to sign (``accept_signature``). Raises ``PERMISSION_DENIED`` where the
    sender has no such key.
    """
    import modelyard.auth.messages as messages

    try:
        stated = messages.stated(request, TAG)
        _check_complete(request, stated)
        _check_time(stated, now)
        jwk = key_for(stated.keyid)
        if jwk is None:
            raise Failure(
                "PERMISSION_DENIED",
                f"You have no signing key {stated.keyid[:100]!r}. Register its public half with "
                "your key or account as 'signing_key'.",
                details={"field": "keyid"},
            )
        messages.check(request, stated, jwk)
    except Unsigned as why:
        raise _refused(why.reason, why.message, request, why.missing) from None
    if not await first_use(stated.keyid, stated.nonce, stated.created + WINDOW):
        message = "This was sent before: each request needs a nonce of its own."
        raise _refused("replayed", message, request)


def check_signing_key(jwk: dict[str, Any]) -> None:
    """Refuse what cannot verify signatures: a JWK that a client wants to register.

    Good are public keys (Ed25519, P-256, P-384, RSA of 2048 bits or more) and shared secrets of
    32 bytes or more. Raises ``INVALID_REQUEST``.
    """
    import modelyard.auth.messages as messages

    try:
        if "d" in jwk:
            raise Unsigned("malformed", "it holds the private half, which you must keep")
        messages.algorithm(jwk, "")
    except Unsigned as why:
        raise Failure(
            "INVALID_REQUEST",
            f"'signing_key' cannot be used: {why.message}.",
            details={
                "field": "signing_key",
                "allowed": "JWK: OKP Ed25519, EC P-256 or P-384, RSA of 2048 bits, oct of 32 bytes",
            },
        ) from None


def _check_complete(request: Request, stated: Stated) -> None:
    covered = stated.covered
    missing = [] if "@method" in covered else ["@method"]
    if "@target-uri" not in covered and not covered >= {"@authority", "@path", "@query"}:
        missing.append("@target-uri")
    if request.digested and "content-digest" not in covered:
        missing.append("content-digest")
    missing += [name for name in ("created", "keyid", "nonce") if not getattr(stated, name)]
    if missing:
        message = f"The signature does not cover all that it must; add {', '.join(missing)}."
        raise Unsigned("incomplete", message, missing)
    if len(stated.nonce) > LONGEST_NONCE:
        message = f"The nonce is longer than {LONGEST_NONCE} characters."
        raise Unsigned("malformed", message)


def _check_time(stated: Stated, now: float) -> None:
    if stated.created > now + AHEAD:
        message = "The signature was made in the future; is your clock right?"
        raise Unsigned("not_yet_valid", message)
    if now >= stated.created + WINDOW or (stated.expires and now >= stated.expires):
        message = f"The signature is too old: it is good for {WINDOW} seconds at most. Sign again."
        raise Unsigned("expired", message)


def _refused(reason: str, message: str, request: Request, missing: Sequence[str] = ()) -> Failure:
    details: dict[str, Any] = {
        "reason": reason,
        "accept_signature": accept_signature(request.digested),
        "target_uri": request.target_uri,
    }
    if missing:
        details["missing"] = list(missing)
    return Failure("UNAUTHENTICATED", message, details=details)
