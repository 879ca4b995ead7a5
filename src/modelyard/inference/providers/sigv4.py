"""AWS Signature Version 4 of one request (AWS General Reference, "Signing AWS API requests")."""

from __future__ import annotations

import hashlib
import hmac
from datetime import UTC, datetime
from typing import NamedTuple
from urllib.parse import quote

_ALGORITHM = "AWS4-HMAC-SHA256"


class Credentials(NamedTuple):
    """Who signs, and where."""

    access_key: str
    secret_key: str
    region: str
    token: str | None = None  # of temporary credentials
    service: str = "bedrock"


def sign(
    credentials: Credentials,
    host: str,
    path: str,
    body: bytes,
    content_type: str = "application/json",
    at: datetime | None = None,
) -> list[tuple[str, str]]:
    """The header fields that sign a POST of ``body`` to ``path`` (as sent, percent-encoded)."""
    moment = (at or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    day = moment[:8]
    route, _, query = path.partition("?")
    signed = {"content-type": content_type, "host": host, "x-amz-date": moment}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = ";".join(signed)
    canonical = "\n".join(
        [
            "POST",
            quote(route, safe="/~"),  # every service but S3 wants it encoded twice
            query,
            *(f"{name}:{value.strip()}" for name, value in signed.items()),
            "",
            names,
            hashlib.sha256(body).hexdigest(),
        ]
    )
    scope = f"{day}/{credentials.region}/{credentials.service}/aws4_request"
    text = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (day, credentials.region, credentials.service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    signature = hmac.digest(key, text.encode(), "sha256").hex()
    fields = [("X-Amz-Date", moment)]
    if credentials.token:
        fields.append(("X-Amz-Security-Token", credentials.token))
    authorization = (
        f"{_ALGORITHM} Credential={credentials.access_key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return [*fields, ("Authorization", authorization)]
