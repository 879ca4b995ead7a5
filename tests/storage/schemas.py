"""What a database looks like, however it came to be."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from modelyard.storage import migrate
from modelyard.storage.schema import Schema, prepare


def describe(path: Path) -> dict[str, Any]:
    """Tables, columns in order, indexes and the stamped revision; not how they were spelled."""
    with closing(sqlite3.connect(path)) as connection:
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        tables = sorted(str(name) for (name,) in names if not name.startswith("sqlite_"))
        found: dict[str, Any] = {table: _table(connection, table) for table in tables}
        found["revision"] = connection.execute("SELECT * FROM alembic_version").fetchall()
    return found


def _table(connection: sqlite3.Connection, table: str) -> dict[str, Any]:
    # cid, name, type, notnull, default, pk
    columns = [row[1:6] for row in connection.execute(f"PRAGMA table_info({table})")]
    indexes = {}
    for _, name, unique, _, partial in connection.execute(f"PRAGMA index_list({table})"):
        over = [row[2:4] for row in connection.execute(f"PRAGMA index_xinfo({name})") if row[5]]
        if not name.startswith("sqlite_autoindex"):
            indexes[name] = (unique, partial, over)
    keys = sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({table})"))
    return {"columns": columns, "indexes": indexes, "foreign keys": keys}


def by_migrations(path: Path, schema: Schema) -> Path:
    """A database made by the revisions alone, from an empty file."""
    path.touch()
    migrate.upgrade(path, schema.versions)
    return path


def at_once(path: Path, schema: Schema) -> Path:
    """A database made from ``schema.sql``."""
    prepare(path, schema)
    return path
