"""The digests of a body that a client sends along: ``Content-Digest`` (RFC 9530), ``Content-MD5``.

A SHA-256 is computed of every body: it is what artifacts are named by.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from typing import Any

from modelyard.protocol.errors import Failure

_MEMBER = re.compile(r"([a-z0-9*._-]+)=:([A-Za-z0-9+/=]*):")
_NAMED = {"sha-256": "sha256", "sha-512": "sha512"}


class Digests:
    """Computes what is needed, and compares. Raises ``INVALID_REQUEST``."""

    def __init__(self, headers: Mapping[bytes, bytes]) -> None:
        self.sha256 = hashlib.sha256()
        self._wanted: list[tuple[str, Any, bytes]] = []
        if (sent := headers.get(b"content-digest")) is not None:
            self._content_digest(sent.decode("latin-1"))
        if (sent := headers.get(b"content-md5")) is not None:
            md5 = hashlib.md5(usedforsecurity=False)
            self._wanted.append(
                ("Content-MD5", md5, _decoded("Content-MD5", sent.decode("latin-1")))
            )

    def update(self, data: bytes) -> None:
        """Take in a part of the body."""
        self.sha256.update(data)
        for _, hasher, _ in self._wanted:
            if hasher is not self.sha256:
                hasher.update(data)

    def check(self) -> None:
        """Compare what came with what was sent along."""
        for field, hasher, wanted in self._wanted:
            if hasher.digest() != wanted:
                raise Failure(
                    "INVALID_REQUEST",
                    f"The body is not what '{field}' says: it was changed on its way, or the "
                    "digest is another's. Nothing was kept; send it again.",
                    details={"field": field, "rule": "digest"},
                )

    def _content_digest(self, text: str) -> None:
        known = [(name, value) for name, value in _MEMBER.findall(text) if name in _NAMED]
        if not known:
            raise _unknown("Content-Digest", "sha-256=:…: or sha-512=:…: (RFC 9530)")
        for name, value in known:
            hasher = self.sha256 if name == "sha-256" else hashlib.new(_NAMED[name])
            self._wanted.append(("Content-Digest", hasher, _decoded("Content-Digest", value)))


def content_digest(sha256: str) -> str:
    """The value of ``Content-Digest`` and ``Repr-Digest`` for a SHA-256 in hexadecimal."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def _decoded(field: str, text: str) -> bytes:
    try:
        return base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise _unknown(field, "base64") from None


def _unknown(field: str, allowed: str) -> Failure:
    return Failure(
        "INVALID_REQUEST",
        f"The header '{field}' must be {allowed}.",
        details={"field": field, "rule": "format", "allowed": allowed},
    )
