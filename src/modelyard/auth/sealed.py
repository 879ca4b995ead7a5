"""What the database may only hold encrypted: AES-256-GCM under keys derived from the pepper."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_FORM = b"\x01"  # the first byte: how the rest is made
_SALT = 16  # bytes
_KEY, _NONCE, _TAG = 32, 12, 16  # bytes
SHORTEST = len(_FORM) + _SALT + _TAG  # bytes that sealing adds


class Unsealable(ValueError):
    """What was to be opened is damaged, or was sealed elsewhere or for another purpose."""


class Box:
    """Seals secrets of one installation, each kind of them for its own purpose.

    Each sealing derives a key and a nonce of its own (HKDF-SHA256, RFC 5869, from the pepper, a
    random salt and the purpose), so that no count of them can repeat a nonce. Sealed is
    ``01, salt (16 bytes), ciphertext, tag (16 bytes)``.
    """

    def __init__(self, pepper: bytes) -> None:
        self._pepper = pepper

    def seal(self, purpose: str, content: bytes) -> bytes:
        """Encrypt ``content``; only the same purpose opens it again."""
        salt = secrets.token_bytes(_SALT)
        cipher, nonce = self._cipher(purpose, salt)
        return _FORM + salt + cipher.encrypt(nonce, content, None)

    def open(self, purpose: str, sealed: bytes) -> bytes:
        """What was sealed for ``purpose``. Raises ``Unsealable``."""
        from cryptography.exceptions import InvalidTag

        if len(sealed) < SHORTEST or not sealed.startswith(_FORM):
            raise Unsealable("this was not sealed here")
        start = len(_FORM) + _SALT
        cipher, nonce = self._cipher(purpose, sealed[len(_FORM) : start])
        try:
            return cipher.decrypt(nonce, sealed[start:], None)
        except InvalidTag:
            raise Unsealable(
                f"this is damaged, or was not sealed by this installation for {purpose!r}"
            ) from None

    def _cipher(self, purpose: str, salt: bytes) -> tuple[AESGCM, bytes]:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = b"modelyard sealed " + purpose.encode()
        derived = HKDF(SHA256(), _KEY + _NONCE, salt, info).derive(self._pepper)
        return AESGCM(derived[:_KEY]), derived[_KEY:]
