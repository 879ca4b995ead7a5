"""What can be done with API keys, beside reading and changing them."""

import time
from typing import Any

from msgspec import structs

from modelyard.auth.keys import Pepper, digest, new_secret
from modelyard.identity.keys import IssuedApiKey, keys
from modelyard.identity.keys.kept import KeptSecret
from modelyard.identity.keys.schema import (
    DEFAULT_SCOPES,
    ApiKey,
    CreateApiKey,
    KeyLimits,
    RotateApiKey,
)
from modelyard.identity.keys.secrets import affordable, grantable, owned
from modelyard.identity.workspaces import Workspace, workspaces
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address
from modelyard.protocol.errors import Failure, timestamp


@keys.standard_method(
    "create",
    response=IssuedApiKey,
    status=201,
    examples={"request": {"name": "my application", "scopes": ["inference:*"]}},
)
async def create(context: Context, ask: CreateApiKey) -> dict[str, Any]:
    """Create an API key.

    Its secret is in this answer and nowhere else. A key cannot grant what it does not have
    itself, nor larger limits than its own; one with an owner has the owner's roles, too.
    """
    if ask.workspace is not None:
        context.use(ask.workspace)
    await _found_workspace(context)
    await owned(context, ask.owner)
    secret = new_secret()
    spec = ApiKey(
        name=ask.name,
        hint=secret[-4:],
        scopes=list(DEFAULT_SCOPES) if ask.scopes is None else ask.scopes,
        limits=ask.limits or KeyLimits(),
        cache_samples=ask.cache_samples,
        owner=ask.owner,
        serving_only=ask.serving_only,
        signing_key=ask.signing_key,
        expires_at=ask.expires_at,
        digest=digest(context.of(Pepper).value, secret).hex(),
    )
    made = await context.create(keys, spec, labels=ask.labels)
    return keys.show(made.row) | {"key": secret}


@keys.post("rotate", response=IssuedApiKey, examples={"request": {"overlap_seconds": 3600}})
async def rotate(context: Context, item: Item[ApiKey], ask: RotateApiKey) -> dict[str, Any]:
    """Rotate an API key.

    The old secret works until the overlap ends; the one before it stops at once. The caller
    needs every scope of the key, and limits as large, as it learns its secret.
    """
    before, now = item.spec, time.time()
    grantable(context, before.scopes)
    affordable(context, structs.asdict(before.limits))
    await owned(context, before.owner)
    if before.expires_at is not None and before.expires_at.timestamp() <= now:
        raise Failure("CONFLICT", f"The key {item.id} has expired. Create a new one.")
    secret, overlap = new_secret(), ask.overlap_seconds
    spec = structs.replace(
        before,
        digest=digest(context.of(Pepper).value, secret).hex(),
        hint=secret[-4:],
        previous_digest=before.digest if overlap else None,
        previous_expires_at=timestamp(now + overlap) if overlap else None,
        rotated_at=timestamp(now),
    )
    after = await context.update(item, spec, verb="rotate")
    _follow(context, before, secret)
    return keys.show(after.row) | {"key": secret}


@keys.standard_method("delete", permission="key:revoke", audit="key.revoke", operation="revokeKey")
async def revoke(context: Context, item: Item[ApiKey]) -> None:
    """Revoke an API key.

    Both its secrets end at once. It cannot be brought back.
    """
    context.delete(item, verb="revoke")
    _follow(context, item.spec, None)


def _follow(context: Context, before: ApiKey, secret: str | None) -> None:
    """The file of the first key's secret is changed with it."""
    kept = context.of(KeptSecret)

    async def follow() -> None:
        await kept.follow(before, secret)

    context.afterwards.append(follow)


async def _found_workspace(context: Context) -> None:
    """A workspace that is new to this installation is made with its first key."""
    address = Address(workspaces.kind, "", "", context.workspace)
    if await context.ports.store.get(address) is None:
        await context.create(workspaces, Workspace(), own_id=context.workspace, unchecked=True)
