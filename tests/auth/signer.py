"""Requests signed by the published library, as a client does."""

import datetime
from typing import Any

from http_message_signatures import (
    ContentDigest,
    HTTPMessageSigner,
    MappingKeyResolver,
    algorithms,
)
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey

from modelyard.auth.signed import Request

NOW = 1_800_000_000.0
URL = "https://ai.example.com/v1/auth/keys?workspace=w"
BODY = b'{"name": "app"}'
RSA = RSAKey.generate_key(2048, private=True)
SECRET = OctKey.generate_key(256)
SIGNERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "ed25519": (algorithms.ED25519, OKPKey.generate_key("Ed25519", private=True), {}),
    "p256": (algorithms.ECDSA_P256_SHA256, ECKey.generate_key("P-256", private=True), {}),
    "p384": (algorithms.ECDSA_P384_SHA384, ECKey.generate_key("P-384", private=True), {}),
    "rsa-v1_5": (algorithms.RSA_V1_5_SHA256, RSA, {"alg": "RS256"}),
    "rsa-pss": (algorithms.RSA_PSS_SHA512, RSA, {"alg": "PS512"}),
    "rsa-v1_5 by the request": (algorithms.RSA_V1_5_SHA256, RSA, {}),
    "rsa-pss by the request": (algorithms.RSA_PSS_SHA512, RSA, {}),
    "hmac": (algorithms.HMAC_SHA256, SECRET, {}),
}
COVERED = ("@method", "@target-uri", "content-digest")


def public(name: str) -> dict[str, Any]:
    _, key, more = SIGNERS[name]
    return {**key.as_dict(private=name == "hmac"), **more}


class Outgoing:
    """A request as the library signs it."""

    def __init__(self, method: str, url: str, headers: dict[str, str]) -> None:
        self.method, self.url, self.headers = method, url, headers


def signed(
    name: str = "ed25519",
    *,
    method: str = "POST",
    url: str = URL,
    body: bytes = BODY,
    covered: tuple[str, ...] = COVERED,
    at: float = NOW,
    headers: dict[str, str] | None = None,
    keyid: str = "k1",
    digest: type[ContentDigest] = ContentDigest,
    **more: Any,
) -> Request:
    """A request signed by the published library."""
    kind, key, _ = SIGNERS[name]
    private = key.raw_value if name == "hmac" else key.private_key
    outgoing = Outgoing(method, url, {"Host": "ai.example.com"} | (headers or {}))
    signer = HTTPMessageSigner(
        signature_algorithm=kind,
        key_resolver=MappingKeyResolver(public_keys={}, private_keys={keyid: private}),
    )
    signer.content_digest_class = digest
    options: dict[str, Any] = {"nonce": "n1", "label": "sig1"} | more
    if body and "content-digest" in covered:
        options["body"] = body
    signer.sign(
        outgoing,
        key_id=keyid,
        created=datetime.datetime.fromtimestamp(at, datetime.UTC),
        covered_component_ids=[one for one in covered if one != "content-digest"],
        **options,
    )
    lines = [(name.encode(), value.encode()) for name, value in outgoing.headers.items()]
    return Request(method, url, lines, body)


def with_field(request: Request, name: bytes, value: bytes | None) -> Request:
    """The request with another value of a field; None takes the field away."""
    lines = [line for line in request.headers if line[0].lower() != name]
    return Request(
        request.method,
        request.target_uri,
        lines if value is None else [*lines, (name, value)],
        request.body,
    )
