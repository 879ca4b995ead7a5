"""API keys in the database: digests only, every query but one within a workspace."""

import sqlite3
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from modelyard.kernel.events import Event
from modelyard.storage import events
from modelyard.storage.database import Database


class Position(NamedTuple):
    """Where a page of keys ended."""

    created_at: float
    id: str


class KeyRow(Struct, frozen=True, kw_only=True):
    """A stored key. Times are Unix seconds; ``limits`` are the fields of ``auth.keys.Limits``.

    ``previous_digest`` is that of the secret before the last rotation, valid until
    ``previous_expires_at``. The order of the fields is that of the columns.
    """

    id: str
    workspace: str
    name: str
    hint: str
    digest: bytes
    previous_digest: bytes | None = None
    previous_expires_at: float | None = None
    scopes: list[str]
    limits: dict[str, int | None]
    cache_samples: bool = False
    created_at: float
    created_by: str
    expires_at: float | None = None
    rotated_at: float | None = None
    revoked_at: float | None = None


_PAGE = """
SELECT * FROM api_key
WHERE workspace = ? AND revoked_at IS NULL AND (created_at, id) < (?, ?)
ORDER BY created_at DESC, id DESC LIMIT ?
"""
_ONE = "SELECT * FROM api_key WHERE workspace = ? AND id = ? AND revoked_at IS NULL"
_KNOWN = "SELECT 1 FROM api_key WHERE workspace = ? AND id = ?"
_LIVE = """
SELECT * FROM api_key WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > ?)
"""
_INSERT = """
INSERT OR IGNORE INTO api_key VALUES (
    :id, :workspace, :name, :hint, :digest, :previous_digest, :previous_expires_at, :scopes,
    :limits, :cache_samples, :created_at, :created_by, :expires_at, :rotated_at, :revoked_at
)
"""
_CHANGE = """
UPDATE api_key SET
    digest = :digest, hint = :hint, previous_digest = :previous_digest,
    previous_expires_at = :previous_expires_at, rotated_at = :rotated_at, revoked_at = :revoked_at
WHERE workspace = :workspace AND id = :id AND digest = :expected AND revoked_at IS NULL
"""


class KeyStore:
    """The keys of every workspace. Revoked ones are kept for the record and never found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(self, workspace: str, after: Position | None, size: int) -> list[KeyRow]:
        """At most ``size`` keys of a workspace, the newest first, those after a position."""
        since = after or Position(float("inf"), "")
        return self._rows(_PAGE, (workspace, *since, size))

    def find(self, workspace: str, key_id: str) -> KeyRow | None:
        """One key of a workspace, or None."""
        return next(iter(self._rows(_ONE, (workspace, key_id))), None)

    def known(self, workspace: str, key_id: str) -> bool:
        """Whether there is such a key, or was one before it was revoked."""
        return bool(self._database.read(_KNOWN, (workspace, key_id)))

    def live(self, now: float) -> list[KeyRow]:
        """Every key of all workspaces that is neither revoked nor expired: for the key ring."""
        return self._rows(_LIVE, (now,))

    async def create(self, row: KeyRow, event: Event) -> bool:
        """Store a new key with its event; False where the id or the secret exists."""
        return await self._database.write(lambda connection: insert(connection, row, event))

    async def change(self, before: KeyRow, after: KeyRow, event: Event) -> bool:
        """Replace secrets and times of a key; False where it is not as ``before`` any more."""

        def work(connection: sqlite3.Connection) -> bool:
            found = {"workspace": before.workspace, "id": before.id, "expected": before.digest}
            values = _values(after) | found
            if connection.execute(_CHANGE, values).rowcount == 0:
                return False
            events.record(connection, event)
            return True

        return await self._database.write(work)

    def _rows(self, sql: str, parameters: tuple[Any, ...]) -> list[KeyRow]:
        return [_row(values) for values in self._database.read(sql, parameters)]


def insert(connection: sqlite3.Connection, row: KeyRow, event: Event) -> bool:
    """Store a new key and its event within a transaction; False where the id exists."""
    if connection.execute(_INSERT, _values(row)).rowcount == 0:
        return False
    events.record(connection, event)
    return True


def _row(values: tuple[Any, ...]) -> KeyRow:
    named = dict(zip(KeyRow.__struct_fields__, values, strict=True))
    named["scopes"] = msgspec.json.decode(named["scopes"])
    named["limits"] = msgspec.json.decode(named["limits"])
    named["cache_samples"] = bool(named["cache_samples"])
    return KeyRow(**named)


def _values(row: KeyRow) -> dict[str, Any]:
    return msgspec.structs.asdict(row) | {
        "scopes": msgspec.json.encode(row.scopes).decode(),
        "limits": msgspec.json.encode(row.limits).decode(),
    }
