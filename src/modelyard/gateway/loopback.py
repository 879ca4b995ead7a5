"""Connections to this process's own data plane, over a pair of sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable


@contextlib.asynccontextmanager
async def connected(
    connect: Callable[[], asyncio.Protocol], limit: int
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection that is cut at the end, as by a client that leaves.

    ``connect`` makes the data plane's side; ``limit`` is the longest head of an answer, in bytes.
    """
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    writer: asyncio.StreamWriter | None = None
    try:
        await asyncio.get_running_loop().connect_accepted_socket(connect, theirs)
        reader, writer = await asyncio.open_connection(sock=ours, limit=limit)
        yield reader, writer
    finally:
        if writer is None:
            ours.close()
        else:
            writer.transport.abort()
