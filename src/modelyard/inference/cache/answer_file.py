"""The file of L3: answers in SQLite, bounded in entries and bytes. No backup holds it.

Everything here blocks; ``disk`` runs it in threads. Several processes use one file at a time.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

log = logging.getLogger("modelyard.cache")

OVERHEAD: Final = 256  # bytes that an answer takes in the file beside its own, indexes included
_VERSION: Final = 1
_CORRUPT: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_BUSY: Final = 10_000  # milliseconds to wait for another process that writes
_ASTRAY: Final = 60.0  # seconds by which no time lies ahead, unless the clock was set back
_EXPIRED: Final = 1_000  # answers that are dropped with one write, at most
_SCHEMA: Final = """
CREATE TABLE answer (
    key BLOB PRIMARY KEY, workspace TEXT NOT NULL, size INTEGER NOT NULL, used REAL NOT NULL,
    began REAL NOT NULL, expires REAL NOT NULL, sealed BLOB NOT NULL
);
CREATE INDEX answer_used ON answer (workspace, used, key, size);
CREATE INDEX answer_expires ON answer (expires);
CREATE TABLE total (
    workspace TEXT PRIMARY KEY, entries INTEGER NOT NULL, bytes INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE cleared (workspace TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
CREATE TRIGGER answer_in AFTER INSERT ON answer BEGIN
    INSERT INTO total VALUES (new.workspace, 1, new.size) ON CONFLICT DO UPDATE
    SET entries = entries + 1, bytes = bytes + new.size;
END;
CREATE TRIGGER answer_out AFTER DELETE ON answer BEGIN
    UPDATE total SET entries = entries - 1, bytes = bytes - old.size
    WHERE workspace = old.workspace;
    DELETE FROM total WHERE workspace = old.workspace AND entries = 0;
END;
"""
_MOST_ENTRIES: Final = "SELECT workspace FROM total ORDER BY entries DESC"
_MOST_BYTES: Final = "SELECT workspace FROM total ORDER BY bytes DESC"


class Put(NamedTuple):
    """An answer to be kept. Times are Unix times; ``began``: when its request came."""

    workspace: str
    key: bytes
    sealed: bytes
    expires: float
    began: float


class Replaced(Exception):
    """The file was damaged: an empty one is in its place."""


class AnswerFile:
    """One connection to the file, for one thread."""

    def __init__(self, path: Path, most_entries: int, most_bytes: int, keep_free: int) -> None:
        self.path = path
        self.most_entries = most_entries
        self.most_bytes = most_bytes
        self.keep_free = keep_free  # bytes of the disk
        self._db: sqlite3.Connection | None = None
        self._inode = 0

    def get(self, workspace: str, key: bytes, now: float) -> tuple[bytes, float] | None:
        """A kept answer and when it expires."""
        with self._guarded() as db:
            row = db.execute(
                "SELECT sealed, expires FROM answer"
                " WHERE key = ? AND workspace = ? AND expires > ?",
                (key, workspace, now),
            ).fetchone()
        return None if row is None else (row[0], row[1])

    def write(self, puts: list[Put], used: list[bytes], now: float) -> None:
        """Keep answers, and note which were ``used``. Raises ``OSError`` when the disk is full."""
        if puts and shutil.disk_usage(self.path.parent).free < self.keep_free:
            raise OSError(f"less than {self.keep_free >> 20} MiB of the disk are free")
        with self._guarded() as db, _transaction(db):
            db.execute("UPDATE cleared SET at = ?1 WHERE at > ?1 + ?2", (now, _ASTRAY))
            db.executemany("UPDATE answer SET used = ? WHERE key = ?", [(now, key) for key in used])
            for put in puts:
                self._put(db, put, now)
            db.execute(
                "DELETE FROM answer WHERE key IN"
                " (SELECT key FROM answer WHERE expires <= ? LIMIT ?)",
                (now, _EXPIRED),
            )
            self._bound(db)

    def clear(self, workspace: str, at: float, now: float) -> int:
        """Forget a workspace's answers that began until ``at``; how many there were.

        One that began after ``now`` did so before the clock was set back. Raises what SQLite
        raises.
        """
        with self._guarded() as db:
            with _transaction(db):
                db.execute(
                    "INSERT INTO cleared VALUES (?, ?) ON CONFLICT DO UPDATE SET at = max(at, ?)",
                    (workspace, at, at),
                )
                removed = db.execute(
                    "DELETE FROM answer WHERE workspace = ? AND (began <= ? OR began > ?)",
                    (workspace, at, now + _ASTRAY),
                )
            db.execute("PRAGMA incremental_vacuum")
            return removed.rowcount

    def count(self, workspace: str) -> tuple[int, int]:
        """Entries and bytes of one workspace."""
        with self._guarded() as db:
            row = db.execute(
                "SELECT entries, bytes FROM total WHERE workspace = ?", (workspace,)
            ).fetchone()
        return (0, 0) if row is None else (row[0], row[1])

    def total(self) -> tuple[int, int]:
        """Entries and bytes of all workspaces."""
        with self._guarded() as db:
            return _total(db)

    def close(self) -> None:
        """Give the file back."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def _put(self, db: sqlite3.Connection, put: Put, now: float) -> None:
        size = len(put.sealed) + OVERHEAD
        if size > self.most_bytes // 10:
            return
        db.execute("DELETE FROM answer WHERE key = ?", (put.key,))
        db.execute(
            "INSERT INTO answer SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7 WHERE NOT EXISTS"
            " (SELECT 1 FROM cleared WHERE workspace = ?2 AND at >= ?5)",
            (put.key, put.workspace, size, now, put.began, put.expires, put.sealed),
        )

    def _bound(self, db: sqlite3.Connection) -> None:
        """Drop what was used longest ago, in the workspace that holds most of what is scarce."""
        while True:
            entries, size = _total(db)
            over, wide = entries - self.most_entries, size - self.most_bytes
            if over <= 0 and wide <= 0:
                return
            largest = db.execute(_MOST_ENTRIES if over > 0 else _MOST_BYTES).fetchone()
            oldest = db.execute(
                "SELECT key, size FROM answer INDEXED BY answer_used"
                " WHERE workspace = ? ORDER BY used LIMIT 100",
                largest,
            ).fetchall()
            for key, one in oldest:
                if over <= 0 and wide <= 0:
                    break
                db.execute("DELETE FROM answer WHERE key = ?", (key,))
                over, wide = over - 1, wide - one

    # The connection

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        """The connection. What is damaged is put aside: raises ``Replaced`` then."""
        try:
            yield self._open()
        except sqlite3.DatabaseError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code not in _CORRUPT:
                raise
            self._replace(str(error))
            raise Replaced(str(error)) from error

    def _open(self) -> sqlite3.Connection:
        """The open connection; another one where another process has put a new file there."""
        if self._db is not None and self._found() == self._inode:
            return self._db
        self.close()
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._lock():
            self._db = self._connect()
        return self._db

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=_BUSY / 1000, isolation_level=None)
        try:
            self._inode = self._found()
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = NORMAL")  # a crash of the machine may lose the last
            db.execute("PRAGMA journal_size_limit = 16777216")
            db.execute("PRAGMA cache_size = -1024")  # KiB
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                db.executescript(f"BEGIN;{_SCHEMA}PRAGMA user_version = {_VERSION};COMMIT;")
            elif version != _VERSION:
                raise _damaged(f"its version is {version}")
        except BaseException:
            db.close()
            raise
        self.path.chmod(0o600)
        return db

    def _replace(self, why: str) -> None:
        """Put a damaged file aside, unless another process just did."""
        damaged = self._inode
        self.close()
        with self._lock():
            if self._found() != damaged:
                return
            log.error("the cache's file is damaged: a new one is made", extra={"reason": why})
            self.path.rename(self.path.with_name(f"{self.path.stem}.damaged.db"))
            for suffix in ("-wal", "-shm"):
                self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _found(self) -> int:
        try:
            return self.path.stat().st_ino
        except OSError:
            return 0

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time opens or replaces the file."""
        with self.path.with_name(f".{self.path.stem}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _total(db: sqlite3.Connection) -> tuple[int, int]:
    entries, size = db.execute(
        "SELECT coalesce(sum(entries), 0), coalesce(sum(bytes), 0) FROM total"
    ).fetchone()
    return entries, size


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _damaged(why: str) -> sqlite3.DatabaseError:
    error = sqlite3.DatabaseError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
