"""The ledger's tables in a file of SQLite, as the loader fills them."""

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from modelyard.storage import schema
from modelyard.storage.ledger import statements
from modelyard.storage.ledger.record import Record

_OLDEST = (3, 38)  # of SQLite: STRICT tables, JSON functions built in

_HERE = Path(__file__).parent
LEDGER = schema.Schema(
    name="ledger",
    sql=_HERE / "schema.sql",
    versions=_HERE / "migrations" / "versions",
    head="0001",
)

decode = msgspec.json.Decoder(Record).decode
_log = logging.getLogger(__name__)


class Brought(NamedTuple):
    """What a batch of lines became."""

    rows: int
    damaged: int  # lines that are no record


class Tables(Protocol):
    """Where records are loaded to. Raises sqlite3.Error and OSError."""

    def load(self, name: str, lines: Callable[[int], bytes]) -> Brought | None:
        """Load the next lines of a file, in one transaction; None when there are none.

        ``lines`` gives those from a position in the file.
        """

    def settle(self, name: str) -> int:
        """Bring to the disk what was loaded of a file; how many of its lines were no record."""

    def forget(self, gone: Callable[[str], bool]) -> None:
        """Drop the positions of files that are gone."""

    def close(self) -> None:
        """Close the database."""


class FileTables:
    """The tables in SQLite. Raises ``schema.UnusableDatabase``."""

    def __init__(self, database: Path) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise RuntimeError(f"SQLite 3.38 is needed, this is {sqlite3.sqlite_version}.")
        schema.prepare(database, LEDGER)
        self._db = sqlite3.connect(
            database, timeout=30.0, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode = wal")
        self._db.execute("PRAGMA synchronous = normal")
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: a disk sync each 16 MB
        self._db.execute("PRAGMA temp_store = memory")

    def close(self) -> None:
        """See ``Tables``."""
        self._db.close()

    def load(self, name: str, lines: Callable[[int], bytes]) -> Brought | None:
        """See ``Tables``."""
        with self._transaction():
            position, damaged = self._progress(name)
            data = lines(position)
            if not data:
                return None
            before = self._last()
            bad = self._insert(data)
            self._db.execute(statements.USAGE, (before,))
            self._db.execute(statements.FAILURES, (before,))
            self._db.execute(
                "INSERT OR REPLACE INTO ledger_file VALUES (?, ?, ?)",
                (name, position + len(data), damaged + bad),
            )
            brought = self._last() - before
        if bad:
            _log.error("%d lines of %s before byte %d are no record", bad, name, position)
        return Brought(brought, bad)

    def settle(self, name: str) -> int:
        """See ``Tables``."""
        self._db.execute("PRAGMA synchronous = full")  # this commit syncs those before it
        try:
            with self._transaction():
                sql = "UPDATE ledger_file SET position = position WHERE name = ?"
                self._db.execute(sql, (name,))
        finally:
            self._db.execute("PRAGMA synchronous = normal")
        return self._progress(name)[1]

    def forget(self, gone: Callable[[str], bool]) -> None:
        """See ``Tables``."""
        with self._transaction():
            for (name,) in self._db.execute("SELECT name FROM ledger_file").fetchall():
                if gone(name):
                    self._db.execute("DELETE FROM ledger_file WHERE name = ?", (name,))

    def _insert(self, data: bytes) -> int:
        """Insert the records of complete lines; returns how many lines are none.

        Every line must have become a row. If not, a line is damaged or was loaded before: then
        the lines are taken one by one.
        """
        lines = data.count(b"\n")
        self._db.execute("SAVEPOINT batch")
        try:
            array = "[" + data[:-1].replace(b"\n", b",").decode() + "]"
            if self._db.execute(statements.INSERT, (array,)).rowcount == lines:
                self._db.execute("RELEASE batch")
                return 0
        except UnicodeDecodeError:
            pass
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            if not _malformed(error):
                raise
        self._db.execute("ROLLBACK TO batch")
        self._db.execute("RELEASE batch")
        return sum(not self._insert_one(line) for line in data.split(b"\n")[:-1])

    def _insert_one(self, line: bytes) -> bool:
        """Insert one record, if it is not there; whether the line is a record (or empty)."""
        if not line:
            return True
        try:
            record = decode(line)
            self._db.execute(statements.INSERT, (f"[{line.decode()}]",))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        except (sqlite3.OperationalError, sqlite3.IntegrityError) as error:
            if not _malformed(error):
                raise
            return False
        sql = "SELECT 1 FROM request WHERE id = ?"
        return self._db.execute(sql, (record.id,)).fetchone() is not None

    def _progress(self, name: str) -> tuple[int, int]:
        sql = "SELECT position, damaged FROM ledger_file WHERE name = ?"
        found: tuple[int, int] | None = self._db.execute(sql, (name,)).fetchone()
        return found or (0, 0)

    def _last(self) -> int:
        found: int = self._db.execute("SELECT coalesce(max(number), 0) FROM request").fetchone()[0]
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def _malformed(error: sqlite3.Error) -> bool:
    """Whether the fault is the data's: no JSON, or not of a column's type."""
    return isinstance(error, sqlite3.IntegrityError) or "malformed JSON" in str(error)
