"""The client: ``Transport`` over sockets. See docs/adr/0002-own-http-client.md."""

import asyncio
import ssl
from time import monotonic

from modelyard.inference.outbox import Outbox
from modelyard.inference.transport import tls
from modelyard.inference.transport.exchange import Exchange
from modelyard.inference.transport.pool import Pool, Usage
from modelyard.inference.transport.wire import (
    WHOLE_LIMIT,
    ConnectFailed,
    Deadlines,
    Origin,
    Request,
    Tls,
)

TICK = 0.05  # seconds between two looks at the clock: how late a deadline may be noticed


class Client:
    """HTTP/1.1 over pooled connections, for one event loop (uvloop or asyncio's own).

    It follows no redirect, reads no environment variable, and never sends a request twice. One
    timer enforces the deadlines of all connections; it runs while there are any.
    """

    def __init__(self) -> None:
        self._pools: dict[Origin, Pool] = {}
        self._contexts: dict[Tls, ssl.SSLContext] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._outbox: Outbox | None = None
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
        await asyncio.sleep(0)  # the loop closes the sockets of aborted transports in its next turn

    def usage(self, origin: Origin) -> Usage:
        """What the connections to ``origin`` do at the moment."""
        pool = self._pools.get(origin)
        return Usage() if pool is None else pool.usage

    def _pool(self, origin: Origin) -> Pool:
        if self._closed:
            raise ConnectFailed("the client is closed")
        if self._outbox is None:
            self._outbox = Outbox()
        pool = self._pools[origin] = Pool(origin, self._context, self._outbox)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)
        return pool

    async def _context(self, settings: Tls) -> ssl.SSLContext:
        """The context of these settings. Made in a thread: reading the CAs takes milliseconds."""
        context = self._contexts.get(settings)
        if context is None:
            context = await asyncio.to_thread(tls.context, settings)
            self._contexts[settings] = context
        return context

    def _tick(self) -> None:
        # First the next tick: a listener that raises must not end the watch.
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)
        now = monotonic()
        for origin, pool in tuple(self._pools.items()):
            pool.check(now)
            if pool.empty:
                del self._pools[origin]
        if not self._pools:
            self._timer.cancel()
            self._timer = None
