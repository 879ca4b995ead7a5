"""The keys that sign our tokens: made, kept encrypted, replaced every 30 days, published.

They sign with ES256: every JWT library and gateway verifies it by our JWK Set, which is not so
for EdDSA, whose very name changes (RFC 9864). A signature takes 30 µs, verifying one 60 µs.
"""

import secrets
from typing import Any

import msgspec
from msgspec import Struct, structs

from modelyard.auth.sealed import Box

LONGEST = 24 * 3600  # seconds that a token may live
PERIOD = 30 * 24 * 3600  # seconds after which another key takes over
# Seconds from a key's making to its first signature: time for every process, and for those who
# keep our JWK Set, to learn of it.
INTRODUCED = 60
_MARGIN = 3600  # seconds; a process that was away may have signed for longer


class SigningKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A private key, encrypted. Times are Unix seconds; ``retires_at`` is set by its successor."""

    kid: str
    sealed: bytes
    created_at: int
    retires_at: int | None = None


class SigningKeys(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All that verify now, the oldest first."""

    keys: tuple[SigningKey, ...] = ()

    def signer(self, now: float) -> SigningKey:
        """The one that signs: the newest that is introduced. Raises ValueError without any."""
        if not self.keys:
            raise ValueError("there is no signing key yet")
        known = [key for key in self.keys if key.created_at + INTRODUCED <= now]
        return known[-1] if known else self.keys[0]

    def find(self, kid: str, now: float) -> SigningKey | None:
        """The key of this id, unless it has retired."""
        return next((key for key in self.keys if key.kid == kid and _verifies(key, now)), None)


def fresh(box: Box, now: float) -> SigningKey:
    """A new key."""
    import modelyard.auth.jose as jose

    kid = secrets.token_hex(8)
    sealed = box.seal(purpose(kid), jose.new_key())
    return SigningKey(kid=kid, sealed=sealed, created_at=int(now))


def due(keys: SigningKeys, now: float) -> bool:
    """Whether it is time for another key."""
    return not keys.keys or keys.keys[-1].created_at + PERIOD <= now


def rotated(keys: SigningKeys, box: Box, now: float) -> SigningKeys:
    """With a fresh key; the others verify until the last token of theirs has expired."""
    retires_at = int(now) + INTRODUCED + LONGEST + _MARGIN
    older = [
        key if key.retires_at else structs.replace(key, retires_at=retires_at)
        for key in keys.keys
        if _verifies(key, now)
    ]
    return SigningKeys(keys=(*older, fresh(box, now)))


def jwks(keys: SigningKeys, box: Box, now: float) -> dict[str, Any]:
    """The public keys as a JWK Set (RFC 7517), for those who verify our tokens themselves."""
    import modelyard.auth.jose as jose

    shown = [
        jose.published(jose.private_key(box.open(purpose(key.kid), key.sealed)), key.kid)
        for key in keys.keys
        if _verifies(key, now)
    ]
    return {"keys": shown}


def to_spec(keys: SigningKeys) -> dict[str, Any]:
    """The document of the resource ``auth/signing-keys``."""
    spec: dict[str, Any] = msgspec.to_builtins(keys)
    return spec


def from_spec(spec: dict[str, Any]) -> SigningKeys:
    """The keys of that document. Raises ValueError where it is damaged."""
    return msgspec.convert(spec, SigningKeys)


def purpose(kid: str) -> str:
    """What a key is sealed for: a key cannot take another's place."""
    return f"auth/signing-keys/{kid}"


def _verifies(key: SigningKey, now: float) -> bool:
    return key.retires_at is None or now < key.retires_at
