"""Where resources are: each declared kind has a table of its own, with the indexes of its own.

A database opens all indexes of a table for each row that is written into it, those of other kinds,
too. The table ``resource`` holds what no process has declared yet, and all that a copy brings:
the next declaration moves it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

from modelyard.storage.dialect import Dialect, literal
from modelyard.storage.driver import Statement, Work

SHARED = "resource"
KEY = ("workspace", "parent", "id", "kind")
NAMES = "^resource_[a-z0-9_]+_[0-9a-f]{8}$"  # of the others, as PostgreSQL matches
# All tables but the shared one; what somebody else calls "resource_…" is none of them.
OWN = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' "
    f"AND name GLOB 'resource_*_{'[0-9a-f]' * 8}' ORDER BY name",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() "
    f"AND tablename ~ '{NAMES}' ORDER BY tablename",
}
_SHAPE = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = 'resource'"


@lru_cache(maxsize=1024)
def table(kind: str) -> str:
    """The name of a declared kind's table. Raises ValueError for what no declaration may have."""
    literal(kind)
    digest = hashlib.sha256(kind.encode()).hexdigest()[:8]
    return f"{SHARED}_{re.sub('[^a-z0-9]', '_', kind.lower())[-28:]}_{digest}"


def make(kinds: Iterable[str], dialect: Dialect) -> Work[None]:
    """Make the tables that are missing, and move the rows of these kinds there."""
    existing = yield Statement(OWN[dialect.name])
    there = {str(name) for (name,) in existing}
    for kind in kinds:
        if table(kind) not in there:
            yield from _make(table(kind), dialect)
    waiting = yield Statement(f"SELECT DISTINCT kind FROM {SHARED}")
    for kind in sorted({str(kind) for (kind,) in waiting} & set(kinds)):
        yield from _move(kind, dialect)


def _move(kind: str, dialect: Dialect) -> Work[None]:
    """Move the rows of a kind; one whose place is taken goes.

    An older version that still runs finds nothing here any more, and may make the same once again.
    """
    into, where = f"INSERT INTO {table(kind)} SELECT * FROM", f"WHERE kind = {literal(kind)}"
    if dialect.name == "postgresql":  # as two statements, the second would find more than the first
        moved = f"WITH moved AS (DELETE FROM {SHARED} {where} RETURNING *)"
        yield Statement(f"{moved} {into} moved ON CONFLICT DO NOTHING")
        return
    yield Statement(f"{into} {SHARED} {where} ON CONFLICT DO NOTHING")
    yield Statement(f"DELETE FROM {SHARED} {where}")


def _make(name: str, dialect: Dialect) -> Work[None]:
    """A table like the shared one: with its columns, its key and its index."""
    if dialect.name == "postgresql":
        yield Statement(f"CREATE TABLE {name} (LIKE {SHARED} INCLUDING DEFAULTS INCLUDING INDEXES)")
        return
    found = yield Statement(_SHAPE)
    shape = str(found[0][0])
    yield Statement(f"CREATE TABLE {name} {shape[shape.index('(') :]}")
    where = "WHERE purge_at IS NOT NULL"
    yield Statement(f"CREATE INDEX {name}_purge ON {name} (purge_at) {where}")


def all_of(columns: Iterable[str], own: Iterable[str]) -> str:
    """The rows of all tables, the ``own`` ones and the shared one, as a source to select from."""
    listed = ", ".join(columns)
    parts = [f"SELECT {listed} FROM {name}" for name in (SHARED, *own)]
    return f"({' UNION ALL '.join(parts)}) AS {SHARED}"
