"""Connections to a PostgreSQL server, lent to one at a time.

asyncpg's own pool makes a task and two timers for each loan, which takes longer than a short
statement does. Here a loan is a list's last element.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

_IDLE_SECONDS = 300.0  # a connection that nobody needed for as long is closed
_LOOK = 0.005  # seconds between two looks whether a connection was given back
_BROKEN = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)  # TimeoutError, too


class Pool:
    """At most ``most`` connections, which ``connect`` makes; whoever asks gets the last used one.

    It has the most statements prepared. For use within one event loop. ``seconds`` is how long one
    who asks waits, and how long a connection may take to close.
    """

    def __init__(
        self, connect: Callable[[], Awaitable[Any]], most: int, seconds: float = 5.0
    ) -> None:
        self._connect = connect
        self._most = most
        self._seconds = seconds
        self._open = 0  # lent, idle, or being made
        self._idle: list[tuple[Any, float]] = []  # the last used is the last; with the time
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._closing: set[asyncio.Task[None]] = set()
        self._shut = False

    def loan(self) -> Loan:
        """A connection for as long as a block takes. Raises as ``lend``."""
        return Loan(self)

    async def lend(self) -> Any:
        """A connection, to be given back. Raises TimeoutError, and what connecting raises."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._seconds
        while True:
            while self._idle:
                connection, _ = self._idle.pop()
                if not connection.is_closed():
                    return connection
                self._open -= 1
            if self._shut:
                raise asyncpg.InterfaceError("the pool is closed")
            if self._open < self._most:
                return await self._made()
            connection = await self._wait(loop, until)
            if connection is not None:
                return connection

    def give_back(self, connection: Any, error: BaseException | None = None) -> None:
        """Take a connection back; one is closed that ``error`` left in an unknown state."""
        sound = error is None or (isinstance(error, Exception) and not isinstance(error, _BROKEN))
        if self._shut or not sound or connection.is_closed() or connection.is_in_transaction():
            self._open -= 1
            self._close(connection)
            self._hand(None)
        elif not self._hand(connection):
            self._idle.append((connection, time.monotonic()))

    def trim(self) -> None:
        """Close what was idle for long, and forget what was lost meanwhile."""
        before = time.monotonic() - _IDLE_SECONDS
        kept = [one for one in self._idle if one[1] > before and not one[0].is_closed()]
        gone = [one for one, at in self._idle if at <= before or one.is_closed()]
        self._idle, self._open = kept, self._open - len(gone)
        for connection in gone:
            self._close(connection)

    async def close(self) -> None:
        """Close them all: those that are lent, when they are given back; that is waited for."""
        self._shut = True
        while self._idle:
            connection, _ = self._idle.pop()
            self._open -= 1
            self._close(connection)
        while self._hand(None):
            pass
        until = time.monotonic() + self._seconds
        while self._closing or (self._open and time.monotonic() < until):
            await asyncio.gather(*self._closing, asyncio.sleep(_LOOK), return_exceptions=True)

    async def _made(self) -> Any:
        self._open += 1
        try:
            return await self._connect()
        except BaseException:
            self._open -= 1
            self._hand(None)
            raise

    async def _wait(self, loop: asyncio.AbstractEventLoop, until: float) -> Any:
        """The connection that somebody gives back; None where another may be made instead."""
        free: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(free)
        late = loop.call_at(until, _fail, free)
        try:
            return await free
        except asyncio.CancelledError:
            if free.done() and not free.cancelled() and free.exception() is None:
                self._pass_on(free.result())
            raise
        finally:
            late.cancel()

    def _pass_on(self, connection: Any) -> None:
        """What was handed to one who has left meanwhile."""
        if connection is None:
            self._hand(None)
        else:
            self.give_back(connection)

    def _hand(self, connection: Any) -> bool:
        """Give it to the first who waits; whether there was one."""
        while self._waiting:
            free = self._waiting.popleft()
            if not free.done():
                free.set_result(connection)
                return True
        return False

    def _close(self, connection: Any) -> None:
        """In a task: a statement that was given up is cancelled first, at the server, too."""
        if connection.is_closed():
            return
        task = asyncio.get_running_loop().create_task(_ended(connection, self._seconds))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


class Loan:
    """A connection of a pool, given back at the end of the block."""

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._connection: Any = None

    async def __aenter__(self) -> Any:
        self._connection = await self._pool.lend()
        return self._connection

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        self._pool.give_back(self._connection, error)


def _fail(free: asyncio.Future[Any]) -> None:
    if not free.done():
        free.set_exception(TimeoutError("no connection became free"))


async def _ended(connection: Any, seconds: float) -> None:
    try:
        await connection.close(timeout=seconds)
    except (asyncpg.PostgresError, *_BROKEN):
        connection.terminate()
