"""One SQLite database: prepared reads on the event loop, one thread that writes."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from modelyard.kernel.errors import Failure
from modelyard.storage.schema import CONTROL, Schema, prepare

T = TypeVar("T")

BUSY_SECONDS = 5.0  # to wait for another process's transaction


class Database:
    """An open database. Opening creates or upgrades the file; it is not for use across a fork.

    ``synchronous`` is SQLite's: FULL keeps what was committed through a power cut, NORMAL may
    lose the last commits then but never tears. Raises ``migrate.UnusableDatabase``.
    """

    def __init__(self, path: Path, schema: Schema = CONTROL, *, synchronous: str = "FULL") -> None:
        self.path = path
        prepare(path, schema)
        self._reader = _connect(path, synchronous)
        self._reader.execute("PRAGMA query_only = ON")
        self._connection = _connect(path, synchronous)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{path.stem}-writer")
        self._version = self._data_version()

    def read(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """The rows of a query: short ones only, as they run on the caller's thread.

        A statement is prepared once, so its text must not vary.
        """
        return self._reader.execute(sql, parameters).fetchall()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``work`` in one transaction on the writer's thread; committed when this returns.

        What ``work`` raises rolls the transaction back. Raises ``STORAGE_FULL`` or
        ``SYSTEM_OVERLOADED``.
        """
        return await asyncio.wrap_future(self._writer.submit(self._commit, work))

    def write_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As ``write``, for where no event loop runs."""
        return self._writer.submit(self._commit, work).result()

    def changed(self) -> bool:
        """Whether anybody, in any process, committed since the last call. Takes microseconds."""
        version, self._version = self._version, self._data_version()
        return version != self._version

    def close(self) -> None:
        """Finish what is being written, and close."""
        self._writer.shutdown()
        self._connection.close()
        self._reader.close()

    def _data_version(self) -> int:
        return int(self._reader.execute("PRAGMA data_version").fetchone()[0])

    def _commit(self, work: Callable[[sqlite3.Connection], T]) -> T:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
        except sqlite3.OperationalError as error:
            raise _failure(error) from error
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        return result


def _connect(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _failure(error: sqlite3.OperationalError) -> Exception:
    """What a client is told. Other errors stay what they are: a fault of the server."""
    code = error.sqlite_errorcode & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        message = "The database is busy with another change. Try again in a moment."
        return Failure("SYSTEM_OVERLOADED", message, retry_after=1)
    if code == sqlite3.SQLITE_FULL:
        return Failure("STORAGE_FULL", "The disk of the server is full; nothing was changed.")
    return error
