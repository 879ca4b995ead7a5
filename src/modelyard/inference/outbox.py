"""Small writes of one turn of the event loop, sent together at its end.

A write to a peer that sleeps wakes it, which costs more than the write itself; of writes that
follow one another only the first pays. Where only one is served there is nothing to wait for.
Measured: docs/explanation/performance.md.
"""

from __future__ import annotations

import asyncio


class Outbox:
    """Collects writes until the loop's next turn. For one event loop."""

    __slots__ = ("_call_soon", "_queue", "serving")

    def __init__(self) -> None:
        self.serving = 0  # exchanges under way: all of them may write in one turn
        self._call_soon = asyncio.get_running_loop().call_soon
        self._queue: list[tuple[asyncio.Transport, bytes]] = []

    def write(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send ``data`` soon, in the order of the calls."""
        if self.serving < 2:
            self.pass_on(transport, data)
            return
        queue = self._queue
        if not queue:
            self._call_soon(self.flush)
        queue.append((transport, data))

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._queue

    def pass_on(self, transport: asyncio.Transport, data: bytes) -> None:
        """Send ``data`` at once, unless something waits that has to go first.

        For the chunks of a stream, which come one by one: another turn of the loop for each would
        cost more than it saves.
        """
        if self._queue:
            self._queue.append((transport, data))
        elif not transport.is_closing():
            transport.write(data)

    def flush(self) -> None:
        """Send what was collected: now, because a transport is about to be closed."""
        queue, self._queue = self._queue, []
        for transport, data in queue:
            if not transport.is_closing():
                transport.write(data)
