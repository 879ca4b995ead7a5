"""One pipelined connection to Redis or Valkey that nobody has to wait for.

What many tasks ask goes out in one write and comes back in order. A question that has no answer
in its time has none; a server that is slow or gone is not asked until it answers again, which is
found out in the background.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from hiredis import HiredisError, Reader, pack_command
from hiredis import ReplyError as ReplyError

from modelyard.storage.redis.address import Address, context

log = logging.getLogger("modelyard.redis")

Command = tuple[Any, ...]  # of bytes, str, int or float
Reply = Any  # bytes, int, None, a list of them, or a ReplyError

_PATIENCE: Final = 3  # questions in a row without an answer in time: then none is asked
_DEAD: Final = 2.0  # seconds without any answer after which a connection is given up
_CONNECT: Final = 5.0  # seconds for connecting, TLS and AUTH
_FIRST, _LONGEST = 0.2, 10.0  # seconds between attempts to come back
_MOST_WAITING: Final = 20_000  # questions whose replies are not there
_TURN: Final = 0.002  # seconds; less than a timer can be late
_NOTHING: Final = object()


class _Asked:
    """Commands that were sent together. ``future`` is None where nobody waits for the replies."""

    __slots__ = ("count", "failed", "future", "replies", "sent")

    def __init__(
        self, count: int, future: asyncio.Future[list[Reply] | None] | None, sent: float
    ) -> None:
        self.count = count
        self.future = future
        self.sent = sent
        self.failed = False  # an error was among the replies
        self.replies: list[Reply] = []


class Link(asyncio.Protocol):
    """``state`` is ``up``, ``slow`` (connected, but not asked) or ``down``."""

    def __init__(self, address: Address, timeout: float) -> None:
        self.address = address
        self.timeout = timeout  # seconds a question may take
        self.state = "down"
        self.trouble = ""  # why it is not up
        self.refused = 0  # commands that the server answered with an error
        self.refusal = ""  # the last of them, until something succeeds
        self.untold: Callable[[], None] | None = None  # called when what was told is refused
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._reader = Reader(notEnoughData=_NOTHING)
        self._waiting: deque[_Asked] = deque()
        self._out: list[bytes] = []
        self._paused = False
        self._late = 0  # questions in a row without an answer in time
        self._timer: asyncio.TimerHandle | None = None
        self._lost: asyncio.Event = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether it makes sense to ask."""
        return self.state == "up" and not self._paused and len(self._waiting) < _MOST_WAITING

    def start(self) -> None:
        """Connect, and stay connected, in the background."""
        self._keeper = self._loop.create_task(self._keep())

    async def close(self) -> None:
        """Send what is waiting to be sent, and part."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        self._flush()
        if self._transport is not None:
            self._transport.close()

    async def ask(self, *commands: Command) -> list[Reply] | None:
        """The replies; None where there were none in time, or nobody is asked now."""
        if not self.ready:
            return None
        future: asyncio.Future[list[Reply] | None] = self._loop.create_future()
        self._send(commands, future)
        return await future

    def tell(self, *commands: Command) -> bool:
        """Send commands whose replies do not matter; errors are counted. False: not sent."""
        if not self.ready:
            return False
        self._send(commands, None)
        return True

    # The connection

    def data_received(self, data: bytes) -> None:
        """See ``asyncio.Protocol``."""
        reader, waiting = self._reader, self._waiting
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _NOTHING:
                if not waiting:
                    raise HiredisError("a reply that nobody asked for")
                self._replied(waiting[0], reply)
        except HiredisError as error:
            self._give_up(f"it does not speak Redis' protocol: {error}")

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol``."""
        self._transport = None
        if self.state != "down":
            self._turn("down", str(exc or "the connection was closed"))
        self._abandon()
        self._lost.set()

    def pause_writing(self) -> None:
        """See ``asyncio.Protocol``."""
        self._paused = True

    def resume_writing(self) -> None:
        """See ``asyncio.Protocol``."""
        self._paused = False

    def _replied(self, asked: _Asked, reply: Reply) -> None:
        if isinstance(reply, ReplyError):
            self.refused += 1
            self.refusal = str(reply)
            asked.failed = True
        asked.replies.append(reply)
        if len(asked.replies) < asked.count:
            return
        self._waiting.popleft()
        if not asked.failed:
            self.refusal = ""
        elif asked.future is None and self.untold is not None:
            self.untold()
        future = asked.future
        if future is not None and not future.done():
            self._late = 0
            future.set_result(asked.replies)

    def _send(
        self, commands: Sequence[Command], future: asyncio.Future[list[Reply] | None] | None
    ) -> None:
        """Queue for the next turn of the loop: what is asked meanwhile goes along."""
        if not self._out:
            self._loop.call_soon(self._flush)
        for command in commands:
            self._out.append(pack_command(command))
        self._waiting.append(_Asked(len(commands), future, self._loop.time()))
        if self._timer is None:
            self._timer = self._loop.call_later(self.timeout, self._sweep)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._transport is not None and out:
            self._transport.write(b"".join(out))

    def _sweep(self) -> None:
        """Somebody's time may be up. What has come while this process was busy is read first."""
        self._timer = self._loop.call_later(_TURN, self._expire)

    def _expire(self) -> None:
        """End the questions whose time is up. Their replies, if they come, are thrown away."""
        self._timer = None
        now = self._loop.time()
        wait = self.timeout
        for asked in self._waiting:
            if asked.future is None or asked.future.done():
                continue
            if (left := asked.sent + self.timeout - now) > 0.0:
                wait = left
                break
            self._late += 1
            asked.future.set_result(None)
        if not self._waiting:
            return
        if now - self._waiting[0].sent > _DEAD + self.timeout:
            self._give_up(f"no answer within {_DEAD:g} s")
            return
        if self._late >= _PATIENCE and self.state == "up":
            self._turn("slow", f"no answer within {self.timeout * 1000:g} ms")
        self._timer = self._loop.call_later(wait, self._sweep)

    def _give_up(self, why: str) -> None:
        self._turn("down", why)
        if self._transport is not None:
            self._transport.abort()

    def _abandon(self) -> None:
        """Nobody will answer what was asked."""
        waiting, self._waiting = self._waiting, deque()
        self._out.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for asked in waiting:
            if asked.future is not None and not asked.future.done():
                asked.future.set_result(None)

    def _turn(self, state: str, why: str = "") -> None:
        if state == self.state and why == self.trouble:
            return
        self.state, self.trouble = state, why
        if state == "up":
            self._late = 0
            log.info("redis answers", extra={"address": self.address.shown})
        else:
            text = "redis is not asked until it answers again"
            log.warning(text, extra={"address": self.address.shown, "reason": why})

    # Coming back

    async def _keep(self) -> None:
        """Connect, watch, and connect again."""
        pause = _FIRST
        while True:
            try:
                async with asyncio.timeout(_CONNECT):
                    await self._connect()
            except (OSError, TimeoutError, ValueError, HiredisError) as error:
                self._turn("down", str(error) or "no connection in time")
                if self._transport is not None:
                    self._transport.abort()
                await asyncio.sleep(pause)
                pause = min(_LONGEST, pause * 2)
                continue
            pause = _FIRST
            await self._watch()

    async def _connect(self) -> None:
        self._reader = Reader(notEnoughData=_NOTHING)
        self._waiting.clear()
        self._out.clear()
        self._paused = False
        self._lost = asyncio.Event()
        address = self.address
        if address.path is not None:
            made, _ = await self._loop.create_unix_connection(lambda: self, address.path)
        else:
            tls = await asyncio.to_thread(context, address)
            made, _ = await self._loop.create_connection(
                lambda: self, address.host, address.port, ssl=tls
            )
        self._transport = made
        greeting: list[Command] = [("PING",)]
        if address.password is not None:
            greeting.insert(
                0, ("AUTH", *([address.user] if address.user else []), address.password)
            )
        if address.database:
            greeting.insert(-1, ("SELECT", address.database))
        await self._greet(greeting)
        self._turn("up")

    async def _greet(self, commands: list[Command]) -> None:
        """Raises ``HiredisError`` for what the server refuses."""
        future: asyncio.Future[list[Reply] | None] = self._loop.create_future()
        self._send(commands, future)
        if self._timer is not None:  # connecting has a time of its own
            self._timer.cancel()
            self._timer = None
        replies = await future
        if replies is None:
            raise HiredisError("the connection was closed")
        for reply in replies:
            if isinstance(reply, ReplyError):
                raise reply

    async def _watch(self) -> None:
        """While connected: find out when a slow server answers in time again."""
        pause = _FIRST
        while not self._lost.is_set():
            try:
                async with asyncio.timeout(pause):
                    await self._lost.wait()
            except TimeoutError:
                pass
            if self.state != "slow":
                pause = _FIRST
            elif await self._probe():
                self._turn("up")
            else:
                pause = min(_LONGEST, pause * 2)

    async def _probe(self) -> bool:
        future: asyncio.Future[list[Reply] | None] = self._loop.create_future()
        self._send((("PING",),), future)
        return await future is not None
