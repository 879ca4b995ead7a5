"""Secrets of webhooks: they sign, so they are kept encrypted and not hashed."""

from __future__ import annotations

import base64
from collections.abc import Callable

from msgspec import Struct

PURPOSE = "webhook"


class Secrets(Struct, frozen=True):
    """Seals and opens them: ``auth.sealed.Box`` with its purpose."""

    seal_bytes: Callable[[bytes], bytes]
    open_bytes: Callable[[bytes], bytes]

    def seal(self, secret: str) -> str:
        """As it is stored."""
        return base64.b64encode(self.seal_bytes(secret.encode())).decode()

    def open(self, sealed: str) -> str:
        """As its receiver has it. Raises ``auth.sealed.Unsealable``."""
        return self.open_bytes(base64.b64decode(sealed)).decode()
