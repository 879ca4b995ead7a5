"""What can be done with API keys."""

import secrets
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from modelyard.auth.keys import Key, digest, new_secret
from modelyard.identity.keys.kept import KeptSecret
from modelyard.identity.keys.schema import (
    DEFAULT_SCOPES,
    ApiKey,
    ApiKeyList,
    CreateApiKey,
    IssuedApiKey,
    KeyLimits,
    KeyPaging,
    KeyPlace,
    RotateApiKey,
)
from modelyard.kernel import paging
from modelyard.kernel.errors import Failure, timestamp
from modelyard.kernel.http import Context, authorize
from modelyard.kernel.principal import Principal
from modelyard.storage.keys import KeyRow, KeyStore, Position

LATEST = 253_370_764_800.0  # the year 9999, the last that RFC 3339 can write


class Keys:
    """The API keys of an installation.

    ``published`` is called after each change, so that this process obeys it at once; ``kept`` is
    the file of the first key's secret, which is changed with it.
    """

    def __init__(
        self,
        store: KeyStore,
        pepper: bytes,
        published: Callable[[], None] = lambda: None,
        kept: Path | None = None,
    ) -> None:
        self._store = store
        self._pepper = pepper
        self._published = published
        self._kept = None if kept is None else KeptSecret(kept, pepper)

    async def list_keys(self, context: Context, query: KeyPaging) -> ApiKeyList:
        """The keys of a workspace, the newest first. Revoked ones are not among them."""
        workspace = _workspace(context.principal, query.workspace)
        about = f"auth/keys {workspace}"
        after = paging.position(query.page_token, about, Position)
        rows = self._store.page(workspace, after, query.size + 1)
        last = rows[query.size - 1] if len(rows) > query.size else None
        following = paging.token(Position(last.created_at, last.id), about) if last else None
        shown = [_shown(row) for row in rows[: query.size]]
        return ApiKeyList(keys=shown, next_page_token=following)

    async def create(self, context: Context, ask: CreateApiKey) -> IssuedApiKey:
        """Make a key. Its secret is in this answer and nowhere else.

        A key cannot grant what it does not have itself, nor larger limits than its own.
        """
        caller, now = context.principal, time.time()
        workspace = _workspace(caller, ask.workspace)
        secret = new_secret()
        row = KeyRow(
            id="key_" + secrets.token_hex(8),
            workspace=workspace,
            name=ask.name,
            hint=secret[-4:],
            digest=digest(self._pepper, secret),
            scopes=_grantable(caller, ask.scopes or list(DEFAULT_SCOPES)),
            limits=_affordable(caller, structs.asdict(ask.limits or KeyLimits())),
            cache_samples=ask.cache_samples,
            created_at=now,
            created_by=caller.id,
            expires_at=_future(ask.expires_at, now),
        )
        shown = _shown(row)
        event = context.event(f"auth/keys/{row.id}", workspace=workspace, after=shown)
        if not await self._store.create(row, event):
            raise Failure("CONFLICT", "A key with this id exists. Send the request again.")
        self._published()
        return _issued(shown, secret)

    async def rotate(
        self, context: Context, key_id: str, ask: RotateApiKey, query: KeyPlace
    ) -> IssuedApiKey:
        """Give a key a new secret; the old one works until the overlap ends.

        The secret before the old one stops working at once. The caller needs every scope of the
        key, and limits as large, as it learns its secret.
        """
        before, now = self._find(context, key_id, query), time.time()
        _grantable(context.principal, before.scopes)
        _affordable(context.principal, before.limits)
        if before.expires_at is not None and before.expires_at <= now:
            raise Failure("CONFLICT", f"The key {key_id} has expired. Create a new one.")
        secret = new_secret()
        after = structs.replace(
            before,
            digest=digest(self._pepper, secret),
            hint=secret[-4:],
            previous_digest=before.digest if ask.overlap_seconds else None,
            previous_expires_at=now + ask.overlap_seconds if ask.overlap_seconds else None,
            rotated_at=now,
        )
        await self._commit(context, before, after, secret)
        return _issued(_shown(after), secret)

    async def revoke(self, context: Context, key_id: str, query: KeyPlace) -> None:
        """End a key at once, both its secrets. It cannot be brought back."""
        before = self._find(context, key_id, query)
        after = structs.replace(before, previous_digest=None, revoked_at=time.time())
        await self._commit(context, before, after)

    def _find(self, context: Context, key_id: str, place: KeyPlace) -> KeyRow:
        row = self._store.find(_workspace(context.principal, place.workspace), key_id)
        if row is None:
            raise Failure(
                "NOT_FOUND",
                "There is no such key in this workspace. GET /v1/auth/keys lists them.",
                details={"field": "key_id"},
            )
        return row

    async def _commit(
        self, context: Context, before: KeyRow, after: KeyRow, secret: str | None = None
    ) -> None:
        event = context.event(
            f"auth/keys/{before.id}",
            workspace=before.workspace,
            before=_shown(before),
            after=None if after.revoked_at else _shown(after),
        )
        if not await self._store.change(before, after, event):
            raise Failure(
                "CONFLICT", "The key was changed by another request. Read it, then try again."
            )
        self._published()
        if self._kept is not None:
            await self._kept.follow(before, secret)


def _workspace(caller: Principal, named: str | None) -> str:
    """The workspace that is meant: the caller's, or with ``workspace:write`` any."""
    workspace = (named or caller.workspace).strip()
    if workspace != caller.workspace:
        authorize(caller, "workspace:write")
    return workspace


def _grantable(caller: Principal, scopes: list[str]) -> list[str]:
    """The scopes, each once. Raises ``PERMISSION_DENIED`` for one that the caller lacks."""
    wanted = list(dict.fromkeys(scope.strip() for scope in scopes))
    for scope in wanted:
        if not caller.may(scope):
            raise Failure(
                "PERMISSION_DENIED",
                f"This key lacks the permission '{scope}', so it cannot hand it on. Leave it out "
                "of 'scopes', or use a key that has it.",
                details={"field": "scopes", "permission": scope, "scopes": list(caller.scopes)},
            )
    return wanted


def _affordable(caller: Principal, limits: dict[str, Any]) -> dict[str, Any]:
    """The limits. Raises ``PERMISSION_DENIED`` for one that is larger than the caller's.

    With ``workspace:write`` any are allowed: such a caller could as well take a new workspace.
    """
    if not isinstance(caller, Key) or caller.may("workspace:write"):
        return limits
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
    return limits


def _future(at: datetime | None, now: float) -> float | None:
    if at is None:
        return None
    if not now < at.timestamp() < LATEST:
        raise Failure(
            "INVALID_REQUEST",
            f"'expires_at' must be in the future; it is {timestamp(now)} now.",
            details={"field": "expires_at", "rule": "future", "allowed": f"after {timestamp(now)}"},
        )
    return at.timestamp()


def _shown(row: KeyRow) -> ApiKey:
    def time_of(at: float | None) -> str | None:
        return None if at is None else timestamp(at)

    return ApiKey(
        id=row.id,
        name=row.name,
        workspace=row.workspace,
        hint=row.hint,
        scopes=row.scopes,
        limits=msgspec.convert(row.limits, KeyLimits),
        cache_samples=row.cache_samples,
        created_at=timestamp(row.created_at),
        created_by=row.created_by,
        expires_at=time_of(row.expires_at),
        rotated_at=time_of(row.rotated_at),
        previous_expires_at=time_of(row.previous_expires_at),
    )


def _issued(shown: ApiKey, secret: str) -> IssuedApiKey:
    fields: dict[str, Any] = structs.asdict(shown)
    return IssuedApiKey(**fields, key=secret)
