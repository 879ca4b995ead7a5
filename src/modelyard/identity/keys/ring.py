"""Stored keys as the data plane knows them."""

import time

import msgspec
from msgspec import structs

from modelyard.auth.keys import Key, Limits
from modelyard.storage.keys import KeyRow, KeyStore


def live(store: KeyStore, now: float | None = None) -> dict[bytes, Key]:
    """Every key of all workspaces that is valid now, by the digest of its secret.

    The secret before a rotation is a key of its own here, with the same id, that expires when
    the overlap ends.
    """
    now = time.time() if now is None else now
    found: dict[bytes, Key] = {}
    for row in store.live(now):
        key = _key(row)
        found[row.digest] = key
        ends = row.previous_expires_at
        if row.previous_digest is not None and ends is not None and ends > now:
            earlier = ends if key.expires_at is None else min(ends, key.expires_at)
            found.setdefault(row.previous_digest, structs.replace(key, expires_at=earlier))
    return found


def _key(row: KeyRow) -> Key:
    return Key(
        id=row.id,
        workspace=row.workspace,
        scopes=tuple(row.scopes),
        name=row.name,
        limits=msgspec.convert(row.limits, Limits),
        expires_at=row.expires_at,
        cache_samples=row.cache_samples,
    )
