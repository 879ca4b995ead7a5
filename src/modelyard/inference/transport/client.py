"""The client: ``Transport`` over sockets. See docs/adr/0002-own-http-client.md."""

import asyncio
import ssl
from math import inf
from time import monotonic

from modelyard.inference.outbox import Outbox
from modelyard.inference.transport import tls
from modelyard.inference.transport.connection import SHARE
from modelyard.inference.transport.exchange import Exchange
from modelyard.inference.transport.handover import Handover
from modelyard.inference.transport.pool import Pool, Usage
from modelyard.inference.transport.wire import (
    WHOLE_LIMIT,
    ConnectFailed,
    Deadlines,
    Origin,
    Request,
    Tls,
)

TICK = 0.05  # least seconds between two looks at the clock: how late a deadline may be noticed
REST = 0.5  # most seconds between two: how late it may be noticed that nothing comes any more


class Client:
    """HTTP/1.1 over pooled connections, for one event loop (uvloop or asyncio's own).

    It follows no redirect, reads no environment variable, and never sends a request twice. One
    timer enforces the deadlines of all connections; it runs while there are any, as often as
    the shortest of their deadlines asks for.
    """

    def __init__(self) -> None:
        self._pools: dict[Origin, Pool] = {}
        self._contexts: dict[Tls, ssl.SSLContext] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._next = 0.0  # monotonic time of the next look at the clock
        self._outbox: Outbox | None = None
        self._handover: Handover | None = None
        self._closed = False

    async def send(
        self,
        origin: Origin,
        request: Request,
        deadlines: Deadlines,
        *,
        whole: bool = False,
        limit: int = WHOLE_LIMIT,
    ) -> Exchange:
        """Send a request; see ``Transport.send``."""
        pool = self._pools.get(origin) or self._pool(origin)
        now = monotonic()
        total_due = now + deadlines.total
        connection = pool.take()
        if connection is None:
            connection = await pool.acquire(deadlines, total_due)
            now = monotonic()
        ready = asyncio.get_running_loop().create_future()
        kept = limit if whole else None
        response = connection.start(request, deadlines, kept, now, total_due, ready)
        soon = min(deadlines.first_byte, deadlines.total, deadlines.idle * SHARE)
        if now + soon < self._next:
            self._look(now, now + soon)
        try:
            await ready
        except asyncio.CancelledError:
            response.close()
            raise
        return response

    async def close(self) -> None:
        """Close every connection; see ``Transport.close``."""
        self._closed = True
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._handover is not None:
            self._handover.close()
        await asyncio.sleep(0)  # the loop closes the sockets of aborted transports in its next turn

    def usage(self, origin: Origin) -> Usage:
        """What the connections to ``origin`` do at the moment."""
        pool = self._pools.get(origin)
        return Usage() if pool is None else pool.usage

    def _pool(self, origin: Origin) -> Pool:
        if self._closed:
            raise ConnectFailed("the client is closed")
        if self._outbox is None or self._handover is None:
            self._outbox, self._handover = Outbox(), Handover()
        pool = Pool(origin, self._context, self._outbox, self._handover)
        self._pools[origin] = pool
        if self._timer is None:
            now = monotonic()
            self._look(now, now)
        return pool

    async def _context(self, settings: Tls) -> ssl.SSLContext:
        """The context of these settings. Made in a thread: reading the CAs takes milliseconds."""
        context = self._contexts.get(settings)
        if context is None:
            context = await asyncio.to_thread(tls.context, settings)
            self._contexts[settings] = context
        return context

    def _look(self, now: float, due: float) -> None:
        """Look at the clock at ``due``, not too soon and not too late."""
        if self._timer is not None:
            self._timer.cancel()
        wait = min(max(TICK, due - now), REST)
        self._next = now + wait
        self._timer = asyncio.get_running_loop().call_later(wait, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = monotonic()
        soonest = now  # should a listener raise: it must not end the watch
        try:
            due = inf
            for origin, pool in tuple(self._pools.items()):
                due = min(due, pool.check(now))
                if pool.empty:
                    del self._pools[origin]
            soonest = due
        finally:
            if self._pools:  # a listener may have sent something
                self._look(now, soonest if self._timer is None else min(soonest, self._next))
