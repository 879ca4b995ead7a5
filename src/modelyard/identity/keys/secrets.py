"""What a key may be given: nobody hands on what they lack, nor larger limits than their own."""

import time
from typing import Any

from msgspec import structs

from modelyard.auth.keys import Key
from modelyard.auth.signatures import check_signing_key
from modelyard.identity.keys.schema import ApiKey
from modelyard.kernel.context import Context, Item
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure, timestamp

LATEST = 253_370_764_800.0  # the year 9999, the last that RFC 3339 can write


async def admit(context: Context, key: ApiKey, item: Item[ApiKey] | None) -> ApiKey:
    """Check the scopes, the limits and the expiry that are new."""
    before = None if item is None else item.spec
    if before is None or key.scopes != before.scopes:
        key = structs.replace(key, scopes=grantable(context, key.scopes))
    if before is None or key.limits != before.limits:
        affordable(context, structs.asdict(key.limits))
    if key.signing_key is not None:
        check_public(dict(key.signing_key))
    if before is not None and key.signing_key != before.signing_key:
        grantable(context, before.scopes)  # whose key verifies may sign as this one
    if key.expires_at is not None and (before is None or key.expires_at != before.expires_at):
        now = time.time()
        if not now < key.expires_at.timestamp() < LATEST:
            raise Failure(
                "INVALID_REQUEST",
                f"'expires_at' must be in the future; it is {timestamp(now)} now.",
                details={
                    "field": "expires_at",
                    "rule": "future",
                    "allowed": f"after {timestamp(now)}",
                },
            )
    return key


def check_public(jwk: dict[str, Any]) -> None:
    """Refuse a JWK that cannot verify signatures, or is a secret: those are not kept readable."""
    check_signing_key(jwk)
    if jwk.get("kty") == "oct":
        raise Failure(
            "INVALID_REQUEST",
            "'signing_key' must be a public key (Ed25519, P-256, P-384 or RSA), not a shared "
            "secret, as it can be read again.",
            details={"field": "signing_key", "rule": "public", "allowed": ["OKP", "EC", "RSA"]},
        )


def grantable(context: Context, scopes: list[str]) -> list[str]:
    """The scopes, each once. Raises ``PERMISSION_DENIED`` for one that the caller lacks."""
    wanted = list(dict.fromkeys(scope.strip() for scope in scopes))
    for scope in wanted:
        if not context.may(scope):
            raise Failure(
                "PERMISSION_DENIED",
                f"This key lacks the permission '{scope}', so it cannot hand it on. Leave it out "
                "of 'scopes', or use a key that has it.",
                details={
                    "field": "scopes",
                    "permission": scope,
                    "scopes": list(context.principal.scopes),
                },
            )
    return wanted


def affordable(context: Context, limits: dict[str, Any]) -> None:
    """Raise ``PERMISSION_DENIED`` for a limit that is larger than the caller's.

    With ``workspace:write`` any are allowed: such a caller could as well take a new workspace.
    """
    caller: Principal = context.principal
    if not isinstance(caller, Key) or context.may("workspace:write"):
        return
    for name, own in structs.asdict(caller.limits).items():
        wanted = limits.get(name)
        if own is not None and (wanted is None or wanted > own):
            raise Failure(
                "PERMISSION_DENIED",
                f"'limits.{name}' is larger than this key's own, which is {own}. Ask for at most "
                "that, or use a key with the permission 'workspace:write'.",
                details={
                    "field": f"limits.{name}",
                    "allowed": own,
                    "permission": "workspace:write",
                },
            )
