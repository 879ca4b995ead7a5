"""PostgreSQL: a pool of connections, and one that listens for what other processes commit."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, Literal, TypeVar

import asyncpg

from modelyard.protocol.errors import Failure
from modelyard.storage.dialect import POSTGRES, Dialect
from modelyard.storage.driver import Duplicate, Rows, Statement, Unmet, Values, Work
from modelyard.storage.migrate import UnusableDatabase
from modelyard.storage.postgres_figures import count
from modelyard.storage.postgres_keys import Keys, several
from modelyard.storage.postgres_pool import Pool
from modelyard.storage.postgres_schema import prepare
from modelyard.storage.schema import CONTROL

T = TypeVar("T")
Sync = Literal["second", "commit"]

_SCHEMA = CONTROL.sql.with_name("schema.postgresql.sql")

_CHANNEL = "modelyard"
_CONNECTIONS = 10
_READY = 512  # statements, each of them asked often, that a connection keeps at hand
_WAIT_SECONDS = 5.0  # for a free connection, a lock, or the server to answer a new connection
_LONGEST_SECONDS = 60.0  # of one statement
_LONG_SECONDS = 7 * 86_400.0  # of one of a long transaction: millions of rows may be moved
_NO_LIMIT = "SET LOCAL statement_timeout = 0"  # what an operator set is meant for requests
_ATTEMPTS = 5
_AGAIN_SECONDS = 1.0  # between two attempts to listen again
_LOOK_SECONDS = 5.0  # between two looks for a change that nobody told of
_COUNT_SECONDS = 2.0  # between two looks for tables that have grown
_QUIET_SECONDS = 0.1  # between two tellings of our changes: others look four times a second
_MARK = (
    "SELECT (SELECT max(sequence) FROM event), (SELECT max(id) FROM event WHERE sequence IS NULL)"
)
_SETTINGS = {
    "application_name": "modelyard",
    "jit": "off",
    "random_page_cost": "1.1",
    "enable_seqscan": "off",  # every question has its index; also where there are no figures yet
    "lock_timeout": f"{int(_WAIT_SECONDS * 1000)}",
    "idle_in_transaction_session_timeout": "60000",
}
_LATER = {"synchronous_commit": "off"}
_AT_ONCE = (  # where a replica is waited for, too, it stays so
    "SELECT set_config('synchronous_commit', 'on', false) "
    "WHERE current_setting('synchronous_commit') = 'off'"
)
_GONE = (
    OSError,  # TimeoutError, too
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)
_TO_REPEAT = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)
_REFUSED = (*_TO_REPEAT, asyncpg.UniqueViolationError)
_UNSTORABLE = (
    asyncpg.CharacterNotInRepertoireError,
    asyncpg.UntranslatableCharacterError,
)


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    """One that has what is asked most at hand: asyncpg's own way to a statement takes longer."""

    __slots__ = ("_ready",)

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._ready: dict[str, Any] = {}

    async def ask(self, text: str, values: Values) -> Rows:
        """The rows of a change, or of a resource by its key; not within a transaction."""
        statement = self._ready.get(text)
        if statement is None:
            if len(self._ready) == _READY:
                del self._ready[next(iter(self._ready))]
            statement = self._ready[text] = await self.prepare(text)
        try:
            rows: Rows = await statement.fetch(*values)
        except asyncpg.InvalidCachedStatementError:  # its table was changed meanwhile
            del self._ready[text]
            rows = await self.fetch(text, *values)
        return rows


class Postgres:
    """A database on a PostgreSQL server, within one event loop, between ``open`` and ``shut``.

    It outlives restarts of the server: what is asked meanwhile is answered by
    ``SYSTEM_OVERLOADED``. ``sync`` says when a change is on the server's disk: with "commit" before
    it is answered, with "second" within a second of it (three times its ``wal_writer_delay``);
    None leaves it to the server's ``synchronous_commit``.
    """

    def __init__(
        self, url: str, connections: int = _CONNECTIONS, *, sync: Sync | None = None
    ) -> None:
        self.dialect: Dialect = POSTGRES
        self.url = url
        self._sync = sync
        self._connections = connections
        self._pool = Pool(self._connect, connections, _WAIT_SECONDS)
        self._keys = Keys(partial(self._asked, often=True))
        self._changed = False
        self._said, self._wrote = asyncio.Event(), asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        """Connect, and create the tables where there are none yet.

        Raises ``SYSTEM_OVERLOADED`` and ``migrate.UnusableDatabase``.
        """
        self._pool = Pool(self._connect, self._connections, _WAIT_SECONDS)
        try:
            with _TOLD:
                async with self._pool.loan() as connection:
                    await prepare(connection, self.url, CONTROL, _SCHEMA)
        except (asyncpg.PostgresError, ValueError) as error:
            raise UnusableDatabase(f"the database cannot be opened: {error}.") from error
        loop = asyncio.get_running_loop()
        duties = (self._listen_on(), self._tell_on(), self._count_on())
        self._tasks = [loop.create_task(duty) for duty in duties]

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(
            self.url,
            connection_class=_Connection,
            timeout=_WAIT_SECONDS,
            command_timeout=_LONGEST_SECONDS,
            statement_cache_size=1024,
            max_cached_statement_lifetime=0,
            server_settings=_SETTINGS | (_LATER if self._sync == "second" else {}),
        )
        if self._sync == "commit":
            await connection.execute(_AT_ONCE)
        return connection

    async def fetch(self, sql: str, values: Values = ()) -> Rows:
        """The rows of a query; asked again where the connection was lost."""
        some = several(sql)
        if some is not None:
            return await self._keys.find(sql, some, values)
        return await self._asked(sql, values)

    async def _asked(self, sql: str, values: Values, *, often: bool = False) -> Rows:
        text = numbered(sql)
        with _TOLD:
            try:
                return await self._fetch(text, values, often)
            except (asyncpg.PostgresConnectionError, asyncpg.AdminShutdownError):
                return await self._fetch(text, values, often)

    async def _fetch(self, text: str, values: Values, often: bool) -> Rows:
        async with self._pool.loan() as connection:
            if often:
                rows: Rows = await connection.ask(text, values)
            else:
                rows = await connection.fetch(text, *values)
        return rows

    async def transact(
        self, work: Callable[[], Work[T]], *, dry: bool = False, long: bool = False
    ) -> T:
        """Run a transaction; begun anew where it and another waited for each other."""
        for attempt in itertools.count(1):
            try:
                with _TOLD:
                    async with self._pool.loan() as connection:
                        result, wrote = await _run(connection, work(), dry, long)
            except _TO_REPEAT as error:
                if attempt == _ATTEMPTS:
                    raise _busy() from error
                continue
            if wrote:
                self._tell()
            return result
        raise AssertionError("unreachable")

    async def attempt(self, statement: Statement) -> bool:
        """Make a change that is one statement; False where it was refused, and nothing is kept.

        Raises ``Unmet``.
        """
        with _TOLD:
            try:
                await self._fetch(numbered(statement.sql), statement.values, often=True)
            except asyncpg.DivisionByZeroError as error:
                raise Unmet from error
            except _REFUSED:
                return False
        self._tell()
        return True

    def _tell(self) -> None:
        """Something was changed here: soon the other processes hear of it."""
        self._changed = True
        self._said.set()
        self._wrote.set()

    def changed(self) -> bool:
        """Whether anybody, in any process, committed since the last call; may be wrongly true."""
        changed, self._changed = self._changed, False
        return changed

    def there(self) -> bool:
        """True: a server that is gone is told by ``fetch``."""
        return True

    async def shut(self) -> None:
        """Finish what is being written, and close."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._pool.close()

    async def _tell_on(self) -> None:
        """Tell the other processes of our changes: not within them, where all would queue up."""
        while True:
            await self._said.wait()
            self._said.clear()
            with contextlib.suppress(Failure):
                await self.fetch(f"SELECT pg_notify('{_CHANNEL}', '')")
            await asyncio.sleep(_QUIET_SECONDS)

    async def _count_on(self) -> None:
        """See that the planner soon knows what was written here."""
        while True:
            await self._wrote.wait()
            self._wrote.clear()
            with contextlib.suppress(asyncpg.PostgresError, *_GONE):
                async with self._pool.loan() as connection:
                    await count(connection)
            await asyncio.sleep(_COUNT_SECONDS)

    async def _listen_on(self) -> None:
        while True:
            with contextlib.suppress(asyncpg.PostgresError, *_GONE):
                await self._listen()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _listen(self) -> None:
        """Note what others tell, until the connection is lost."""
        lost = asyncio.Event()
        connection = await asyncpg.connect(
            self.url, timeout=_WAIT_SECONDS, server_settings=_SETTINGS
        )
        try:
            connection.add_termination_listener(lambda _: lost.set())
            await connection.add_listener(_CHANNEL, self._heard)
            mark, self._changed = None, True
            while not lost.is_set():
                self._pool.trim()
                found = await connection.fetchrow(_MARK)
                if found != mark:  # a process may have died before it told
                    mark, self._changed = found, True
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(lost.wait(), _LOOK_SECONDS)
        finally:
            connection.terminate()

    def _heard(self, *_: object) -> None:
        self._changed = True


async def _run(connection: Any, work: Work[T], dry: bool, long: bool) -> tuple[T, bool]:
    """What the transaction returned, and whether it may have changed anything."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        if long:
            await connection.execute(_NO_LIMIT)
        result, wrote = await _steps(connection, work, _LONG_SECONDS if long else None)
    except BaseException:
        if not connection.is_closed():
            await transaction.rollback()
        raise
    if dry:
        await transaction.rollback()
    else:
        await transaction.commit()
    return result, wrote and not dry


async def _steps(connection: Any, work: Work[T], most: float | None) -> tuple[T, bool]:
    wrote = False
    try:
        statement = next(work)
        while True:
            wrote = wrote or not statement.sql.startswith("SELECT")
            try:
                rows = await _execute(connection, statement, most)
            except asyncpg.UniqueViolationError as error:
                name = str(error.constraint_name)
                statement = work.throw(Duplicate("" if name.endswith("_pkey") else name))
            else:
                statement = work.send(rows)
    except StopIteration as done:
        return done.value, wrote


async def _execute(connection: Any, statement: Statement, most: float | None) -> Rows:
    """``most`` is how many seconds it may take; None: as many as others."""
    text = numbered(statement.sql)
    if statement.many:
        if len(statement.values) == 1:
            await connection.execute(text, *statement.values[0], timeout=most)
        else:
            await connection.executemany(text, statement.values, timeout=most)
        return []
    rows: Rows = await connection.fetch(text, *statement.values, timeout=most)
    return rows


@lru_cache(maxsize=4096)
def numbered(sql: str) -> str:
    """A statement as PostgreSQL numbers parameters; without what keeps SQLite's plan of a key."""
    first, *others = sql.replace("kind = ? || ''", "kind = ?").split("?")
    return first + "".join(f"${number}{part}" for number, part in enumerate(others, 1))


class _Told:
    """Tells a client what went wrong. Other errors stay what they are: a fault of the server."""

    def __enter__(self) -> None:
        """Nothing is to be done before."""

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None and (failure := _failure(error)) is not None:
            raise failure from error


_TOLD = _Told()


def _failure(error: BaseException) -> Failure | None:
    """What a client is told of an error of the database."""
    if isinstance(error, asyncpg.DiskFullError):
        return Failure("STORAGE_FULL", "The disk of the database is full; nothing was changed.")
    if isinstance(error, asyncpg.LockNotAvailableError):
        return _busy()
    if isinstance(error, asyncpg.ProgramLimitExceededError):
        message = "A value is too long to be found by: keep such fields below 2,000 characters."
        return Failure("INVALID_REQUEST", message)
    if isinstance(error, _UNSTORABLE):
        message = "A text holds the character U+0000, which the database cannot keep. Leave it out."
        return Failure("INVALID_REQUEST", message)
    if isinstance(error, asyncpg.QueryCanceledError):
        message = "The database ended a statement before its answer, as it does when its "
        message += "statement_timeout is over. Ask for less, or have that limit raised."
        return Failure("SYSTEM_OVERLOADED", message, retry_after=1)
    if isinstance(error, _GONE):
        message = "The database cannot be reached at the moment. Try again in a moment."
        return Failure("SYSTEM_OVERLOADED", message, retry_after=1)
    return None


def _busy() -> Failure:
    message = "The database is busy with another change. Try again in a moment."
    return Failure("SYSTEM_OVERLOADED", message, retry_after=1)
