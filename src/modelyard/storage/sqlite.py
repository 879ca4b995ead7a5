"""SQLite: prepared reads on the event loop, and one thread that writes, many changes at a time."""

from __future__ import annotations

import asyncio
import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from modelyard.protocol.errors import Failure
from modelyard.storage.dialect import SQLITE, Dialect
from modelyard.storage.driver import Duplicate, Rows, Statement, Values, Work
from modelyard.storage.schema import CONTROL, Schema, prepare

T = TypeVar("T")

BUSY_SECONDS = 5.0  # to wait for another process's transaction
_GROUP = 256  # changes in one transaction
_STATEMENTS = 1024  # kept prepared


class Database:
    """An open database. Opening creates or upgrades the file; it is not for use across a fork.

    Changes that wait while one is written go to the disk together, each in a savepoint of its
    own: one that fails undoes only itself. ``synchronous`` is SQLite's: FULL keeps what was
    committed through a power cut, NORMAL may lose the last commits then but never tears. Raises
    ``migrate.UnusableDatabase``.
    """

    dialect: Dialect = SQLITE

    def __init__(self, path: Path, schema: Schema = CONTROL, *, synchronous: str = "FULL") -> None:
        self.path = path
        prepare(path, schema)
        self._reader = _connect(path, synchronous)
        self._reader.execute("PRAGMA query_only = ON")
        self._connection = _connect(path, synchronous)
        self._closed = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        name = f"{path.stem}-writer"
        self._writer = threading.Thread(target=self._write_on, name=name, daemon=True)
        self._writer.start()
        self._version = self._data_version()

    async def open(self) -> None:
        """Nothing: it is open since it was made."""

    async def fetch(self, sql: str, values: Values = ()) -> Rows:
        """The rows of a query: short ones only, as they run on the event loop.

        A statement is prepared once, so its text must not vary.
        """
        try:
            return self._reader.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            raise _failure(error) from error

    async def transact(self, work: Callable[[], Work[T]], *, dry: bool = False) -> T:
        """Run a transaction on the writer's thread; on disk when this returns, unless ``dry``."""
        return await asyncio.wrap_future(self._submit(lambda one: _run(one, work()), dry))

    def changed(self) -> bool:
        """Whether anybody, in any process, committed since the last call. Takes microseconds."""
        version, self._version = self._version, self._data_version()
        return version != self._version

    def there(self) -> bool:
        """Whether the file is still where it was opened: without it nothing outlives us."""
        return self.path.exists()

    def close(self) -> None:
        """Finish what is being written, and close."""
        self._closed = True
        self._jobs.put(None)
        self._writer.join()
        self._connection.close()
        self._reader.close()

    async def shut(self) -> None:
        """As ``close``."""
        self.close()

    def _data_version(self) -> int:
        return int(self._reader.execute("PRAGMA data_version").fetchone()[0])

    def _submit(self, work: Callable[[sqlite3.Connection], T], dry: bool = False) -> Future[T]:
        if self._closed:
            raise Failure("SYSTEM_OVERLOADED", "The server is stopping.", retry_after=1)
        job = _Job(work, dry)
        self._jobs.put(job)
        return job.future

    def _write_on(self) -> None:
        """The writer's thread."""
        while (job := self._jobs.get()) is not None:
            group: list[_Job | None] = [job]
            while group[-1] is not None and len(group) < _GROUP and not self._jobs.empty():
                group.append(self._jobs.get())
            self._commit([one for one in group if one is not None])
            if group[-1] is None:
                return

    def _commit(self, jobs: list[_Job]) -> None:
        """Make all changes durable at once; one by one where the database refuses that."""
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job.run(connection)
            kept = any(job.kept for job in jobs)
            connection.execute("COMMIT" if kept else "ROLLBACK")  # nobody is told of nothing
        except sqlite3.OperationalError as error:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if len(jobs) == 1:
                jobs[0].future.set_exception(_failure(error))
                return
            for job in jobs:
                self._commit([job])
            return
        for job in jobs:
            job.tell()


class _Job:
    """One change that waits for the writer."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any], dry: bool) -> None:
        self.future: Future[Any] = Future()
        self._work = work
        self._dry = dry
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self, connection: sqlite3.Connection) -> None:
        """Do it within the open transaction. Raises OperationalError: then all is undone."""
        self._error = None
        connection.execute("SAVEPOINT one")
        try:
            self._result = self._work(connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 (told to who asked)
            self._error = error
        if not self.kept:
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")

    @property
    def kept(self) -> bool:
        """Whether anything of it is to stay."""
        return self._error is None and not self._dry

    def tell(self) -> None:
        """Tell who asked how it went."""
        if self._error is not None:
            self.future.set_exception(self._error)
        else:
            self.future.set_result(self._result)


def _run(connection: sqlite3.Connection, work: Work[T]) -> T:
    try:
        statement = next(work)
        while True:
            try:
                rows = _execute(connection, statement)
            except sqlite3.IntegrityError as error:
                statement = work.throw(_duplicate(error))
            else:
                statement = work.send(rows)
    except StopIteration as done:
        result: T = done.value
        return result


def _execute(connection: sqlite3.Connection, statement: Statement) -> Rows:
    if statement.many:
        connection.executemany(statement.sql, statement.values)
        return []
    return connection.execute(statement.sql, statement.values).fetchall()


def _duplicate(error: sqlite3.IntegrityError) -> Exception:
    text = str(error)
    if not text.startswith("UNIQUE constraint failed"):
        return error
    return Duplicate(text.partition(" index '")[2].rstrip("'"))


def _connect(path: Path, synchronous: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
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
