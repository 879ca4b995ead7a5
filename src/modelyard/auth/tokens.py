"""Our own tokens: JWTs (RFC 7519, RFC 9068) that say who somebody is until they expire."""

import secrets
from binascii import a2b_base64
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import msgspec
from msgspec import Struct, structs

from modelyard.auth.keys import Key
from modelyard.auth.memory import Remembered
from modelyard.auth.sealed import Box, Unsealable
from modelyard.auth.signing import LONGEST, SigningKey, SigningKeys, purpose
from modelyard.protocol.errors import Failure

if TYPE_CHECKING:
    from joserfc.jwk import ECKey

AUDIENCE = "modelyard"
TYPE = "at+jwt"
LONGEST_TOKEN = 32_768  # characters: 64 scopes of 129, granted and asked for, take 22,000
AHEAD = 5  # seconds that another server's clock may be ahead of ours
_ALGORITHM = "ES256"
_URL_SAFE = str.maketrans("-_", "+/")


class Claims(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a token says. The last block is written by ``Tokens.issue``; times are Unix seconds.

    ``sub`` is the name of the user or the service account (``auth/users/user_1``). ``grants`` are
    permissions that it has beside those of its roles. ``scope`` are the permissions that it was
    narrowed to, separated by spaces; None: all of its owner's. ``name`` is how people call the
    owner. ``key`` is the digest of the key that the token was exchanged for, in hex: it may do
    what that key may, as long. ``epoch`` counts the owner's passwords: the token is of that one.
    """

    sub: str
    workspace: str
    kind: Literal["user", "service_account"] = "user"
    roles: tuple[str, ...] = ()
    attributes: dict[str, str | int] = {}
    grants: tuple[str, ...] = ()
    scope: str | None = None
    name: str = ""
    key: str = ""
    epoch: int = 0

    iss: str = ""
    aud: str = ""
    client_id: str = ""
    jti: str = ""
    iat: int = 0
    nbf: int = 0
    exp: int = 0

    @property
    def scopes(self) -> tuple[str, ...] | None:
        """``scope`` in parts."""
        return None if self.scope is None else tuple(self.scope.split())


class Header(Struct, frozen=True):
    """The protected header of a compact JWS, as far as it chooses a key."""

    alg: str
    kid: str = ""
    typ: str = ""


class Tokens:
    """Issues and reads the tokens of one installation, under the keys it has now.

    ``issuer`` is in every token: another installation's is refused. Raises nothing itself; a key
    that cannot be opened is as if it were unknown.
    """

    def __init__(self, issuer: str, keys: SigningKeys, box: Box) -> None:
        self._issuer = issuer
        self._keys = keys
        self._box = box
        self._opened: dict[str, ECKey] = {}
        self._read: Remembered[Claims] = Remembered()

    def issue(self, claims: Claims, lifetime: int, now: float) -> str:
        """A token that expires ``lifetime`` seconds (1 to 86,400) after ``now``.

        Raises ValueError for another lifetime, or without a usable signing key.
        """
        import modelyard.auth.jose as jose

        if not 0 < lifetime <= LONGEST:
            raise ValueError(f"a token lives 1 to {LONGEST} seconds")
        signer = self._keys.signer(now)
        issued = structs.replace(
            claims,
            iss=self._issuer,
            aud=AUDIENCE,
            client_id=claims.sub.rpartition("/")[2],
            jti=secrets.token_hex(12),
            iat=int(now),
            nbf=int(now),
            exp=int(now) + lifetime,
        )
        header = {"alg": _ALGORITHM, "kid": signer.kid, "typ": TYPE}
        return jose.sign(header, msgspec.json.encode(issued), self._key(signer))

    def read(self, token: str, now: float) -> Claims:
        """What a token of ours says.

        Raises ``UNAUTHENTICATED``; ``details.reason`` is malformed, algorithm, unknown_key,
        signature, issuer, audience, not_yet_valid or expired.
        """
        mark = self._read.mark(token)
        known = self._read.get(mark, now)
        if known is not None:
            return known
        claims = self._verified(token, now)
        self._check(claims, now)
        self._read.keep(mark, claims, claims.exp)
        return claims

    def _verified(self, token: str, now: float) -> Claims:
        import modelyard.auth.jose as jose

        head = header(token)
        if head.alg != _ALGORITHM or head.typ.lower() != TYPE:
            refuse("algorithm", "This is no token of this server: it is not signed as one.")
        key = self._keys.find(head.kid, now)
        if key is None:
            refuse("unknown_key", "The token was signed with a key that is not in use any more.")
        try:
            payload = jose.verify(token, self._key(key), _ALGORITHM)
        except jose.Unverified:
            refuse("signature", "The token's signature is wrong: it was changed, or forged.")
        except Unsealable:
            refuse("unknown_key", "The token was signed with a key that cannot be read here.")
        try:
            return msgspec.json.decode(payload, type=Claims)
        except ValueError:
            refuse("malformed", "The token's claims cannot be read.")

    def _check(self, claims: Claims, now: float) -> None:
        if claims.iss != self._issuer:
            refuse("issuer", "The token is of another installation.")
        if claims.aud != AUDIENCE:
            refuse("audience", f"The token is not meant for {AUDIENCE!r}.")
        if now < claims.nbf - AHEAD:
            refuse("not_yet_valid", "The token is not valid yet; look at your clock, or wait.")
        if now >= claims.exp:
            refuse("expired", "The token has expired.")

    def _key(self, key: SigningKey) -> "ECKey":
        import modelyard.auth.jose as jose

        opened = self._opened.get(key.kid)
        if opened is None:
            opened = jose.private_key(self._box.open(purpose(key.kid), key.sealed))
            self._opened[key.kid] = opened
        return opened


def caller(claims: Claims) -> Key:
    """Who a token's owner is to both planes: a key with the default limits.

    What it may do is decided by its roles, attributes and grants, and by what it was narrowed to.
    """
    name = claims.sub.rpartition("/")[2]
    return Key(
        id=name,
        workspace=claims.workspace,
        scopes=claims.grants,
        kind=claims.kind,
        subject=claims.sub,
        roles=claims.roles,
        attributes=claims.attributes,
        narrowed=claims.scopes,
        name=claims.name or name,
        expires_at=claims.exp,
    )


def header(token: str) -> Header:
    """The header of a compact JWS; nothing is verified. Raises ``UNAUTHENTICATED``."""
    head, _, rest = token.partition(".")
    if len(token) > LONGEST_TOKEN or rest.count(".") != 1 or not token.isascii():
        refuse("malformed", "This is no token: three parts in base64url, separated by dots.")
    try:
        return msgspec.json.decode(_decoded(head), type=Header)
    except (ValueError, RecursionError):
        refuse("malformed", "The token's header cannot be read.")


def payload(token: str) -> dict[str, Any] | None:
    """What a token says without any proof, None where it cannot be read."""
    parts = token.split(".")
    if len(token) > LONGEST_TOKEN or len(parts) != 3:
        return None
    try:
        return msgspec.json.decode(_decoded(parts[1]), type=dict[str, Any])
    except (ValueError, RecursionError):
        return None


def _decoded(part: str) -> bytes:
    return a2b_base64(part.translate(_URL_SAFE) + "=" * (-len(part) % 4))


def refuse(reason: str, message: str) -> NoReturn:
    """Raise ``UNAUTHENTICATED`` with the way out."""
    raise Failure(
        "UNAUTHENTICATED",
        f"{message} Get a new one: POST /v1/auth/login or /v1/auth/token.",
        details={"reason": reason},
    )
