"""Both databases of an installation, opened to be copied: from a snapshot, into one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Protocol

from modelyard.storage import files, homes
from modelyard.storage.copies.tables import TABLES, Sum, Table
from modelyard.storage.progress import SILENT, Progress
from modelyard.storage.schema import Schema, UnusableDatabase, prepare

BATCH = 2000  # rows


class Databases(Protocol):
    """The control plane's database and the ledger's."""

    async def __aenter__(self) -> Databases:
        """Begin: what is read from now on does not change."""

    async def __aexit__(self, kind: object, error: object, at: object) -> None:
        """End; nothing that was written stays unless ``keep`` was called."""

    def rows(self, table: Table) -> AsyncIterator[list[tuple[Any, ...]]]:
        """All rows in the order of the key, in batches."""

    async def count(self, table: Table) -> int:
        """How many rows there are."""

    async def write(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows."""

    async def keep(self) -> None:
        """Make everything that was written durable, at once."""

    async def changed(self) -> bool:
        """Whether others changed it since it was opened, as far as that can be seen."""


async def summed(databases: Databases, table: Table, progress: Progress = SILENT) -> Sum:
    """Count and digest of a table as it is stored."""
    total = Sum()
    async for rows in databases.rows(table):
        for row in rows:
            total.add(table.line(row))
        progress.advance(len(rows))
    return total


def source(table: Table, own: Iterable[str], name: str = "") -> str:
    """What to select all rows of a table from; resources are in the ``own`` tables of kinds, too.

    ``name`` is that of the table, where it is not in the first place that is looked at.
    """
    if table.name == homes.SHARED:
        return homes.all_of(table.all, own)
    return name or table.name


def select(table: Table, source: str) -> str:
    """All rows in the order of the key, of a source."""
    return f"SELECT {', '.join(table.all)} FROM {source} ORDER BY {', '.join(table.key)}"


class _Files:
    """Databases of SQLite, by the name of their schema."""

    def __init__(self) -> None:
        self._open: dict[str, sqlite3.Connection] = {}

    async def rows(self, table: Table) -> AsyncIterator[list[tuple[Any, ...]]]:
        """See ``Databases``."""
        cursor = self._open[table.schema.name].execute(select(table, self._source(table)))
        while batch := cursor.fetchmany(BATCH):
            yield batch

    async def count(self, table: Table) -> int:
        """See ``Databases``."""
        sql = f"SELECT count(*) FROM {self._source(table)}"
        return int(self._open[table.schema.name].execute(sql).fetchone()[0])

    async def write(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """See ``Databases``."""
        marks = ", ".join("?" * len(table.all))
        sql = f"INSERT INTO {table.name} ({', '.join(table.all)}) VALUES ({marks})"
        self._open[table.schema.name].executemany(sql, rows)

    def _source(self, table: Table) -> str:
        found = self._open[table.schema.name].execute(homes.OWN["sqlite"])
        return source(table, [str(name) for (name,) in found])

    def _close(self) -> None:
        for connection in self._open.values():
            connection.close()
        self._open = {}


class FileSource(_Files):
    """A snapshot of each file, while others write."""

    def __init__(self, paths: dict[str, Path]) -> None:
        super().__init__()
        self._paths = paths
        self._watched: list[tuple[sqlite3.Connection, int]] = []

    async def __aenter__(self) -> Databases:
        for name, path in self._paths.items():
            if not path.exists():
                raise UnusableDatabase(f"there is no database at {path}.")
            watching = sqlite3.connect(path, isolation_level=None)
            self._watched.append((watching, _version(watching)))
            connection = sqlite3.connect(path, isolation_level=None)
            connection.execute("BEGIN")
            found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            check_revision(name, str(found[0]))
            self._open[name] = connection
        return self

    async def __aexit__(self, kind: object, error: object, at: object) -> None:
        self._close()
        for connection, _ in self._watched:
            connection.close()

    async def keep(self) -> None:
        """Nothing was written."""

    async def changed(self) -> bool:
        """See ``Databases``."""
        return any(_version(one) != before for one, before in self._watched)


class FileTarget(_Files):
    """New files, which get their names when all is written."""

    def __init__(self, places: dict[Schema, Path], replace: bool) -> None:
        super().__init__()
        self._places = places
        self._replace = replace
        self._unfinished: dict[str, Path] = {}
        self._folders = ExitStack()

    async def __aenter__(self) -> Databases:
        for schema, path in self._places.items():
            if path.exists() and not self._replace:
                raise UnusableDatabase(f"{path} exists; it is replaced with --force only.")
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            unfinished = self._folders.enter_context(files.unfinished(path))
            self._unfinished[schema.name] = unfinished
            prepare(unfinished, schema)
            connection = sqlite3.connect(unfinished, isolation_level=None)
            connection.execute("PRAGMA journal_mode = DELETE")  # all in one file when it is named
            connection.execute("BEGIN IMMEDIATE")
            self._open[schema.name] = connection
        return self

    async def __aexit__(self, kind: object, error: object, at: object) -> None:
        self._close()
        self._folders.close()

    async def changed(self) -> bool:
        """Nobody else knows of it yet."""
        return False

    async def keep(self) -> None:
        """See ``Databases``: each file in turn; both are whole."""
        for connection in self._open.values():
            connection.execute("COMMIT")
            with closing(connection):
                pass
        self._open = {}
        for schema, path in self._places.items():
            for end in ("-wal", "-shm"):
                path.with_name(path.name + end).unlink(missing_ok=True)
            files.rename(self._unfinished.pop(schema.name), path)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA data_version").fetchone()[0])


def check_revision(name: str, found: str) -> None:
    """Raise ``UnusableDatabase`` where a database is not as this version makes it."""
    head = next(table.schema.head for table in TABLES if table.schema.name == name)
    if found != head:
        raise UnusableDatabase(
            f"the {name} database has schema {found}, this version {head}. Start this version's "
            "server once to upgrade it, or use the version that it is of."
        )
