"""SQLite: prepared reads on the event loop, and changes that are written many at a time."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, TypeVar

from modelyard.protocol.errors import Failure
from modelyard.storage.dialect import SQLITE, Dialect
from modelyard.storage.driver import Duplicate, Rows, Statement, Values, Work
from modelyard.storage.schema import CONTROL, Schema, prepare
from modelyard.storage.syncing import Syncer

T = TypeVar("T")
Sync = Literal["commit", "second"]

BUSY_SECONDS = 5.0  # to wait for another process's transaction
_AGAIN_SECONDS = 0.001  # until the next look whether nobody writes; uvloop takes less for none
_COURTESY_SECONDS = 0.05  # that the thread waits at most for the loop to write
_GROUP = 256  # changes in one transaction of the thread
_TURN = 16  # changes in one transaction on the event loop: others wait for as long
# Of pages at most. SQLite's own 2 MB are less than a small installation has; of more, each commit
# that split a page of a tree looks at all: the split borrows the number of the last possible page.
_CACHE_KB = 8 * 1024
_STATEMENTS = 1024  # kept prepared


class Database:
    """An open database. Opening creates or upgrades the file; it is not for use across a fork.

    ``sync`` says when a change is on the disk: with "commit" before it is answered, with "second"
    within a second of it; a process that is killed loses nothing either way. With "commit" a thread
    writes: the changes that wait while it waits for the disk go there together. With "second" there
    is nothing to wait for, and the changes of one turn of the event loop are written in it. Each
    change has a savepoint: one that fails undoes only itself. Raises ``migrate.UnusableDatabase``.
    """

    def __init__(self, path: Path, schema: Schema = CONTROL, *, sync: Sync = "second") -> None:
        self.path = path
        self.dialect: Dialect = SQLITE
        prepare(path, schema)
        self._reader = connect(path)
        self._reader.execute("PRAGMA query_only = ON")
        self._connection = connect(path)
        self._connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        self._connection.execute("PRAGMA busy_timeout = 0")  # who writes asks again himself
        self._writing = threading.Lock()  # who has the connection
        self._closed = False
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        name = f"{path.stem}-writer"
        self._writer = threading.Thread(target=self._write_on, name=name, daemon=True)
        self._writer.start()
        self._turn: list[_Job] = []  # what waits for the next turn of the loop
        self._syncer: Syncer | None = None
        if sync == "second":
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("PRAGMA wal_autocheckpoint = 0")
            self._syncer = Syncer(path, self._alone)
        self._version = self._data_version()

    async def open(self) -> None:
        """Nothing: it is open since it was made."""

    async def fetch(self, sql: str, values: Values = ()) -> Rows:
        """The rows of a query: short ones only, as they run on the event loop.

        A statement is prepared once, so its text must not vary. Who writes has read already what
        most ask for; each change by him drops all that the reader's connection has read. That one
        refuses what is no question.
        """
        if sql.startswith("SELECT") and self._writing.acquire(blocking=False):
            try:
                if not self._connection.in_transaction:  # or what failed could not be undone
                    return self._connection.execute(sql, values).fetchall()
            except sqlite3.OperationalError:
                pass  # the reader has patience, and tells what is wrong
            finally:
                self._writing.release()
        try:
            return self._reader.execute(sql, values).fetchall()
        except sqlite3.OperationalError as error:
            raise _failure(error) from error

    async def transact(
        self, work: Callable[[], Work[T]], *, dry: bool = False, long: bool = False
    ) -> T:
        """Run a transaction: see the class for when it is on disk. A long one has its thread."""
        if self._syncer is None or long:
            return await asyncio.wrap_future(self._submit(lambda one: _run(one, work()), dry))
        if self._closed:
            raise _stopping()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._turn.append(_Job(lambda one: _run(one, work()), dry, future))
        if len(self._turn) == 1:
            loop.call_soon(self._write_turn, loop, loop.time() + BUSY_SECONDS)
        return await future

    async def attempt(self, statement: Statement) -> bool:
        """Nothing: a transaction costs no more here."""
        return False

    def changed(self) -> bool:
        """Whether anybody, in any process, committed since the last call. Takes microseconds."""
        version, self._version = self._version, self._data_version()
        return version != self._version

    def there(self) -> bool:
        """Whether the file is still where it was opened: without it nothing outlives us."""
        return self.path.exists()

    def close(self) -> None:
        """Finish what is being written, and close."""
        if self._turn:
            with self._writing:
                self._write_patiently(self._turn)
            self._turn = []
        self._closed = True
        if self._syncer is not None:
            self._syncer.stop()
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
            raise _stopping()
        future: Future[T] = Future()
        self._jobs.put(_Job(work, dry, future))
        return future

    def _alone(self, work: Callable[[sqlite3.Connection], None]) -> None:
        """Do something with the connection while nobody writes, on the thread that asks."""
        with self._writing:
            work(self._connection)

    def _write_turn(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        """Write what this turn of the loop brought; a little later where others write."""
        if self._turn and self._writing.acquire(blocking=False):
            turn, rest = self._turn[:_TURN], self._turn[_TURN:]
            try:
                self._write(turn, loop.time() >= until)
                self._turn, until = rest, loop.time() + BUSY_SECONDS
            except _Taken:
                pass
            finally:
                self._writing.release()
            if rest and self._turn is rest:
                loop.call_soon(self._write_turn, loop, until)
                return
        if self._turn:
            loop.call_later(_AGAIN_SECONDS, self._write_turn, loop, until)

    def _write_on(self) -> None:
        """The writer's thread."""
        while (job := self._jobs.get()) is not None:
            group: list[_Job | None] = [job]
            while group[-1] is not None and len(group) < _GROUP and not self._jobs.empty():
                group.append(self._jobs.get())
            self._let_turns_go_first()
            with self._writing:
                self._write_patiently([one for one in group if one is not None])
            if group[-1] is None:
                return

    def _let_turns_go_first(self) -> None:
        """Wait while the loop has changes to write: long ones follow each other without a pause,
        and each look of the loop's could find the next of them."""
        until = time.monotonic() + _COURTESY_SECONDS
        while self._turn and time.monotonic() < until:
            time.sleep(_AGAIN_SECONDS / 2)

    def _write_patiently(self, jobs: list[_Job]) -> None:
        until = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                return self._write(jobs, time.monotonic() >= until)
            except _Taken:
                time.sleep(_AGAIN_SECONDS)

    def _write(self, jobs: list[_Job], last: bool = True) -> None:
        """Commit all changes at once; one by one where the database refuses that.

        Raises ``_Taken`` where another process writes, unless this is the last attempt.
        """
        connection, kept = self._connection, False
        try:
            _begin(connection, last)
            for job in jobs:
                job.run(connection, len(jobs) == 1)
            kept = any(job.kept for job in jobs)
            connection.execute("COMMIT" if kept else "ROLLBACK")  # nobody is told of nothing
        except sqlite3.DatabaseError as error:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):  # then the next one is told, too
                    connection.execute("ROLLBACK")
            if len(jobs) == 1:
                jobs[0].fail(_failure(error))
                return
            for job in jobs:
                self._write([job])
            return
        if self._syncer is not None and kept:
            self._syncer.due.set()
        for job in jobs:
            job.tell()


class _Taken(Exception):
    """Another process writes at the moment."""


def _begin(connection: sqlite3.Connection, last: bool) -> None:
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if not last and error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            raise _Taken from error
        raise


class _Job:
    """One change that waits for the writer; the future is of a thread, or of the event loop."""

    def __init__(
        self,
        work: Callable[[sqlite3.Connection], Any],
        dry: bool,
        future: Future[Any] | asyncio.Future[Any],
    ) -> None:
        self.future = future
        self._work = work
        self._dry = dry
        self._result: Any = None
        self._error: BaseException | None = None

    def run(self, connection: sqlite3.Connection, alone: bool) -> None:
        """Do it within the open transaction. Raises OperationalError: then all is undone."""
        self._error = None
        if not alone:
            connection.execute("SAVEPOINT one")
        try:
            self._result = self._work(connection)
        except sqlite3.OperationalError:
            raise
        except Exception as error:  # noqa: BLE001 (told to who asked)
            self._error = error
        if alone:  # what is not kept is undone with the transaction
            return
        if not self.kept:
            connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")

    @property
    def kept(self) -> bool:
        """Whether anything of it is to stay."""
        return self._error is None and not self._dry

    def tell(self) -> None:
        """Tell who asked how it went; who has left is not told."""
        if self._error is not None:
            self.fail(self._error)
        elif self._waits():
            self.future.set_result(self._result)

    def fail(self, error: BaseException) -> None:
        """Tell who asked that nothing of it was kept."""
        if self._waits():
            self.future.set_exception(error)

    def _waits(self) -> bool:
        if isinstance(self.future, Future):
            return self.future.set_running_or_notify_cancel()
        return not self.future.done()


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


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode that syncs each commit."""
    connection = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    return connection


def _stopping() -> Failure:
    return Failure("SYSTEM_OVERLOADED", "The server is stopping.", retry_after=1)


def _failure(error: sqlite3.DatabaseError) -> Exception:
    """What a client is told. Other errors stay what they are: a fault of the server."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # Python's own errors have none
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        message = "The database is busy with another change. Try again in a moment."
        return Failure("SYSTEM_OVERLOADED", message, retry_after=1)
    if code == sqlite3.SQLITE_FULL:
        return Failure("STORAGE_FULL", "The disk of the server is full; nothing was changed.")
    return error
