"""The public keys that verify signed requests."""

from typing import Any

from modelyard.auth.signatures import check_signing_key
from modelyard.protocol.errors import Failure


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
