"""Who may call, and what they may do, as this process knows it: read anew after each change."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from msgspec import structs

from modelyard.auth.keys import Key, KeyRing
from modelyard.auth.sealed import Box
from modelyard.auth.tokens import Claims, Tokens, caller, refuse
from modelyard.identity.keys import keys, ring
from modelyard.identity.keys.bootstrap import Secrets
from modelyard.identity.policies import policies
from modelyard.identity.policies.rulebook import Rulebook
from modelyard.identity.sessions.signing import SIGNING, read_signing
from modelyard.identity.users import users
from modelyard.identity.users.schema import User
from modelyard.kernel.filtering import Fields, Filter
from modelyard.kernel.ports import Commit, Row, Store
from modelyard.kernel.principal import Principal

log = logging.getLogger(__name__)

Outside = Callable[[str, float], Key]  # the owner of another issuer's token


class Directory:
    """The identities of an installation; ``ring`` is an immutable part of the snapshot.

    ``published`` is called with each new ring. ``outside`` reads other issuers' tokens.
    Implements ``kernel.ports.Policies`` by the policies of the last ``load``.
    """

    FOLLOWED = frozenset((keys.kind, users.kind, policies.kind, SIGNING))

    def __init__(
        self,
        secrets: Secrets,
        issuer: str,
        fields_of: Callable[[str], Fields],
        published: Callable[[KeyRing], None] = lambda _: None,
        outside: Outside | None = None,
    ) -> None:
        self.box = Box(secrets.pepper)
        self.tokens: Tokens
        self.ring: KeyRing
        self._secrets = secrets
        self._issuer = issuer
        self._fields_of = fields_of
        self._published = published
        self._outside = outside
        self._users: dict[tuple[str, str], User] = {}
        self._rules = Rulebook((), fields_of)
        self._loading = asyncio.Lock()
        self.late = 0.0  # seconds added to the clock, for tests of expiry

    async def load(self, store: Store) -> None:
        """Take in what is stored now."""
        async with self._loading:
            self._users = {
                (row.address.workspace, row.address.id): users.load(row)
                for row in await store.everywhere(users.kind)
            }
            self._rules = Rulebook(await store.everywhere(policies.kind), self._fields_of)
            signing = await read_signing(store)
            self.tokens = Tokens(self._issuer, signing, self.box)
            found = ring.live(await store.everywhere(keys.kind), self._users)
            self.ring = KeyRing(self._secrets.pepper, found | self._secrets.fixed, self._read, self)
            self._published(self.ring)

    def concerns(self, commit: Commit) -> bool:
        """Whether a commit changes who may do what."""
        return any(write.row.address.kind in self.FOLLOWED for write in commit.writes)

    def find(self, secret: str | None) -> Key:
        """The caller of a secret. Raises ``UNAUTHENTICATED``."""
        return self.ring.find(secret, time.time() + self.late)

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
        if self._outside is not None and (key := self._theirs(token, now)) is not None:
            return key
        claims = self.tokens.read(token, now)
        user = self.user(claims.workspace, claims.sub.rpartition("/")[2])
        if user is None or user.disabled:
            refuse("owner", "The owner of this token was disabled or deleted.")
        return structs.replace(caller(_today(claims, user)))

    def _theirs(self, token: str, now: float) -> Key | None:
        return None if self._outside is None else self._outside(token, now)


def _today(claims: Claims, user: User) -> Claims:
    attributes: dict[str, Any] = {
        name: value for name, value in structs.asdict(user.attributes).items() if value is not None
    }
    return structs.replace(claims, roles=tuple(user.roles), attributes=attributes)
