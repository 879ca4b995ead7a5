"""Passwords: what may be one, and their slow hash (argon2id, RFC 9106), off the event loop."""

import asyncio
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from modelyard.protocol.errors import Failure

T = TypeVar("T")

SHORTEST = 12  # characters
LONGEST = 128  # characters
THREADS = 2  # at most this many hashes at once: each takes 19 MiB and one core for 30 ms
QUEUE = 64  # further ones that may wait: about a second

# Of nothing: an unknown user costs what a known one does. Its parameters are those of hashing.py.
_DECOY = (
    "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5IGhhcyB0aGlzIQ$"
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
)


def check_password(password: str, login: str, field: str = "password") -> None:
    """Refuse a new password that is too short, too long, or the login name.

    Raises ``INVALID_REQUEST``; the message does not hold the password. ``field`` is its name.
    """
    text = _normal(password)
    if not SHORTEST <= len(text) <= LONGEST:
        raise _unfit(
            field,
            f"must have {SHORTEST} to {LONGEST} characters; a sentence is easy to keep.",
            "length",
            f"{SHORTEST} to {LONGEST} characters",
        )
    if text.strip().casefold() == _normal(login).strip().casefold():
        raise _unfit(field, "must differ from the login name.", "differs", "not the login name")


def outdated(kept: str) -> bool:
    """Whether a hash was made with other parameters: hash the password anew at the next login."""
    import modelyard.auth.hashing as hashing

    return hashing.outdated(kept)


class Passwords:
    """Hashes and verifies passwords in ``THREADS`` threads, so that logins stall nothing else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._running = 0

    async def hash(self, password: str) -> str:
        """The hash to be kept (PHC string). Raises ``SYSTEM_OVERLOADED``."""
        return await self._run(partial(_hash, _normal(password)))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether ``kept`` is the hash of ``password``.

        ``None``, where there is no such user, takes as long and is never right. Raises
        ``SYSTEM_OVERLOADED`` when too many logins wait.
        """
        right = await self._run(partial(_matches, kept or _DECOY, _normal(password)))
        return right and kept is not None

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[[], T]) -> T:
        if self._running >= THREADS + QUEUE:
            raise Failure(
                "SYSTEM_OVERLOADED", "Too many logins wait. Try again in a moment.", retry_after=1
            )
        self._running += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._running -= 1


def _hash(password: str) -> str:
    import modelyard.auth.hashing as hashing

    return hashing.hashed(password)


def _matches(kept: str, password: str) -> bool:
    import modelyard.auth.hashing as hashing

    return hashing.matches(kept, password)


def _normal(text: str) -> str:
    """NFC, as RFC 8265 has it for passwords: one that is typed differently is the same."""
    return unicodedata.normalize("NFC", text)


def _unfit(field: str, message: str, rule: str, allowed: str) -> Failure:
    return Failure(
        "INVALID_REQUEST",
        f"'{field}' {message}",
        details={"field": field, "rule": rule, "allowed": allowed},
    )
