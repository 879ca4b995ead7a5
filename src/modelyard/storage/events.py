"""The audit trail in the database."""

import sqlite3
from typing import Any

import msgspec

from modelyard.kernel.events import Event
from modelyard.storage.database import Database


def record(connection: sqlite3.Connection, event: Event) -> None:
    """Write ``event`` within the transaction of the change that it tells of."""
    connection.execute(
        "INSERT INTO event (id, at, workspace, actor, verb, resource, request_id, before, after) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            event.id,
            event.at,
            event.workspace,
            event.actor,
            event.verb,
            event.resource,
            event.request_id,
            _text(event.before),
            _text(event.after),
        ),
    )


async def append(database: Database, event: Event) -> None:
    """Write the event of a change that is not in the database itself."""
    await database.write(lambda connection: record(connection, event))


def latest(database: Database) -> int:
    """The number of the newest event; 0 when there is none."""
    return int(database.read("SELECT coalesce(max(rowid), 0) FROM event")[0][0])


def between(database: Database, after: int, last: int, verb: str) -> list[tuple[str, str]]:
    """Id and workspace of the events of ``verb`` numbered ``after`` + 1 to ``last``."""
    sql = "SELECT id, workspace FROM event WHERE rowid > ? AND rowid <= ? AND verb = ?"
    return [(str(row[0]), str(row[1])) for row in database.read(sql, (after, last, verb))]


def _text(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
