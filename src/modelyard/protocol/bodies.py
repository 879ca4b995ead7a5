"""Bodies that come and go part by part, and answers: what ``asgi`` moves, which is compiled."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping
from typing import Any

from msgspec import Struct

from modelyard.protocol.errors import Failure

JSON = "application/json"


class Inflow:
    """A request's body as it arrives, once over.

    ``length`` is what the client announced, None where it did not. ``memo`` is for what was made
    of it: a method that is tried anew finds it there.
    """

    def __init__(self, headers: Mapping[bytes, bytes], receive: Any) -> None:
        announced = headers.get(b"content-length", b"")
        self.length = int(announced[:20]) if announced.isdigit() else None
        self.memo: Any = None
        self._receive = receive

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """Its parts. Raises ``Disconnected``."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Disconnected
            if part := message.get("body", b""):
                yield part
            more = message.get("more_body", False)


class Disconnected(Exception):
    """The client left before its request was complete: nobody waits for an answer."""


class Stream(Struct, frozen=True):
    """An answer that is sent part by part until it ends or the client leaves.

    One that announces a ``Content-Length`` is sent to its end, also by a server that stops.
    """

    parts: AsyncGenerator[bytes, None]
    content_type: str = "text/event-stream"
    status: int = 200
    headers: dict[str, str] = {}


class Answer(Struct):
    """An answer, ready for the wire. ``content_type`` is sent unless the status is 204."""

    status: int
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = {}


async def lasting(
    parts: AsyncGenerator[bytes, None], stopping: asyncio.Event
) -> AsyncGenerator[bytes, None]:
    """A stream's parts until the server stops, or they fail: the caller's rights have ended."""
    stopped = asyncio.ensure_future(stopping.wait())
    try:
        async with contextlib.aclosing(parts):
            while not stopping.is_set():
                coming = asyncio.ensure_future(_next(parts))
                try:
                    await asyncio.wait({coming, stopped}, return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done() or (part := coming.result()) is None:
                        return
                finally:
                    coming.cancel()
                    await asyncio.gather(coming, return_exceptions=True)
                yield part
    except Failure:
        return
    finally:
        stopped.cancel()


async def _next(parts: AsyncGenerator[bytes, None]) -> bytes | None:
    return await anext(parts, None)


class Begun:
    """A coroutine that was begun by ``send(None)``, to be awaited from where it waits."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], waits_for: Any) -> None:
        self._coroutine, self._waits_for = coroutine, waits_for

    def __await__(self) -> Generator[Any, Any, Any]:
        """Hand on what it waits for, then whatever it waits for next; its result."""
        try:
            yield self._waits_for
            return (yield from self._coroutine.__await__())
        finally:
            self._coroutine.close()
