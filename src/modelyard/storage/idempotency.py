"""Answers kept for requests that come again with the same idempotency key."""

from __future__ import annotations

import time

from modelyard.kernel.ports import Replay
from modelyard.storage.dialect import Dialect
from modelyard.storage.driver import Statement, Values, Work

_COLUMNS = "key, workspace, fingerprint, expires_at, status, body"
_PUT = (
    f"INSERT INTO idempotency ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
    "SET workspace = excluded.workspace, fingerprint = excluded.fingerprint, "
    "expires_at = excluded.expires_at, status = excluded.status, body = excluded.body"
)
_EXPIRED = (
    "DELETE FROM idempotency WHERE key IN (SELECT key FROM idempotency WHERE expires_at <= ? "
    "AND key <> ? ORDER BY expires_at LIMIT 100{passing})"
)


def claim(replay: Replay, dialect: Dialect) -> Work[Replay | None]:
    """Take the key where it is free or expired, else find who has it."""
    now = time.time()
    yield Statement(_EXPIRED.format(passing=dialect.passing), (now, replay.key))
    sql = f"{_PUT} WHERE idempotency.expires_at <= ? RETURNING 1"
    while True:
        taken = yield Statement(sql, (*_values(replay), now))
        if taken:
            return None
        found = yield Statement(
            f"SELECT {_COLUMNS} FROM idempotency WHERE key = ?",
            (replay.key,),
        )
        if found:
            key, workspace, fingerprint, expires_at, status, body = found[0]
            return Replay(
                key=bytes(key),
                workspace=workspace,
                fingerprint=bytes(fingerprint),
                expires_at=expires_at,
                status=status,
                body=bytes(body),
            )


def release(replay: Replay) -> Work[None]:
    """Free a key whose request failed; not one that was claimed anew since."""
    sql = "DELETE FROM idempotency WHERE key = ? AND status = 0 AND expires_at = ?"
    yield Statement(sql, (replay.key, replay.expires_at))


def keep(replay: Replay) -> Statement:
    """Store an answer."""
    return Statement(_PUT, _values(replay))


def _values(replay: Replay) -> Values:
    return (
        replay.key,
        replay.workspace,
        replay.fingerprint,
        replay.expires_at,
        replay.status,
        replay.body,
    )
