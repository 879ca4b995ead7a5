"""What a key may be given: nobody hands on what they lack, nor larger limits than their own."""

import time
from typing import Any

from msgspec import structs

from modelyard.auth.keys import Key
from modelyard.identity.keys.schema import ApiKey
from modelyard.identity.signing_keys import check_public
from modelyard.identity.users import users
from modelyard.identity.users.methods import assumable
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure, timestamp

LATEST = 253_370_764_800.0  # the year 9999, the last that RFC 3339 can write


async def admit(context: Context, key: ApiKey, item: Item[ApiKey] | None) -> ApiKey:
    """Check the scopes, the limits and the expiry that are new."""
    before = None if item is None else item.spec
    if before is None or key.scopes != before.scopes:
        key = structs.replace(key, scopes=grantable(context, key.scopes))
    if before is None or key.limits != before.limits:
        affordable(context, structs.asdict(key.limits))
    if key.signing_key is not None:
        check_public(dict(key.signing_key))
    if before is not None and key.signing_key != before.signing_key:
        grantable(context, before.scopes)  # whose key verifies may sign as this one
        await owned(context, before.owner)
    if key.expires_at is not None and (before is None or key.expires_at != before.expires_at):
        now = time.time()
        if not now < key.expires_at.timestamp() < LATEST:
            raise Failure(
                "INVALID_REQUEST",
                f"'expires_at' must be in the future; it is {timestamp(now)} now.",
                details={
                    "field": "expires_at",
                    "rule": "future",
                    "allowed": f"after {timestamp(now)}",
                },
            )
    return key


def grantable(context: Context, scopes: list[str]) -> list[str]:
    """The scopes, each once. Raises ``PERMISSION_DENIED`` for one that the caller lacks."""
    wanted = list(dict.fromkeys(scope.strip() for scope in scopes))
    for scope in wanted:
        if not context.may(scope):
            raise Failure(
                "PERMISSION_DENIED",
                f"This key lacks the permission '{scope}', so it cannot hand it on. Leave it out "
                "of 'scopes', or use a key that has it.",
                details={
                    "field": "scopes",
                    "permission": scope,
                    "scopes": list(context.principal.scopes),
                },
            )
    return wanted


def affordable(context: Context, limits: dict[str, Any]) -> None:
    """Raise ``PERMISSION_DENIED`` for a limit that is larger than the caller's.

    With ``workspace:write`` any are allowed: such a caller could as well take a new workspace.
    """
    caller: Principal = context.principal
    if not isinstance(caller, Key) or context.may("workspace:write"):
        return
    for name, own in structs.asdict(caller.limits).items():
        wanted = limits.get(name)
        if own is not None and (wanted is None or wanted > own):
            raise Failure(
                "PERMISSION_DENIED",
                f"'limits.{name}' is larger than this key's own, which is {own}. Ask for at most "
                "that, or use a key with the permission 'workspace:write'.",
                details={
                    "field": f"limits.{name}",
                    "allowed": own,
                    "permission": "workspace:write",
                },
            )


async def owned(context: Context, owner: str | None) -> None:
    """Refuse what would let a caller act as a key that may do more, by its owner's roles."""
    if owner is None:
        return
    context.check("user:write")
    row = await context.ports.store.get(Address(users.kind, context.workspace, "", owner))
    if row is not None:
        assumable(context, users.load(row), "owner")
