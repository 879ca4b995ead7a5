"""Who may call, and what they may do, as this process knows it: read anew after each change."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from msgspec import structs

from modelyard.auth.keys import Key, KeyRing
from modelyard.auth.oidc import Issuer
from modelyard.auth.sealed import Box
from modelyard.auth.tokens import Claims, Tokens, caller, refuse
from modelyard.identity.keys import keys, ring
from modelyard.identity.keys.bootstrap import EVERYTHING, Secrets
from modelyard.identity.policies import policies
from modelyard.identity.policies.rulebook import Rulebook
from modelyard.identity.sessions.signing import SIGNING, read_signing, rotate_signing
from modelyard.identity.users import users
from modelyard.identity.users.schema import User, known
from modelyard.kernel.ports import Row, Store
from modelyard.kernel.principal import Principal
from modelyard.protocol.filtering import Fields, Filter

log = logging.getLogger(__name__)


class Directory:
    """The identities of an installation; ``ring`` is an immutable part of the snapshot.

    ``published`` is called with each new ring. ``outside`` is another issuer of tokens.
    Implements ``kernel.ports.Policies`` by the policies of the last ``load``.
    """

    FOLLOWED = frozenset((keys.kind, users.kind, policies.kind, SIGNING))

    def __init__(
        self,
        secrets: Secrets,
        issuer: str,
        fields_of: Callable[[str], Fields],
        published: Callable[[KeyRing], None] = lambda _: None,
        outside: Issuer | None = None,
    ) -> None:
        self.box = Box(secrets.pepper)
        self.tokens: Tokens
        self.ring: KeyRing
        self._secrets = secrets
        self._issuer = issuer
        self._fields_of = fields_of
        self._published = published
        self._outside = outside
        self._changes = 0  # of the other issuer's keys, followed until now
        self._users: dict[tuple[str, str], User] = {}
        self._signing: dict[tuple[str, str], dict[str, Any]] = {}  # JWKs by workspace and id
        self._rules = Rulebook((), fields_of)
        self._loading = asyncio.Lock()
        self.late = 0.0  # seconds added to the clock, for tests of expiry

    async def load(self, store: Store) -> None:
        """Take in what is stored now."""
        async with self._loading:
            known = {
                (row.address.workspace, row.address.id): users.load(row)
                for row in await store.everywhere(users.kind)
            }
            await self._rule(await store.everywhere(policies.kind), roles=bool(known))
            self._users = known
            signing = await read_signing(store)
            self.tokens = Tokens(self._issuer, signing, self.box)
            rows = await store.everywhere(keys.kind)
            self._signing = _signing_keys(rows, self._users)
            found = ring.live(rows, self._users)
            self.ring = KeyRing(self._secrets.pepper, found | self._secrets.fixed, self._read, self)
            self._published(self.ring)

    async def _rule(self, rows: Sequence[Row], *, roles: bool) -> None:
        """Obey these policies; Cedar is loaded where somebody has roles, before they may ask."""
        made = partial(Rulebook, rows, self._fields_of, self._rules)
        rules = await asyncio.to_thread(made) if rows else made()
        if roles or rows or self._outside is not None:
            await self._prepare(rules)
        self._rules = rules

    async def _prepare(self, rules: Rulebook) -> None:
        if not rules.ready:
            await asyncio.to_thread(rules.prepare)

    def find(self, secret: str | None) -> Key:
        """The caller of a secret. Raises ``UNAUTHENTICATED``."""
        return self.ring.find(secret, time.time() + self.late)

    async def authenticate(self, secret: str | None) -> Key:
        """As ``find``; another issuer is asked first where a token's key is not known yet."""
        if self._outside is not None and secret and self._outside.issued(secret):
            await self._outside.find(secret, time.time())
        key = self.find(secret)
        if not self._rules.ready and EVERYTHING not in key.scopes:  # scopes may not decide
            await self._prepare(self._rules)
        return key

    async def refresh(self, store: Store) -> None:
        """Look at the other issuer's keys when it is time."""
        if self._outside is None:
            return
        await self._outside.refresh(time.time())
        if self._outside.changes != self._changes:
            self._changes = self._outside.changes
            await self.load(store)  # forgets what was read under the keys of before

    async def issue(self, store: Store, claims: Claims, lifetime: int) -> str:
        """A token of ours; the first one, and one a month, waits for a fresh signing key."""
        if await rotate_signing(store, self.box):
            await self.load(store)
        return self.tokens.issue(claims, lifetime, time.time())

    def signing_key(self, caller: Principal, keyid: str) -> dict[str, Any] | None:
        """The JWK that a caller registered under this id: its key's, or its owner's."""
        if keyid not in (caller.id, caller.subject.rpartition("/")[2]):
            return None
        return self._signing.get((caller.workspace, keyid))

    def user(self, workspace: str, own_id: str) -> User | None:
        """A user or service account that is not deleted."""
        return self._users.get((workspace, own_id))

    def check(self, principal: Principal, permission: str, row: Row | None = None) -> None:
        """Raise ``PERMISSION_DENIED`` unless it is allowed."""
        self._rules.check(principal, permission, row)

    def visible(
        self, principal: Principal, permission: str, kind: str, fields: Fields
    ) -> Filter | None:
        """What a list may show."""
        return self._rules.visible(principal, permission, kind, fields)

    def _read(self, token: str, now: float) -> Key:
        """The owner of a token, with the roles of today and not of the token's making."""
        if self._outside is not None and self._outside.issued(token):
            return caller(self._outside.read(token, now))
        claims = self.tokens.read(token, now)
        if claims.key:
            return self._exchanged(claims, now)
        user = self.user(claims.workspace, claims.sub.rpartition("/")[2])
        if user is None or user.disabled:
            refuse("owner", "The owner of this token was disabled or deleted.")
        if claims.epoch != user.epoch:
            refuse("password", "The password was changed after this token was given.")
        return caller(_today(claims, user))

    def _exchanged(self, claims: Claims, now: float) -> Key:
        """What a key was exchanged for: the key as it is today, narrowed, and for less long."""
        key = self.ring.known(bytes.fromhex(claims.key))
        if key is None or (key.expires_at is not None and key.expires_at <= now):
            refuse("key", "The key that this token was given for has ended, or its owner has.")
        ends = claims.exp if key.expires_at is None else min(claims.exp, key.expires_at)
        return structs.replace(key, narrowed=claims.scopes, expires_at=ends)


def _signing_keys(
    rows: Iterable[Row], owners: dict[tuple[str, str], User]
) -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        if jwk := row.spec.get("signing_key"):
            found[row.address.workspace, row.address.id] = jwk
    found |= {at: dict(user.signing_key) for at, user in owners.items() if user.signing_key}
    return found


def _today(claims: Claims, user: User) -> Claims:
    return structs.replace(claims, roles=tuple(user.roles), attributes=known(user.attributes))
