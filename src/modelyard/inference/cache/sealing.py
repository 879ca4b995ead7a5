"""How answers lie in the levels below the memory: compressed, and encrypted if so set.

Sealed is ``form (1 byte), flags (1 byte), [salt (16), nonce (12),] payload``.
"""

from __future__ import annotations

import secrets
import zlib
from itertools import count
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FORM: Final = 1  # of the records too: one of another form is not read
_COMPRESSED, _ENCRYPTED = 1, 2
_SALT, _NONCE, _KEY = 16, 12, 32  # bytes
_FAST: Final = 1  # zlib's level: 2 gains little and costs twice
_MOST_KEYS: Final = 256  # derived keys that are remembered
_PURPOSE: Final = b"modelyard cache answers"


class Unreadable(ValueError):
    """What was kept is damaged, of another version, or was encrypted elsewhere."""


class Sealer:
    """Seals records. Threads may use it at the same time.

    Each process encrypts under a key of its own: HKDF-SHA256 (RFC 5869) from the pepper and a
    random salt, which lies beside what it encrypted. Nonces are counted, so that none repeats.
    The answer's key and workspace are authenticated: nothing can be moved to another question.
    """

    def __init__(self, compress_above: int, most: int, pepper: bytes, encrypt: bool) -> None:
        self._compress_above = compress_above
        self._most = most  # bytes of a record
        self._pepper = pepper
        self._salt = secrets.token_bytes(_SALT) if encrypt else b""
        self._nonces = count(1)
        self._ciphers: dict[bytes, AESGCM] = {}

    @property
    def encrypts(self) -> bool:
        """Whether what is sealed from now on is encrypted."""
        return bool(self._salt)

    def seal(self, question: bytes, record: bytes) -> bytes:
        """Make a record ready to be kept. ``question``: its key and workspace."""
        flags = 0
        if len(record) > self._compress_above:
            smaller = zlib.compress(record, _FAST)
            if len(smaller) < len(record):
                record, flags = smaller, _COMPRESSED
        if not self._salt:
            return bytes((FORM, flags)) + record
        flags |= _ENCRYPTED
        head = bytes((FORM, flags))
        nonce = next(self._nonces).to_bytes(_NONCE, "big")
        sealed = self._cipher(self._salt).encrypt(nonce, record, head + question)
        return head + self._salt + nonce + sealed

    def open(self, question: bytes, sealed: bytes) -> bytes:
        """The record. Raises ``Unreadable``."""
        if len(sealed) < 2 or sealed[0] != FORM:
            raise Unreadable("it is of another version")
        flags = sealed[1]
        record = sealed[2:]
        if flags & _ENCRYPTED:
            record = self._decrypted(question, sealed)
        elif self._salt:
            raise Unreadable("it is not encrypted")
        return self._expanded(record) if flags & _COMPRESSED else record

    def _expanded(self, data: bytes) -> bytes:
        stream = zlib.decompressobj()
        try:
            record = stream.decompress(data, self._most + 1)
        except zlib.error as error:
            raise Unreadable(f"it is damaged: {error}") from None
        if len(record) > self._most or not stream.eof:
            raise Unreadable("it is too large, or cut")
        return record

    def _decrypted(self, question: bytes, sealed: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        start = 2 + _SALT + _NONCE
        if len(sealed) <= start:
            raise Unreadable("it is cut")
        salt, nonce = sealed[2 : 2 + _SALT], sealed[2 + _SALT : start]
        try:
            return self._cipher(salt).decrypt(nonce, sealed[start:], sealed[:2] + question)
        except InvalidTag:
            raise Unreadable("it is damaged, or was encrypted by another installation") from None

    def _cipher(self, salt: bytes) -> AESGCM:
        known = self._ciphers.get(salt)
        if known is not None:
            return known
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        made = AESGCM(HKDF(SHA256(), _KEY, salt, _PURPOSE).derive(self._pepper))
        if len(self._ciphers) >= _MOST_KEYS:
            self._ciphers.clear()
        self._ciphers[salt] = made
        return made
