"""The ledger's tables on PostgreSQL: several hosts load their records into one log."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import asyncpg
import msgspec

from modelyard.protocol.errors import Failure
from modelyard.storage.ledger import statements
from modelyard.storage.ledger.queries import SECONDS, Reader, too_long
from modelyard.storage.ledger.tables import LEDGER, Brought, decode
from modelyard.storage.migrate import UnusableDatabase
from modelyard.storage.postgres import numbered
from modelyard.storage.postgres_schema import prepare

T = TypeVar("T")

_SCHEMA = LEDGER.sql.with_name("schema.postgresql.sql")
_ATTEMPTS = 5
_CONNECT_SECONDS = 5.0
_LONGEST_SECONDS = 60.0
_READERS = 4
_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_DAMAGE = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)  # the data's fault
_AGAIN = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)
_LOST = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
_GROUPS = {
    "all": "''",
    "day": "to_char(to_timestamp(hour * 3600) AT TIME ZONE 'UTC', 'YYYY-MM-DD')",
    "model": "model",
    "provider": "CASE WHEN strpos(target, '/') = 0 THEN '' ELSE split_part(target, '/', 1) END",
    "target": "target",
    "cache": "cache",
}

_log = logging.getLogger(__name__)


def open_remote(url: str) -> tuple[RemoteTables, Reader]:
    """Tables and reader of the database at ``url``. Raises ``schema.UnusableDatabase``."""
    link = Link(url)
    return RemoteTables(link), Reader(RemoteAnswers(link))


class Link:
    """Connections to PostgreSQL for threads that block: a thread of its own runs their loop."""

    def __init__(self, url: str) -> None:
        self.url = f"{url}{'&' if '?' in url else '?'}search_path=ledger"
        self._pool: Any = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="ledger-postgresql", daemon=True
        )
        self._thread.start()
        try:
            self.run(self._prepare)
        except (OSError, UnusableDatabase):
            self.close()
            raise

    def run(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """Run ``work`` with a connection. Raises OSError where the server is gone."""
        future = asyncio.run_coroutine_threadsafe(self._with(work), self._loop)
        try:
            return future.result()
        except _LOST as error:
            raise OSError(f"PostgreSQL: {error}") from error

    def close(self) -> None:
        """Close the connections, and end the thread."""
        if self._pool is not None:
            self._loop.call_soon_threadsafe(self._pool.terminate)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    async def _with(self, work: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        if self._pool is None:
            self._pool = await asyncpg.create_pool(
                self.url,
                min_size=0,
                max_size=1 + _READERS,
                timeout=_CONNECT_SECONDS,
                command_timeout=_LONGEST_SECONDS,
                server_settings={"application_name": "modelyard-ledger", "jit": "off"},
            )
        async with self._pool.acquire(timeout=_CONNECT_SECONDS) as connection:
            return await work(connection)

    async def _prepare(self, connection: Any) -> None:
        try:
            await prepare(connection, self.url, LEDGER, _SCHEMA, "ledger")
        except asyncpg.PostgresError as error:
            raise UnusableDatabase(f"the database cannot be used: {error}.") from error


class RemoteTables:
    """See ``tables.Tables``. The names of files are unique among all hosts."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._settled: set[str] = set()

    def close(self) -> None:
        """See ``Tables``."""
        self._link.close()

    def load(self, name: str, lines: Callable[[int], bytes]) -> Brought | None:
        """See ``Tables``."""
        return self._link.run(lambda connection: _load(connection, name, lines))

    def settle(self, name: str) -> int:
        """See ``Tables``: each commit was on the server's disk before it was answered."""
        self._settled.add(name)
        return self._link.run(lambda connection: _progress(connection, name))[1]

    def forget(self, gone: Callable[[str], bool]) -> None:
        """See ``Tables``: of the files that were settled here, as others are of other hosts."""
        names = [name for name in self._settled if gone(name)]
        if names:
            sql = "DELETE FROM ledger_file WHERE name = ANY($1::text[])"
            self._link.run(lambda connection: connection.execute(sql, names))
            self._settled.difference_update(names)


class RemoteAnswers:
    """See ``queries.Answers``."""

    groups = _GROUPS

    def __init__(self, link: Link, seconds: float = SECONDS) -> None:
        self._link = link
        self._seconds = seconds

    def rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        """See ``Answers``. Raises ``SYSTEM_OVERLOADED`` while the server is gone, too."""

        async def ask(connection: Any) -> list[Any]:
            async with connection.transaction(readonly=True):
                found = await connection.fetch(numbered(sql), *values, timeout=self._seconds)
                return [tuple(row) for row in found]

        try:
            return self._link.run(ask)
        except TimeoutError as error:
            raise too_long(self._seconds) from error
        except OSError as error:
            if isinstance(error.__cause__, asyncpg.QueryCanceledError):
                message = "The database ended the search of the request log, as it does when its "
                message += "statement_timeout is over. Narrow the question with 'since' and "
                message += "'until', or have that limit raised."
            else:
                message = "The request log cannot be reached at the moment. Try again in a moment."
            raise Failure("SYSTEM_OVERLOADED", message, retry_after=1) from error


async def _load(connection: Any, name: str, lines: Callable[[int], bytes]) -> Brought | None:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            async with connection.transaction():
                return await _batch(connection, name, lines)
        except _AGAIN:
            if attempt == _ATTEMPTS:
                raise
    raise AssertionError("unreachable")


async def _batch(connection: Any, name: str, lines: Callable[[int], bytes]) -> Brought | None:
    await connection.execute("SELECT pg_advisory_xact_lock(hashtext($1))", f"modelyard {name}")
    position, damaged = await _progress(connection, name)
    data = lines(position)
    if not data:
        return None
    brought = await _insert(connection, data)
    if brought.damaged:
        _log.error("%d lines of %s before byte %d are no record", brought.damaged, name, position)
    await connection.execute(
        "INSERT INTO ledger_file VALUES ($1, $2, $3) ON CONFLICT (name) "
        "DO UPDATE SET position = excluded.position, damaged = excluded.damaged",
        name,
        position + len(data),
        damaged + brought.damaged,
    )
    return brought


async def _progress(connection: Any, name: str) -> tuple[int, int]:
    sql = "SELECT position, damaged FROM ledger_file WHERE name = $1"
    found = await connection.fetchrow(sql, name)
    return (0, 0) if found is None else (found[0], found[1])


async def _insert(connection: Any, data: bytes) -> Brought:
    """Insert the records of complete lines, all at once or, where one is damaged, one by one."""
    lines = data.count(b"\n")
    array = b"[" + data[:-1].replace(b"\n", b",") + b"]"
    try:
        async with connection.transaction():
            found = await _rows(connection, array)
            if found.seen == lines:
                return Brought(found.rows, 0)
            raise _Torn
    except (UnicodeDecodeError, _Torn, *_DAMAGE):
        pass
    brought = damaged = 0
    for line in data.split(b"\n")[:-1]:
        one = await _insert_one(connection, line)
        brought += one or 0
        damaged += one is None
    return Brought(brought, damaged)


class _Torn(Exception):
    """Two lines, each damaged, became one record between them."""


async def _insert_one(connection: Any, line: bytes) -> int | None:
    """How many rows a line brought; None where it is no record."""
    if not line:
        return 0
    try:
        decode(line)
        async with connection.transaction():
            return (await _rows(connection, b"[" + line + b"]")).rows
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, *_DAMAGE):
        return None


class _Found(msgspec.Struct):
    seen: int
    rows: int


async def _rows(connection: Any, array: bytes) -> _Found:
    text = _NUL.sub(rb"\1\\ufffd", array).decode()  # PostgreSQL keeps no U+0000
    row = await connection.fetchrow(statements.POSTGRESQL, text)
    return _Found(row[0], row[1])
