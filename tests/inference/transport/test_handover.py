"""An answer that the poller reads: it ends, stalls and is given up as any other does."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from time import monotonic
from typing import Any

import pytest
from scripted import PATIENCE, Peer, Upstream, free, listen, request, short, until

from inference.moulded import Stream, chunk
from modelyard.inference.relay import Relay
from modelyard.inference.transport import handover
from modelyard.inference.transport.client import Client
from modelyard.inference.transport.exchange import Passage
from modelyard.inference.transport.wire import ConnectionLost, Deadlines, IdleTimeout, Origin
from relaying import polling

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return polling(tmp_path_factory.mktemp("relay"))


@pytest.fixture
def stream(module: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stream]:
    monkeypatch.setattr(handover, "make_poller", module.Poller)
    with closing(Stream(module)) as one:
        one.client.setblocking(False)
        yield one


class Way(Passage):
    """Nothing is taken in Python: all that the relay takes is read by the poller."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream

    def take(self, body: bytes, chunk: bytes) -> bool:
        return False

    def direct(self) -> Relay | None:
        relay: Relay = self.stream.relay
        return relay

    def prepare(self) -> Relay | None:
        self.stream.set()
        return self.direct()

    def stop(self) -> None:
        self.stream.relay.halt()


class Call:
    """One answer, its first parts read by the event loop, the next by the poller."""

    def __init__(self, stream: Stream, client: Client, upstream: Upstream) -> None:
        self.stream = stream
        self.client = client
        self.upstream = upstream
        self.origin: Origin = upstream.origin(max_connections=1)

    async def begin(self, deadlines: Deadlines) -> "Call":
        self.response = await self.client.send(self.origin, request(), deadlines)
        self.heard = listen(self.response)
        self.response.shorten(Way(self.stream))
        await until(lambda: self.heard.body == b"zero")
        await self.send(chunk("one"))
        await until(lambda: bytes(self.heard.body).count(b"one") == 1)
        await self.send(chunk("two"))
        await self.receive(chunk("two"))
        return self

    async def send(self, data: bytes) -> None:
        await self.upstream.peers[0].send(data)

    async def receive(self, wanted: bytes) -> None:
        """By the poller, at the client."""
        loop, got = asyncio.get_running_loop(), b""
        async with asyncio.timeout(PATIENCE):
            while len(got) < len(wanted):
                got += await loop.sock_recv(self.stream.client, len(wanted) - len(got))
        assert got == wanted

    async def gone(self) -> None:
        await until(lambda: self.upstream.peers[0].closed_at is not None)
        await until(lambda: free(self.client, self.origin))  # who resets hears of it first


async def script(peer: Peer) -> None:
    await peer.request()
    await peer.send(HEAD + b"4\r\nzero\r\n")
    await peer.gone()


async def test_the_end_comes_back_and_the_connection_serves_again(
    stream: Stream, client: Client
) -> None:
    async with Upstream(script) as upstream:
        call = await Call(stream, client, upstream).begin(short())
        await call.send(b"0\r\n\r\n")
        await asyncio.wait_for(call.heard.wait(), PATIENCE)
        assert call.heard.ends == [None]
        assert stream.texts == ["two"]
        assert client.usage(call.origin).idle == 1


async def test_what_the_relay_does_not_take_comes_back_in_order(
    stream: Stream, client: Client
) -> None:
    async with Upstream(script) as upstream:
        call = await Call(stream, client, upstream).begin(short())
        await call.send(chunk("three") + b"4\r\nfour\r\n" + b"4\r\nfive\r\n")
        await call.receive(chunk("three"))
        await until(lambda: bytes(call.heard.body).endswith(b"fourfive"))
        await call.send(chunk("six"))
        await until(lambda: stream.texts == ["two", "three"])
        call.response.close()
        await call.gone()


async def test_an_answer_that_stalls_is_ended(stream: Stream, client: Client) -> None:
    """By a clock of the test's own; what the poller read counts as progress."""
    async with Upstream(script) as upstream:
        call = await Call(stream, client, upstream).begin(short(total=1e9))
        (pool,) = client._pools.values()
        now = monotonic() + 1_000_000
        pool.check(now)
        assert not call.heard.ends
        pool.check(now + 1_000_000)
        assert isinstance(call.heard.ends[0], IdleTimeout)
        assert stream.texts == ["two"]
        await call.gone()


@pytest.mark.parametrize(
    "leave",
    [lambda call: call.response.close(), lambda call: call.upstream.peers[0].reset()],
    ids=["by us", "by the provider"],
)
async def test_it_is_given_up(
    stream: Stream, client: Client, leave: Callable[[Call], None]
) -> None:
    async with Upstream(script) as upstream:
        call = await Call(stream, client, upstream).begin(short())
        leave(call)
        await until(lambda: stream.texts == ["two"])
        await call.gone()


class Faulty(Way):
    """It fails at a chunk that the poller gave back."""

    def take(self, body: bytes, chunk: bytes) -> bool:
        raise LookupError


async def test_a_listener_that_fails_loses_the_connection(stream: Stream, client: Client) -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    async with Upstream(script) as upstream:
        call = await Call(stream, client, upstream).begin(short())
        call.response.shorten(Faulty(stream))
        await call.send(chunk('"four"'))
        await asyncio.wait_for(call.heard.wait(), PATIENCE)
        assert isinstance(call.heard.ends[0], ConnectionLost)
        assert isinstance(told[0]["exception"], LookupError)
        await call.gone()


async def test_a_connection_that_breaks_is_told(stream: Stream, client: Client) -> None:
    async with Upstream(script) as upstream:
        call = await Call(stream, client, upstream).begin(short())
        upstream.peers[0].reset()
        await asyncio.wait_for(call.heard.wait(), PATIENCE)
        assert isinstance(call.heard.ends[0], ConnectionLost)
        assert stream.texts == ["two"]


async def test_a_reader_that_pauses_gets_the_rest_once_it_resumes(
    stream: Stream, client: Client
) -> None:
    async with Upstream(script) as upstream:
        call = await Call(stream, client, upstream).begin(short())
        call.response.pause()
        assert stream.texts == ["two"]
        await call.send(b"5\r\nthree\r\n")
        call.response.resume()
        await until(lambda: bytes(call.heard.body).endswith(b"three"))
        await call.send(b"0\r\n\r\n")
        await asyncio.wait_for(call.heard.wait(), PATIENCE)
        assert call.heard.ends == [None]


async def test_closing_the_client_ends_it(stream: Stream) -> None:
    client = Client()
    async with Upstream(script) as upstream:
        await Call(stream, client, upstream).begin(short())
        await client.close()
        assert stream.texts == ["two"]
        await until(lambda: upstream.peers[0].closed_at is not None)
