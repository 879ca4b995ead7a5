"""Signing and verifying by JOSE (RFC 7515, 7517): the library is loaded with this module.

It takes 30 ms and 9 MB, so the server imports this at the first token and not at its start.
"""

import warnings
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey, import_key
from msgspec import json

SHORTEST_RSA = 2048  # bits

# Short keys are refused here; that RFC 9864 renames EdDSA is no concern of the log's readers.
warnings.simplefilter("ignore", SecurityWarning)

PublicKey = ECKey | OKPKey | RSAKey


class Unverified(ValueError):
    """A token whose signature is not that of the key, or a key that cannot be used."""


def new_key() -> bytes:
    """A fresh private P-256 key as a JWK."""
    return json.encode(ECKey.generate_key("P-256", private=True).as_dict(private=True))


def private_key(jwk: bytes) -> ECKey:
    """A key that ``new_key`` made."""
    return ECKey.import_key(json.decode(jwk))


def public_key(jwk: dict[str, Any]) -> PublicKey:
    """The public key of a JWK that was published. Raises ``Unverified`` where it is unusable."""
    try:
        key = import_key(jwk)
        if not isinstance(key, ECKey | OKPKey | RSAKey):
            raise Unverified("a symmetric key was published")
        if isinstance(key, RSAKey) and key.raw_value.key_size < SHORTEST_RSA:
            raise Unverified(f"an RSA key has fewer than {SHORTEST_RSA} bits")
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise Unverified(f"a published key cannot be used: {error}") from error
    return key


def published(key: Key, kid: str) -> dict[str, Any]:
    """The public half as a member of a JWK Set."""
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": "ES256"}


def sign(header: dict[str, str], payload: bytes, key: ECKey) -> str:
    """A compact JWS; ``header`` names the algorithm."""
    return jws.serialize_compact(dict(header), payload, key, algorithms=["ES256"])


def verify(token: str, key: Key, algorithm: str) -> bytes:
    """The payload of a compact JWS. Raises ``Unverified``.

    The algorithm is the caller's choice, never the token's; an encoding that is not the canonical
    one is refused, so that no two texts are the same token.
    """
    registry = jws.JWSRegistry(algorithms=[algorithm], strict_check_header=False)
    try:
        found = jws.deserialize_compact(token, key, registry=registry)
    except (JoseError, ValueError, TypeError) as error:
        raise Unverified(str(error)) from error
    return found.payload
