"""Signatures of HTTP messages by the published library: it is loaded with this module.

It takes 20 ms and 8 MB, so the server imports this at the first signed request.
"""

import datetime
from collections.abc import Iterable
from typing import Any

import http_sf
from http_message_signatures import (
    HTTPMessageSignaturesException,
    HTTPMessageVerifier,
    MappingKeyResolver,
)
from http_message_signatures.algorithms import (
    ECDSA_P256_SHA256,
    ECDSA_P384_SHA384,
    ED25519,
    HMAC_SHA256,
    RSA_PSS_SHA512,
    RSA_V1_5_SHA256,
    HTTPSignatureAlgorithm,
)
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from modelyard.auth import jose
from modelyard.auth.signed import Request, Stated, Unsigned

SHORTEST_SECRET = 32  # bytes of a shared one
_BY_CURVE = {"Ed25519": ED25519, "P-256": ECDSA_P256_SHA256, "P-384": ECDSA_P384_SHA384}
_RSA = {"RS256": RSA_V1_5_SHA256, "PS512": RSA_PSS_SHA512}


class _Fields:
    """Header fields as the library reads them: all lines, in their order."""

    def __init__(self, lines: Iterable[tuple[bytes, bytes]]) -> None:
        self._lines = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in lines]

    def items(self) -> list[tuple[str, str]]:
        return self._lines


class _Message:
    """A request as the library reads it."""

    def __init__(self, request: Request) -> None:
        self.method = request.method
        self.url = request.target_uri
        self.headers = _Fields(request.headers)


class _Verifier(HTTPMessageVerifier):
    """Leaves the times to the caller, who has a clock of its own and has looked at them."""

    def validate_created_and_expires(
        self, sig_input: Any, max_age: datetime.timedelta | None = None
    ) -> None:
        """Nothing is left to be done."""


def stated(request: Request, tag: str) -> Stated:
    """What the request's only signature says, or the one with this tag among several.

    Raises ``Unsigned``.
    """
    text = request.field(b"signature-input")
    if text is None or request.field(b"signature") is None:
        raise Unsigned("unsigned", "The request must be signed (RFC 9421).", ["signature"])
    found = _members(text)
    if len(found) != 1:
        found = [one for one in found if one.tag == tag]
    if len(found) != 1:
        raise Unsigned("malformed", f"Send one signature, or just one with the tag '{tag}'.")
    return found[0]


def check(request: Request, stated: Stated, jwk: dict[str, Any]) -> None:
    """Verify the signature, and the digest of the body where it is covered.

    Raises ``Unsigned``.
    """
    kind, key = algorithm(jwk, stated.alg)
    verifier = _Verifier(
        signature_algorithm=kind,
        key_resolver=MappingKeyResolver(public_keys={stated.keyid: key}, private_keys={}),
    )
    try:
        results = verifier.verify(_Message(request), max_age=None, expect_tag=stated.tag or None)
    except (HTTPMessageSignaturesException, ValueError, TypeError):
        raise Unsigned(
            "signature",
            f"The signature does not fit this {request.method} of {request.target_uri}, or was "
            "made with another key or algorithm.",
        ) from None
    if len(results) != 1:
        raise Unsigned("malformed", f"Send just one signature with the tag '{stated.tag}'.")
    if request.body is None:
        return
    try:
        verifier.verify_body(_Message(request), results, request.body)
    except HTTPMessageSignaturesException:
        raise Unsigned(
            "digest", "Content-Digest must be the sha-256 or sha-512 of the body (RFC 9530)."
        ) from None


def algorithm(jwk: dict[str, Any], alg: str) -> tuple[type[HTTPSignatureAlgorithm], Any]:
    """How signatures of a key are verified, and with what. The key decides, not the request.

    Only an RSA key that names no ``alg`` goes with what the signature names: ``alg``, else
    rsa-pss-sha512. Raises ``Unsigned``.
    """
    if jwk.get("kty") == "oct":
        return HMAC_SHA256, _secret(jwk)
    try:
        key = jose.public_key(jwk)
    except jose.Unverified as error:
        raise Unsigned("signature", str(error)) from None
    if jwk.get("kty") == "RSA":
        chosen = _RSA.get(jwk.get("alg", ""))
        if chosen is None:
            chosen = RSA_V1_5_SHA256 if alg == RSA_V1_5_SHA256.algorithm_id else RSA_PSS_SHA512
        return chosen, key.public_key
    named = _BY_CURVE.get(jwk.get("crv", ""))
    if named is None:
        raise Unsigned("signature", f"the curve must be one of {', '.join(_BY_CURVE)}")
    return named, key.public_key


def _secret(jwk: dict[str, Any]) -> bytes:
    try:
        secret: bytes = OctKey.import_key(jwk).raw_value
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise Unsigned("signature", f"the shared secret cannot be read: {error}") from None
    if len(secret) < SHORTEST_SECRET:
        raise Unsigned("signature", f"a shared secret has {SHORTEST_SECRET} bytes or more")
    return secret


def _members(text: str) -> list[Stated]:
    """The members of ``Signature-Input``, each of the declared types (section 2.3)."""
    try:
        members: Any = http_sf.parse(text.encode("latin-1"), tltype="dictionary")
        return [_member(*member) for member in members.values()]
    except (ValueError, TypeError):
        raise Unsigned("malformed", "The field Signature-Input cannot be read.") from None


def _member(components: Any, params: dict[str, Any]) -> Stated:
    if not isinstance(components, list):
        raise TypeError("a member must be an inner list")
    covered = {name for name, more in components if type(name) is str and not more}
    values: dict[str, Any] = {}
    for name in ("created", "expires", "keyid", "nonce", "alg", "tag"):
        value = params.get(name, 0 if name in ("created", "expires") else "")
        if type(value) is not (int if name in ("created", "expires") else str):
            raise TypeError(f"{name} is of another type")
        values[name] = value
    return Stated(covered, **values)
