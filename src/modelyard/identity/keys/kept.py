"""The file ``admin.key``: the first key's secret, as the command line on this machine reads it."""

import asyncio
import logging
from pathlib import Path

from modelyard.auth.keys import digest
from modelyard.identity.keys.schema import ApiKey
from modelyard.storage import files

_log = logging.getLogger(__name__)


class KeptSecret:
    """Keeps the file true when the key in it is rotated or revoked."""

    def __init__(self, path: Path, pepper: bytes) -> None:
        self._path = path
        self._pepper = pepper

    async def follow(self, before: ApiKey, secret: str | None) -> None:
        """The key had been as ``before`` and has this secret now; None: it was revoked.

        A file that holds no secret of it stays as it is. One that cannot be written is no reason
        to fail: the change has been made, and the log tells.
        """
        await asyncio.to_thread(self._follow, before, secret)

    def _follow(self, before: ApiKey, secret: str | None) -> None:
        try:
            if self._held().hex() not in (before.digest, before.previous_digest):
                return
            if secret is None:
                self._path.unlink(missing_ok=True)
            else:
                files.replace(self._path, secret.encode() + b"\n")
        except FileNotFoundError:
            return  # it may be deleted once its secret is known
        except OSError as error:
            _log.error("%s may hold a secret that is no longer valid: %s", self._path, error)

    def _held(self) -> bytes:
        return digest(
            self._pepper, self._path.read_text(encoding="utf-8", errors="replace").strip()
        )
