"""A request to this process's own data plane, in the name of a caller who is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from msgspec import Struct

from modelyard.gateway.jobs.schema import Asked
from modelyard.gateway.loopback import connected
from modelyard.kernel.principal import Principal

_LARGEST_HEAD = 64 * 1024  # bytes

Lend = Callable[[Principal], Awaitable[str]]  # a secret for a caller, with today's rights
GiveBack = Callable[[str], None]


class Reply(Struct, frozen=True):
    """A whole answer; names of fields are in lower case."""

    status: int
    fields: dict[str, str]
    body: bytes


class Inside:
    """Speaks HTTP with the data plane over a pair of sockets that nobody else has.

    So an inference job goes the way of every request (limits, cache, flights, ledger), and closing
    the pair cancels it as a client that leaves does. ``lend`` gives a secret that only this
    process knows, for as long as the request takes.
    """

    def __init__(
        self, connect: Callable[[], asyncio.Protocol], lend: Lend, give_back: GiveBack
    ) -> None:
        self._connect = connect
        self._lend = lend
        self._give_back = give_back

    async def post(self, caller: Principal, asked: Asked, body: str, request_id: str) -> Reply:
        """Make the request. Raises ``UNAUTHENTICATED`` or ``PERMISSION_DENIED`` for the caller."""
        secret = await self._lend(caller)
        try:
            async with connected(self._connect, _LARGEST_HEAD) as (reader, writer):
                writer.write(_request(asked, body.encode(), request_id, secret))
                return _reply(await reader.readuntil(b"\r\n\r\n"), await reader.read())
        finally:
            self._give_back(secret)


def _request(asked: Asked, body: bytes, request_id: str, secret: str) -> bytes:
    fields = {
        **asked.headers,
        "host": "modelyard",
        "authorization": f"Bearer {secret}",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "x-request-id": request_id,
        "connection": "close",
    }
    lines = [f"POST {asked.surface} HTTP/1.1", *(f"{name}: {fields[name]}" for name in fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def _reply(head: bytes, body: bytes) -> Reply:
    first, *lines = head.decode("latin-1").strip().split("\r\n")
    fields = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return Reply(int(first.split(" ")[1]), fields, body)
