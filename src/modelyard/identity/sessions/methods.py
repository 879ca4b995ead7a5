"""Signing in with a password, or as a service; and who one is then."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Coroutine
from typing import Any

from msgspec import Struct, structs

from modelyard.auth import oauth, signing
from modelyard.auth.keys import Key, Pepper, digest
from modelyard.auth.passwords import Passwords, outdated
from modelyard.auth.permissions import Permissions
from modelyard.auth.tokens import Claims
from modelyard.identity.directory import Directory
from modelyard.identity.sessions.schema import JwkSet, Login, Me, Session, SetPassword
from modelyard.identity.sessions.signing import read_signing
from modelyard.identity.users import users
from modelyard.identity.users.methods import with_password
from modelyard.identity.users.schema import User, known
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address, Row
from modelyard.kernel.principal import Principal
from modelyard.kernel.route import Raw
from modelyard.protocol.errors import Failure, timestamp

log = logging.getLogger(__name__)

TRIES = 10  # wrong passwords of one login name in WINDOW seconds, in one process
WINDOW = 900.0
_NAMES = 10_000  # whose wrong passwords are remembered


class Lifetime(Struct, frozen=True):
    """Seconds that a token lives."""

    seconds: int


class Attempts:
    """Counts wrong passwords by login name, so that nobody guesses on."""

    def __init__(self) -> None:
        self._wrong: OrderedDict[str, list[float]] = OrderedDict()
        self._recording: set[asyncio.Task[None]] = set()

    def check(self, login: str, now: float) -> None:
        """Raise ``RATE_LIMITED`` after too many wrong ones, those being looked at included."""
        recent = [at for at in self._wrong.get(login, ()) if at > now - WINDOW]
        if len(recent) >= TRIES:
            wait = recent[-TRIES] + WINDOW - now
            raise Failure(
                "RATE_LIMITED",
                f"{TRIES} wrong passwords were given for this login. Try again later.",
                details={"limit": TRIES, "window_seconds": int(WINDOW)},
                retry_after=wait,
            )

    def count(self, login: str, now: float) -> None:
        """One more, which is wrong until it is known to be right."""
        recent = [at for at in self._wrong.pop(login, ()) if at > now - WINDOW]
        self._wrong[login] = [*recent, now][-TRIES:]
        while len(self._wrong) > _NAMES:
            self._wrong.popitem(last=False)

    def forget(self, login: str) -> None:
        """The right one was given."""
        self._wrong.pop(login, None)

    def record(self, work: Coroutine[Any, Any, None]) -> None:
        """Write down a wrong one while the client is answered."""
        task = asyncio.get_running_loop().create_task(work)
        self._recording.add(task)
        task.add_done_callback(self._recorded)

    def _recorded(self, task: asyncio.Task[None]) -> None:
        self._recording.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a wrong password is not in the audit trail", extra={"error": str(error)})

    def take_back(self, login: str) -> None:
        """The last one was not looked at."""
        if tried := self._wrong.get(login):
            tried.pop()


async def login(context: Context, ask: Login) -> Session:
    """Sign in with a password; the token expires after `auth.token_seconds`."""
    row = await context.ports.store.find(users.kind, ("login",), ask.login)
    user = None if row is None else users.load(row)
    kept = user.password_hash if user is not None and not user.disabled else ""
    if not await _right(context, ask.login, kept, ask.password):
        _refuse(context, row)
        raise Failure("UNAUTHENTICATED", "The login or the password is wrong.")
    assert row is not None
    assert user is not None
    address = row.address
    context.principal = Principal(
        id=address.id, workspace=address.workspace, scopes=(), kind="user", subject=address.name
    )
    context.use(None)
    if outdated(kept):
        renewed = await context.of(Passwords).hash(ask.password)
        spec = structs.replace(user, password_hash=renewed)
        await context.update(Item(users, row), spec, unchecked=True)
    context.event(address.name, workspace=address.workspace, verb="session.create")
    return await _session(context, address, user)


async def set_password(context: Context, ask: SetPassword) -> Session:
    """Change one's own password; the tokens of before end, and here is another."""
    place, _, own_id = context.principal.subject.rpartition("/")
    address = Address(place or users.kind, context.principal.workspace, "", own_id)
    row = await context.ports.store.get(address) if own_id else None
    user = None if row is None else users.load(row)
    if row is None or user is None or not user.password_hash:
        raise Failure(
            "CONFLICT",
            "You have no password here: you signed in with a key, or at another issuer. Change it "
            "there, or rotate the key.",
        )
    if not await _right(context, user.login, user.password_hash, ask.password):
        _refuse(context, row)
        raise Failure(
            "INVALID_REQUEST",
            "'password' is not the password that you have now.",
            details={"field": "password", "rule": "current"},
        )
    changed = await with_password(context, user, ask.new_password, "new_password")
    item = Item(users, row)
    await context.update(item, changed, verb="set-password", unchecked=True)
    return await _session(context, address, changed)


async def _right(context: Context, login: str, kept: str, password: str) -> bool:
    """Whether it is the password; counted before it is known, as many may be tried at once."""
    now, attempts = time.time(), context.of(Attempts)
    attempts.check(login, now)
    attempts.count(login, now)
    try:
        right = await context.of(Passwords).verify(kept or None, password)
    except Failure:
        attempts.take_back(login)
        raise
    if right:
        attempts.forget(login)
    return right


def _refuse(context: Context, row: Row | None) -> None:
    """The audit trail knows of wrong passwords; no answer tells by its time that there is one."""
    if row is not None:
        context.event(row.address.name, workspace=row.address.workspace, verb="session.refuse")
        context.of(Attempts).record(context.ports.store.commit(context.commit))


async def _session(context: Context, address: Address, user: User) -> Session:
    claims = _claims(address.name, address.workspace, user)
    lifetime, store = context.of(Lifetime).seconds, context.ports.store
    return Session(
        access_token=await context.of(Directory).issue(store, claims, lifetime),
        token_type="Bearer",  # noqa: S106 (no password)
        expires_in=lifetime,
        user_id=address.id,
        workspace=address.workspace,
    )


async def token(context: Context, body: bytes) -> Raw:
    """Exchange a service account's key for a token (OAuth 2.0 client credentials)."""
    directory = context.of(Directory)
    try:
        ask = oauth.read(context.headers, body)
        key = oauth.client(ask, directory.find)
        user = directory.user(key.workspace, key.subject.rpartition("/")[2])
        if user is None:
            raise oauth.Refused(
                "invalid_client", "This key has no owner. Make one with the service's 'owner'."
            )
        context.principal = key
        scope = oauth.narrowed(ask, context.may)
    except oauth.Refused as refused:
        return _raw(oauth.refused(refused))
    claims = _claims(key.subject, key.workspace, user)
    mark = digest(context.of(Pepper).value, ask.secret).hex()
    claims = structs.replace(claims, grants=key.scopes, scope=scope, key=mark)
    lifetime = context.of(Lifetime).seconds
    if key.expires_at is not None:
        lifetime = max(1, min(lifetime, int(key.expires_at - time.time())))
    context.event(key.subject, workspace=key.workspace, verb="session.create")
    issued = await directory.issue(context.ports.store, claims, lifetime)
    return _raw(oauth.given(issued, lifetime, scope))


async def me(context: Context) -> Me:
    """Who asks, and which of this API's permissions they have."""
    caller = context.principal
    key = caller if isinstance(caller, Key) else None
    ends = None if key is None else key.expires_at
    return Me(
        id=caller.id,
        kind=caller.kind,
        name=caller.id if key is None else key.name,
        workspace=caller.workspace,
        subject=caller.subject or None,
        roles=list(caller.roles),
        attributes=caller.attributes,
        scopes=list(caller.scopes),
        expires_at=None if ends is None else timestamp(ends),
        permissions=[one for one in context.of(Permissions).names if context.may(one)],
    )


async def jwks(context: Context) -> JwkSet:
    """The public keys that verify this installation's tokens."""
    keys = await read_signing(context.ports.store)
    found: dict[str, Any] = signing.jwks(keys, context.of(Directory).box, time.time())
    return JwkSet(keys=found["keys"])


def _claims(name: str, workspace: str, user: User) -> Claims:
    return Claims(
        sub=name,
        name=user.display_name or user.login,
        workspace=workspace,
        kind=user.kind,
        roles=tuple(user.roles),
        attributes=known(user.attributes),
        epoch=user.epoch,
    )


def _raw(answer: oauth.TokenAnswer) -> Raw:
    headers = {name: value for name, value in answer.headers.items() if name != "Content-Type"}
    return Raw(answer.body, "application/json", answer.status, headers)
