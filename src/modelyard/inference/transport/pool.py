"""The connections to one origin: bounded, the last used first, and waiters in their order."""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from math import inf
from time import monotonic
from typing import Any

from modelyard.inference.outbox import Outbox
from modelyard.inference.transport import proxy
from modelyard.inference.transport.connection import Connection
from modelyard.inference.transport.dial import dial
from modelyard.inference.transport.handover import Handover
from modelyard.inference.transport.usage import Usage as Usage
from modelyard.inference.transport.wire import (
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    Deadlines,
    Origin,
    PoolTimeout,
    Tls,
    TotalTimeout,
    TransportError,
)


class Pool:
    """Hands out connections to ``origin``; a call holds at most one slot."""

    def __init__(
        self,
        origin: Origin,
        context: Callable[[Tls], Awaitable[ssl.SSLContext]],
        outbox: Outbox,
        handover: Handover,
    ) -> None:
        self._outbox = outbox
        self._handover = handover
        self.label = f"{origin.host}:{origin.port}"
        self._origin = origin
        self._context = context
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []  # the last used at the end
        self._opening = 0  # slots of connections that are being opened
        self._asking = 0  # calls within ``acquire``
        # Each gets a connection, or None for a slot to open one in.
        self._waiters: OrderedDict[asyncio.Future[Connection | None], None] = OrderedDict()
        self._closed = False

    @property
    def usage(self) -> Usage:
        """The figures at the moment."""
        idle = len(self._idle)
        busy = len(self._connections) - idle + self._opening
        return Usage(busy, idle, len(self._waiters))

    @property
    def empty(self) -> bool:
        """Whether it holds nothing and nobody asks it for anything."""
        return not (self._connections or self._asking)

    def take(self) -> Connection | None:
        """An unused connection that is still open, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.usable():
                return connection
            connection.drop()
        return None

    async def acquire(self, deadlines: Deadlines, total_due: float) -> Connection:
        """A connection, be it waited for or opened.

        Raises ``PoolTimeout``, ``TotalTimeout``, and what opening one raises.
        """
        self._asking += 1
        try:
            wait_due = monotonic() + self._origin.pool_wait
            first = True
            while True:
                if (connection := self.take()) is not None:
                    return connection
                if self._free():
                    self._opening += 1
                    return await self._open(deadlines, total_due)
                got = await self._wait(first, wait_due, total_due)
                if got is None:
                    return await self._open(deadlines, total_due)
                if got.usable():
                    return got
                got.drop()
                first = False
        finally:
            self._asking -= 1

    def release(self, connection: Connection) -> None:
        """A connection may serve again: the longest waiting call's, or kept."""
        waiter = self._next_waiter() if self._waiters else None
        if waiter is None:
            self._idle.append(connection)
        else:
            waiter.set_result(connection)

    def discard(self, connection: Connection) -> None:
        """A connection is closed; its slot is free."""
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._pass_on()

    def check(self, now: float) -> float:
        """Enforce the deadlines of every connection; ``now`` is ``time.monotonic()``.

        Gives when to look again, at the latest.
        """
        soonest = inf
        for connection in tuple(self._connections):
            soonest = min(soonest, connection.check(now))
        return soonest

    def close(self) -> None:
        """Close every connection and refuse new ones."""
        self._closed = True
        while (waiter := self._next_waiter()) is not None:
            waiter.set_exception(ConnectFailed("the client is closed"))
        for connection in tuple(self._connections):
            if connection.exchange is None:
                connection.drop()
            else:
                error = ConnectionLost(f"{self.label}: the client is closed", sent=True)
                connection.fail(connection.exchange, error)

    def _free(self) -> bool:
        return len(self._connections) + self._opening < self._origin.max_connections

    def _next_waiter(self) -> "asyncio.Future[Connection | None] | None":
        while self._waiters:
            waiter, _ = self._waiters.popitem(last=False)
            if not waiter.done():
                return waiter
        return None

    def _pass_on(self) -> None:
        """Give free slots to those who wait."""
        while self._waiters and self._free():
            waiter = self._next_waiter()
            if waiter is not None:
                self._opening += 1
                waiter.set_result(None)

    async def _wait(self, last: bool, wait_due: float, total_due: float) -> Connection | None:
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[Connection | None] = loop.create_future()
        self._waiters[waiter] = None
        self._waiters.move_to_end(waiter, last=last)
        left = max(0.0, min(wait_due, total_due) - monotonic())
        timer = loop.call_later(left, self._expire, waiter, total_due < wait_due)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._give_back(waiter.result())
            raise
        finally:
            timer.cancel()
            self._waiters.pop(waiter, None)

    def _give_back(self, got: Connection | None) -> None:
        """What a waiter got when it was already cancelled."""
        if got is None:
            self._opening -= 1
            self._pass_on()
        elif not got.closed:
            self.release(got)

    def _expire(self, waiter: "asyncio.Future[Connection | None]", total: bool) -> None:
        if waiter.done():
            return
        if total:
            waiter.set_exception(_total(self.label))
            return
        limit, wait = self._origin.max_connections, self._origin.pool_wait
        text = f"{self.label}: none of {limit} connections became free within {wait:g} s"
        waiter.set_exception(PoolTimeout(text))

    async def _open(self, deadlines: Deadlines, total_due: float) -> Connection:
        """Open a connection in a slot that was counted in ``_opening``."""
        begun = monotonic()
        due = min(begun + deadlines.connect, total_due)
        connection = Connection(
            self.label, self.release, self.discard, self._outbox, self._handover
        )
        opened = False
        try:
            async with asyncio.timeout(due - begun):
                transport = await self._dial(connection)
            connection.attach(transport, monotonic() - begun)
            if self._closed or connection.closed:
                transport.abort()
                raise ConnectFailed(f"{self.label}: closed as soon as it was open")
            opened = True
        except TimeoutError as error:
            raise self._too_slow(deadlines, due == total_due) from error
        finally:
            self._opening -= 1
            if opened:
                self._connections.add(connection)
            else:
                self._pass_on()
        return connection

    async def _dial(self, connection: Connection) -> asyncio.Transport:
        origin = self._origin
        protocol: Any = connection  # a protocol by its methods
        if origin.scheme == "https":
            return await dial(origin, await self._context(origin.tls), protocol)
        if origin.proxy is not None:
            connection.forward = proxy.forward(origin, proxy.parse(origin.proxy))
        return await dial(origin, None, protocol)

    def _too_slow(self, deadlines: Deadlines, total: bool) -> TransportError:
        if total:
            return _total(self.label)
        return ConnectTimeout(f"{self.label}: no connection within {deadlines.connect:g} s")


def _total(label: str) -> TotalTimeout:
    return TotalTimeout(f"{label}: not connected in the time allowed")
