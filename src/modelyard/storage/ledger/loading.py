"""Loading: the lines of ledger files become rows, each exactly once, in batches.

How far a file was loaded is stored in the transaction that brings its records, so a crash at any
moment repeats nothing and skips nothing, and any process may load any file. A file is deleted
only after its last records are on the disk.
"""

import fcntl
import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from modelyard.storage import schema
from modelyard.storage.ledger import statements
from modelyard.storage.ledger.file import SUFFIX
from modelyard.storage.ledger.record import Record

BATCH_BYTES = 512 * 1024  # about 700 records: 10 ms of work, 50 µs of it with the lock held
DAMAGED = ".damaged"  # what a file with lines that are no record is kept as
_OLDEST = (3, 38)  # of SQLite: STRICT tables, JSON functions built in

_HERE = Path(__file__).parent
LEDGER = schema.Schema(
    name="ledger",
    sql=_HERE / "schema.sql",
    versions=_HERE / "migrations" / "versions",
    head="0001",
)

_log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder(Record).decode


def _always() -> bool:
    return True


class Loader:
    """Loads files into the ledger's database, which is made or upgraded first.

    Any thread may call it; one works at a time. ``records`` and ``damaged`` count the rows it
    brought and the lines it could not read. Raises ``schema.UnusableDatabase``.
    """

    def __init__(self, database: Path, batch_bytes: int = BATCH_BYTES) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise RuntimeError(f"SQLite 3.38 is needed, this is {sqlite3.sqlite_version}.")
        schema.prepare(database, LEDGER)
        self.database = database
        self.records = 0
        self.damaged = 0
        self._batch_bytes = batch_bytes
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            database, timeout=30.0, isolation_level=None, check_same_thread=False
        )
        self._db.execute("PRAGMA journal_mode = wal")
        self._db.execute("PRAGMA synchronous = normal")
        self._db.execute("PRAGMA wal_autocheckpoint = 4000")  # pages: a disk sync each 16 MB
        self._db.execute("PRAGMA temp_store = memory")

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def load(self, name: str, fd: int, upto: int, go_on: Callable[[], bool] = _always) -> bool:
        """Load the complete lines among the first ``upto`` bytes of a file.

        Stops between two batches when ``go_on`` says no. Returns whether it came to the end.
        Raises sqlite3.Error and OSError; what was loaded until then stays loaded.
        """
        with self._lock:
            while go_on():
                if not self._batch(name, fd, upto):
                    return True
        return False

    def load_folder(self, folder: Path, go_on: Callable[[], bool] = _always) -> bool:
        """Load every file in ``folder``; those whose writer lives as far as they were written.

        Files of dead processes are deleted then. Returns whether it came to the end.
        """
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # its owner, or another process, was quicker
            try:
                dead = _take(fd)
                if not self.load(path.name, fd, os.fstat(fd).st_size, go_on):
                    return False
                if dead:
                    self.retire(path)
            finally:
                os.close(fd)
        self._forget(folder)
        return True

    def retire(self, path: Path) -> None:
        """Delete a file that was loaded to its end and whose lock is held here.

        One with lines that are no record is kept under another name. Raises sqlite3.Error and
        OSError, and then the file stays.
        """
        with self._lock:
            self._db.execute("PRAGMA synchronous = full")  # this commit syncs those before it
            try:
                with self._transaction():
                    sql = "UPDATE ledger_file SET position = position WHERE name = ?"
                    self._db.execute(sql, (path.name,))
            finally:
                self._db.execute("PRAGMA synchronous = normal")
            if self._progress(path.name)[1]:
                _log.warning("Ledger lines that are no record are kept in %s%s", path, DAMAGED)
                path.rename(path.with_name(path.name + DAMAGED))
            else:
                path.unlink(missing_ok=True)

    def _forget(self, folder: Path) -> None:
        """Drop the positions of files that are gone."""
        with self._lock, self._transaction():
            for (name,) in self._db.execute("SELECT name FROM ledger_file").fetchall():
                if not (folder / name).exists():
                    self._db.execute("DELETE FROM ledger_file WHERE name = ?", (name,))

    def _batch(self, name: str, fd: int, upto: int) -> bool:
        """Load the next lines; False when there are none."""
        with self._transaction():
            position, damaged = self._progress(name)
            data = _lines(fd, position, upto, self._batch_bytes)
            if not data:
                return False
            before = self._last()
            bad = self._insert(data)
            self._db.execute(statements.USAGE, (before,))
            self._db.execute(statements.FAILURES, (before,))
            self._db.execute(
                "INSERT OR REPLACE INTO ledger_file VALUES (?, ?, ?)",
                (name, position + len(data), damaged + bad),
            )
            brought = self._last() - before
        self.records += brought
        self.damaged += bad
        if bad:
            _log.error("%d lines of %s before byte %d are no record", bad, name, position)
        return True

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
            record = _decode(line)
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


def _take(fd: int) -> bool:
    """Whether the file's writer is dead; its lock is ours then, until the file is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lines(fd: int, position: int, upto: int, size: int) -> bytes:
    """The complete lines from ``position``, about ``size`` bytes of them or one that is longer."""
    while True:
        data = os.pread(fd, min(size, upto - position), position) if upto > position else b""
        end = data.rfind(b"\n") + 1
        if end or len(data) < size:
            return data[:end]
        size *= 2


def _malformed(error: sqlite3.Error) -> bool:
    """Whether the fault is the data's: no JSON, or not of a column's type."""
    return isinstance(error, sqlite3.IntegrityError) or "malformed JSON" in str(error)
