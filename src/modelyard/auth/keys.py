"""API keys: their form, their hash, and the ring that finds a key by what a client sent."""

import hashlib
import math
import secrets
import time
from collections.abc import Callable
from functools import lru_cache

from msgspec import Struct

from modelyard.auth.memory import Remembered
from modelyard.auth.policy import built_in
from modelyard.kernel.ports import Policies
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure

PREFIX = "my-"


class Limits(Struct, frozen=True, omit_defaults=False):
    """How much a key may ask for. ``None`` means no limit; the defaults are seed 001's."""

    requests_per_second: int | None = None
    requests_per_minute: int | None = 1000
    tokens_per_minute: int | None = 100_000
    concurrent_requests: int | None = 50
    requests_per_day: int | None = None
    payload_bytes: int | None = None  # None: the server's own limit


UNLIMITED = Limits(
    requests_per_second=None,
    requests_per_minute=None,
    tokens_per_minute=None,
    concurrent_requests=None,
)


class Key(Principal, frozen=True, kw_only=True):
    """An API key as both planes see it; the secret itself is never kept."""

    name: str = ""
    limits: Limits = Limits()
    expires_at: float | None = None  # Unix seconds
    serving_only: bool = False  # a model key: of no use but where models are called
    cache_samples: bool = False  # opt in: cache and share answers of a temperature above 0


class Pepper(Struct, frozen=True):
    """The installation's secret: 32 bytes in its home folder, never in the database."""

    value: bytes


def new_secret() -> str:
    """A fresh key: 256 bits of randomness, URL-safe, recognisable by its prefix."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(pepper: bytes, secret: str) -> bytes:
    """HMAC-SHA256 of a key under the installation's pepper: what is stored and looked up.

    A key has 256 bits of entropy, so no slow password hash is needed (and 197 ms would be spent
    on each request).
    """
    inner, outer = _pads(pepper)
    return hashlib.sha256(outer + hashlib.sha256(inner + secret.encode()).digest()).digest()


@lru_cache(maxsize=16)
def _pads(pepper: bytes) -> tuple[bytes, bytes]:
    """What RFC 2104 puts before the two texts. OpenSSL's own HMAC takes 13 µs to be set up."""
    key = pepper if len(pepper) <= _BLOCK else hashlib.sha256(pepper).digest()
    key = key.ljust(_BLOCK, b"\0")
    return bytes(one ^ 0x36 for one in key), bytes(one ^ 0x5C for one in key)


_BLOCK = 64  # bytes that SHA-256 takes at a time
_REMEMBERED = 10_000  # keys whose hash is remembered

ReadToken = Callable[[str, float], Key]  # of a token and Unix seconds; raises UNAUTHENTICATED


class KeyRing:
    """Every valid key by its digest: an immutable part of the snapshot.

    ``tokens`` tells whose a JWT is; without it there are none. ``policies`` decide what a key
    may do, without them the built-in ones.
    """

    def __init__(
        self,
        pepper: bytes,
        keys: dict[bytes, Key],
        tokens: ReadToken | None = None,
        policies: Policies | None = None,
    ) -> None:
        self._pepper = pepper
        self._keys = keys
        self._tokens = tokens
        self._policies = policies or built_in()
        # HMAC takes five times as long as a digest from a salted state (1.4 and 0.3 µs; 0.6 for a
        # token), by which it is remembered which key a secret was without keeping the secret.
        self._found = Remembered[Key]()
        self._seen: dict[tuple[bytes, str], Key] = {}

    def allowed(self, secret: str | None, permission: str, now: float) -> Key:
        """The key of ``secret`` if it may do that. Raises UNAUTHENTICATED, PERMISSION_DENIED."""
        if not secret:
            return self.find(secret, now)
        mark = (self._found.mark(secret), permission)
        key = self._seen.get(mark)
        if key is not None and (key.expires_at is None or now < key.expires_at):
            return key
        key = self.find(secret, now)
        self._policies.check(key, permission)
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[mark] = key
        return key

    def known(self, mark: bytes) -> Key | None:
        """The key of a digest, expired or not; None where it is unknown or was revoked."""
        return self._keys.get(mark)

    def of(self, caller: Principal) -> Key:
        """The key that a caller has now; where it has none (a token's owner), one like it."""
        for key in self._keys.values():
            if key.id == caller.id and key.workspace == caller.workspace:
                return key
        return Key(**{name: getattr(caller, name) for name in Principal.__struct_fields__})

    def find(self, secret: str | None, now: float | None = None) -> Key:
        """The key a client presented, or the owner of the token.

        Raises ``UNAUTHENTICATED`` when it is missing, unknown, revoked or expired; the message
        does not tell an unknown key from a revoked one.
        """
        if not secret:
            raise Failure(
                "UNAUTHENTICATED",
                "No API key was sent. Send it as 'Authorization: Bearer <key>' or 'X-API-Key'; "
                "'X-Model-Key' counts only where models are called.",
            )
        at = now or time.time()
        mark = self._found.mark(secret)
        key = self._found.get(mark, at)
        if key is not None:
            return key
        key = self.known(digest(self._pepper, secret))
        if key is None and self._tokens is not None and looks_like_token(secret):
            return self._tokens(secret, at)
        if key is None:
            raise Failure("UNAUTHENTICATED", "The API key is unknown or was revoked.")
        until = math.inf if key.expires_at is None else key.expires_at
        if at >= until:
            raise Failure("UNAUTHENTICATED", "The API key has expired.")
        self._found.keep(mark, key, until)
        return key


def looks_like_token(secret: str) -> bool:
    """Whether this is a compact JWS by its form; it begins with the base64 of a brace."""
    return secret.startswith("ey") and secret.count(".") == 2
