"""Tokens of an external OpenID Connect issuer (Discovery 1.0, RFC 7517, RFC 9068)."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from modelyard.auth.foreign import claims_of
from modelyard.auth.keys import Key
from modelyard.auth.memory import Remembered
from modelyard.auth.tokens import Claims, Header, caller, header, payload
from modelyard.protocol.errors import Failure
from modelyard.settings.auth import OidcSettings

if TYPE_CHECKING:
    from modelyard.auth.jose import PublicKey

# The document at an https address. Raises OSError or ValueError where there is none.
Fetch = Callable[[str], Awaitable[bytes]]

ALGORITHMS = {"RS256": "RSA", "ES256": "EC", "EdDSA": "OKP", "Ed25519": "OKP"}
TYPES = ("", "jwt", "at+jwt", "application/at+jwt")
REFRESH = 600.0  # seconds between two looks at the issuer's keys
RETRY = 30.0  # seconds at least between two looks, whatever clients send and however it fails
MOST_KEYS = 100
_LOOPBACK = ("127.0.0.1", "localhost", "::1")

log = logging.getLogger("modelyard.auth.oidc")


class Issuer:
    """One issuer: its keys as they were last seen, and who its tokens are of.

    ``read`` never waits: the owner of the event loop calls ``refresh`` whenever ``stale`` says
    so, a token with an unknown key among the reasons. When the issuer is out of reach, the known
    keys stay in use. ``changes`` counts how often its keys became others: whoever keeps what
    ``read`` gave must forget it then, since a key that was withdrawn verifies nothing.
    """

    def __init__(self, settings: OidcSettings, fetch: Fetch) -> None:
        self.changes = 0
        self._settings = settings
        self._fetch = fetch
        self._issuer = settings.issuer or ""
        self._keys: dict[str, list[tuple[str, PublicKey]]] = {}
        self._known: list[Any] = []  # the JWKs behind the keys
        self._loaded = self._tried = float("-inf")
        self._wanted = False  # a key that is not known was met
        self._loading = asyncio.Lock()
        self._read: Remembered[Claims] = Remembered()

    def issued(self, token: str) -> bool:
        """Whether the token says that it is of this issuer; nothing is verified."""
        found = payload(token)
        return found is not None and found.get("iss") == self._issuer

    def read(self, token: str, now: float) -> Claims:
        """Whose a token is.

        Raises ``UNAUTHENTICATED``, with ``details.reason`` as ``Tokens.read`` has it, or
        client, subject or workspace. Raises ``SYSTEM_OVERLOADED`` while no key is known at all.
        """
        mark = self._read.mark(token)
        known = self._read.get(mark, now)
        if known is not None:
            return known
        found = self._verified(token)
        self._check(found, now)
        claims = claims_of(found, self._settings)
        self._read.keep(mark, claims, claims.exp)
        return claims

    def owner(self, token: str, now: float) -> Key | None:
        """The caller that a token of this issuer is of, None for another's. Raises as ``read``."""
        return caller(self.read(token, now)) if self.issued(token) else None

    async def find(self, token: str, now: float) -> Claims:
        """As ``read``; where a key is unknown the issuer is asked first, unless it just was."""
        try:
            return self.read(token, now)
        except Failure:
            if not self._wanted:
                raise
        await self.refresh(now)
        return self.read(token, now)

    def stale(self, now: float) -> bool:
        """Whether it is time to look at the issuer's keys."""
        return now - self._tried >= RETRY and (self._wanted or now - self._loaded >= REFRESH)

    async def refresh(self, now: float) -> bool:
        """Look at the issuer's keys where it is time; whether they became others."""
        async with self._loading:
            if not self.stale(now):
                return False
            self._tried = now
            try:
                found = await self._published()
                keys = _usable(found)
            except (OSError, ValueError) as error:
                log.warning(
                    "the issuer's keys cannot be read; the known ones stay in use",
                    extra={"issuer": self._issuer, "error": str(error), "keys": len(self._known)},
                )
                return False
            self._loaded, self._wanted = now, False
            if found == self._known:
                return False
            self._keys, self._known = keys, found
            self._read = Remembered()
            self.changes += 1
            return True

    async def _published(self) -> list[Any]:
        """The members of the issuer's JWK Set. Raises OSError, ValueError."""
        address = self._settings.jwks_uri
        if address is None:
            where = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
            document = msgspec.json.decode(await self._fetch(where), type=dict[str, Any])
            if document.get("issuer") != self._issuer:
                raise ValueError(f"{where} is another issuer's: {document.get('issuer')!r}")
            address = document.get("jwks_uri")
        if not isinstance(address, str) or not _secure(address):
            raise ValueError(f"jwks_uri is no https address: {address!r}")
        found = msgspec.json.decode(await self._fetch(address), type=dict[str, Any]).get("keys")
        if not isinstance(found, list):
            raise ValueError(f"{address} holds no JWK Set")
        return found[:MOST_KEYS]

    def _verified(self, token: str) -> dict[str, Any]:
        import modelyard.auth.jose as jose

        head = header(token)
        if head.alg not in ALGORITHMS or head.typ.lower() not in TYPES:
            raise self._refused(
                "algorithm", f"It must be signed with one of {', '.join(ALGORITHMS)}."
            )
        key = self._key(head)
        try:
            return msgspec.json.decode(jose.verify(token, key, head.alg), type=dict[str, Any])
        except jose.Unverified:
            raise self._refused("signature", "Its signature is wrong.") from None
        except ValueError:
            raise self._refused("malformed", "Its claims cannot be read.") from None

    def _key(self, head: Header) -> "PublicKey":
        kind = ALGORITHMS[head.alg]
        if head.kid:
            named = self._keys.get(head.kid, [])
        else:
            named = [key for keys in self._keys.values() for key in keys]
        fitting = [key for alg, key in named if key.key_type == kind and alg in ("", head.alg)]
        if len(fitting) == 1:
            return fitting[0]
        self._wanted = True
        if not self._keys:
            raise Failure(
                "SYSTEM_OVERLOADED",
                f"The keys of {self._issuer} are not known yet. Try again in a moment.",
                retry_after=5,
            )
        raise self._refused(
            "unknown_key", "Its key is unknown; the issuer is asked. Try once more in a moment."
        )

    def _check(self, found: dict[str, Any], now: float) -> None:
        if found.get("iss") != self._issuer:
            raise self._refused("issuer", "It is of another issuer.")
        audience = found.get("aud")
        if self._settings.audience not in (audience if isinstance(audience, list) else [audience]):
            raise self._refused("audience", f"It is not meant for {self._settings.audience}.")
        client = found.get("azp", found.get("client_id"))
        if self._settings.clients and client not in self._settings.clients:
            raise self._refused("client", "It was given to a client that is not accepted here.")
        times = {name: found[name] for name in ("exp", "nbf", "iat") if name in found}
        if "exp" not in times or not all(_is_time(at) for at in times.values()):
            raise self._refused("malformed", "Its times (exp, nbf, iat) cannot be read.")
        leeway = self._settings.leeway
        if max(times.get("nbf", 0), times.get("iat", 0)) > now + leeway:
            raise self._refused("not_yet_valid", "It is not valid yet; is a clock wrong?")
        if now >= times["exp"] + leeway:
            raise self._refused("expired", "It has expired.")

    def _refused(self, reason: str, message: str) -> Failure:
        return Failure(
            "UNAUTHENTICATED",
            f"The token of {self._issuer} is not accepted. {message}",
            details={"reason": reason},
        )


def _usable(found: list[Any]) -> dict[str, list[tuple[str, "PublicKey"]]]:
    """The signing keys by ``kid``, each with its ``alg`` (or ""). Raises ValueError without any."""
    import modelyard.auth.jose as jose

    keys: dict[str, list[tuple[str, PublicKey]]] = {}
    for jwk in found:
        if not isinstance(jwk, dict) or jwk.get("use", "sig") != "sig":
            continue
        try:
            key = jose.public_key(jwk)
        except jose.Unverified as error:
            log.info("a key of the issuer is left out", extra={"error": str(error)})
            continue
        kid, alg = jwk.get("kid", ""), jwk.get("alg", "")
        if isinstance(kid, str) and isinstance(alg, str):
            keys.setdefault(kid, []).append((alg, key))
    if not keys:
        raise ValueError("none of the published keys can be used")
    return keys


def _is_time(value: Any) -> bool:
    """Whether this is a NumericDate (RFC 7519), in whole or broken seconds."""
    return type(value) in (int, float) and 0 <= value < 2**53


def _secure(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
