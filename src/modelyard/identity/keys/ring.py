"""Stored keys as both planes know them."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime

import msgspec
from msgspec import structs

from modelyard.auth.keys import Key, Limits
from modelyard.identity.keys import keys
from modelyard.identity.keys.schema import ApiKey
from modelyard.identity.users.schema import User, known
from modelyard.kernel.ports import Row


def live(
    rows: Iterable[Row], owners: Mapping[tuple[str, str], User], now: float | None = None
) -> dict[bytes, Key]:
    """Every key that is valid now, by the digest of its secret.

    ``owners`` are the users and service accounts by workspace and id; a key of a disabled or
    deleted one is not valid. The secret before a rotation is a key of its own here, with the
    same id, that expires when the overlap ends.
    """
    now = time.time() if now is None else now
    found: dict[bytes, Key] = {}
    for row in rows:
        spec = keys.load(row)
        key = _key(row, spec, owners)
        if key is None or (key.expires_at is not None and key.expires_at <= now):
            continue
        found[bytes.fromhex(spec.digest)] = key
        if spec.previous_digest is None or spec.previous_expires_at is None:
            continue
        ends = datetime.fromisoformat(spec.previous_expires_at).timestamp()
        if ends > now:
            earlier = ends if key.expires_at is None else min(ends, key.expires_at)
            previous = bytes.fromhex(spec.previous_digest)
            found.setdefault(previous, structs.replace(key, expires_at=earlier))
    return found


def _key(row: Row, spec: ApiKey, owners: Mapping[tuple[str, str], User]) -> Key | None:
    owner = None
    if spec.owner is not None:
        owner = owners.get((row.address.workspace, spec.owner))
    if spec.owner is not None and (owner is None or owner.disabled):
        return None
    return Key(
        id=row.address.id,
        workspace=row.address.workspace,
        scopes=tuple(spec.scopes),
        kind="key" if owner is None else owner.kind,
        subject="" if owner is None else f"auth/users/{spec.owner}",
        roles=() if owner is None else tuple(owner.roles),
        attributes={} if owner is None else known(owner.attributes),
        name=spec.name,
        limits=msgspec.convert(structs.asdict(spec.limits), Limits),
        expires_at=None if spec.expires_at is None else spec.expires_at.timestamp(),
        cache_samples=spec.cache_samples,
        serving_only=spec.serving_only,
    )
