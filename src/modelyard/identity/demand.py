"""Signed requests (RFC 9421) where the settings demand them for a permission."""

import hashlib
import time
from typing import Any

from modelyard.auth import signatures
from modelyard.auth.signed import Request
from modelyard.identity.directory import Directory
from modelyard.kernel.ports import Replay, Store
from modelyard.kernel.principal import Principal
from modelyard.kernel.route import Sent


class Demand:
    """Refuses a request whose permission must be signed for and that is not."""

    def __init__(
        self,
        patterns: list[str],
        public_url: str | None,
        directory: Directory,
        store: Store,
    ) -> None:
        self._patterns = tuple(patterns)
        self._public_url = public_url
        self._directory = directory
        self._store = store

    async def __call__(self, caller: Principal, permission: str, sent: Sent) -> None:
        """Raise ``UNAUTHENTICATED``, ``PERMISSION_DENIED`` unless signed, or free of that."""
        if not signatures.demanded(permission, self._patterns):
            return
        base = self._public_url or f"{sent.scheme}://{sent.host}"
        request = Request(sent.method, base.rstrip("/") + sent.target, sent.headers, sent.body)

        def key_for(keyid: str) -> dict[str, Any] | None:
            return self._directory.signing_key(caller, keyid)

        async def first_use(keyid: str, nonce: str, until: float) -> bool:
            mark = "\n".join(("nonce", caller.workspace, caller.id, keyid, nonce))
            digest = hashlib.blake2b(mark.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            used = Replay(
                key=digest, workspace=caller.workspace, fingerprint=digest, expires_at=until
            )
            return await self._store.claim(used) is None

        await signatures.verify(request, key_for, first_use, time.time())
