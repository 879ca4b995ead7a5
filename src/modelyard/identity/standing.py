"""Whether who asked for something long ago still stands, and with which rights."""

import time

from msgspec import structs

from modelyard.identity.keys import keys
from modelyard.identity.users import users
from modelyard.identity.users.schema import known
from modelyard.kernel.ports import Address, Store
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure

USERS = users.kind + "/"


async def today(store: Store, caller: Principal) -> Principal:
    """The caller with the rights it has now. Raises ``UNAUTHENTICATED`` where it has ended.

    One that is not stored (the key of the settings, a person of another issuer) stays as it was.
    """
    if caller.kind == "key" or caller.subject:
        caller = await _key_today(store, caller)
    if not caller.subject.startswith(USERS):
        return caller
    own_id = caller.subject.removeprefix(USERS)
    row = await store.get(Address(users.kind, caller.workspace, "", own_id))
    if row is None:
        return caller
    user = users.load(row)
    if row.deleted_at is not None or user.disabled:
        raise _ended("The user who asked for this was disabled or deleted meanwhile.")
    return structs.replace(caller, roles=tuple(user.roles), attributes=known(user.attributes))


async def _key_today(store: Store, caller: Principal) -> Principal:
    row = await store.get(Address(keys.kind, caller.workspace, "", caller.id))
    if row is None:
        return caller
    key = keys.load(row)
    ends = float("inf") if key.expires_at is None else key.expires_at.timestamp()
    if row.deleted_at is not None or ends <= time.time():
        raise _ended("The key that asked for this was revoked, or has expired meanwhile.")
    return structs.replace(caller, scopes=tuple(key.scopes))


def _ended(text: str) -> Failure:
    return Failure("UNAUTHENTICATED", text + " Ask again with one that is valid.")
