"""The pool: bounded, fair, last in first out, and without leaks."""

import asyncio
import socket
import time

import pytest
from scripted import (
    NOTHING,
    OK,
    PATIENCE,
    Peer,
    Upstream,
    answers,
    free,
    listen,
    request,
    short,
    until,
)

from modelyard.inference.transport import reading
from modelyard.inference.transport.client import Client
from modelyard.inference.transport.fields import seconds_to_keep
from modelyard.inference.transport.pool import Usage
from modelyard.inference.transport.wire import (
    ConnectFailed,
    ConnectionLost,
    Origin,
    PoolTimeout,
    Response,
    TotalTimeout,
    TransportError,
)
from patience import Late, retried

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Gate:
    """An upstream that answers each request when the test says so, in the order of arrival."""

    def __init__(self) -> None:
        self.order: list[bytes] = []
        self.gates: list[asyncio.Event] = []
        self.upstream = Upstream(self.script)

    async def script(self, peer: Peer) -> None:
        while True:
            asked = await peer.request()
            gate = asyncio.Event()
            self.order.append(asked.body)
            self.gates.append(gate)
            await gate.wait()
            await peer.send(OK)

    def call(self, client: Client, origin: Origin, body: bytes) -> "asyncio.Task[Response]":
        ask = request(body=body)
        return asyncio.create_task(client.send(origin, ask, short(), whole=True))


async def test_never_more_connections_than_allowed(client: Client) -> None:
    async with Upstream(answers(OK)) as upstream:
        origin = upstream.origin(max_connections=3)
        calls = (client.send(origin, request(), short(), whole=True) for _ in range(50))
        responses = await asyncio.gather(*calls)
        assert [await response.read(10) for response in responses] == [b"ok"] * 50
        assert len(upstream.peers) == 3
        assert client.usage(origin) == Usage(0, 3, 0)


async def test_waiters_are_served_in_their_order(client: Client) -> None:
    gate = Gate()
    async with gate.upstream as upstream:
        origin = upstream.origin(max_connections=1)
        calls = []
        for number in range(5):
            calls.append(gate.call(client, origin, b"%d" % number))
            await asyncio.sleep(0)
        for number in range(5):
            await until(lambda number=number: len(gate.gates) > number)
            assert client.usage(origin) == Usage(1, 0, 4 - number)
            gate.gates[number].set()
        await asyncio.gather(*calls)
        assert gate.order == [b"0", b"1", b"2", b"3", b"4"]
        assert len(upstream.peers) == 1


async def test_a_wait_has_a_limit(client: Client) -> None:
    gate = Gate()
    async with gate.upstream as upstream:
        origin = upstream.origin(max_connections=1, pool_wait=0.2)
        first = gate.call(client, origin, b"first")
        await until(lambda: bool(gate.gates))
        begun = time.monotonic()
        with pytest.raises(PoolTimeout, match=r"none of 1 connections .* within 0\.2 s") as caught:
            await gate.call(client, origin, b"second")
        assert 0.195 <= time.monotonic() - begun < PATIENCE
        assert not caught.value.sent
        assert client.usage(origin) == Usage(1, 0, 0)
        gate.gates[0].set()
        await first
        assert client.usage(origin) == Usage(0, 1, 0)


async def test_the_total_deadline_bounds_the_wait(client: Client) -> None:
    gate = Gate()
    async with gate.upstream as upstream:
        origin = upstream.origin(max_connections=1)
        first = gate.call(client, origin, b"first")
        await until(lambda: bool(gate.gates))
        with pytest.raises(TotalTimeout) as caught:
            await client.send(origin, request(), short(total=0.2))
        assert not caught.value.sent
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert free(client, origin)


async def test_a_cancelled_waiter_leaves_no_trace(client: Client) -> None:
    gate = Gate()
    async with gate.upstream as upstream:
        origin = upstream.origin(max_connections=1)
        calls = [gate.call(client, origin, b"%d" % number) for number in range(3)]
        await until(lambda: client.usage(origin) == Usage(1, 0, 2) and bool(gate.gates))
        calls[1].cancel()
        await asyncio.gather(calls[1], return_exceptions=True)
        assert client.usage(origin) == Usage(1, 0, 1)
        gate.gates[0].set()
        await until(lambda: len(gate.gates) == 2)
        gate.gates[1].set()
        await asyncio.gather(calls[0], calls[2])
        assert gate.order == [b"0", b"2"]
        assert client.usage(origin) == Usage(0, 1, 0)


@pytest.mark.parametrize("end", [b"", b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"])
async def test_a_waiter_cancelled_as_it_is_served_passes_it_on(client: Client, end: bytes) -> None:
    """Be it a connection or a slot for one."""
    go = asyncio.Event()
    served: list[bytes] = []

    async def script(peer: Peer) -> None:
        while True:
            asked = await peer.request()
            served.append(asked.body)
            await go.wait()
            await peer.send(end or OK)
            if end:
                return

    async with Upstream(script) as upstream:
        origin = upstream.origin(max_connections=1)

        def call(body: bytes) -> "asyncio.Task[Response]":
            ask = request(body=body)
            return asyncio.create_task(client.send(origin, ask, short(), whole=True))

        first, second, third = call(b"1"), call(b"2"), call(b"3")
        await until(lambda: client.usage(origin) == Usage(1, 0, 2) and bool(served))
        pool = client._pools[origin]
        waiter = next(iter(pool._waiters))
        release, discard = pool.release, pool.discard
        [connection] = pool._connections
        connection._release = lambda it: (release(it), second.cancel())
        connection._discard = lambda it: (discard(it), second.cancel())
        go.set()
        await asyncio.gather(first, second, third, return_exceptions=True)
        assert waiter.done()
        assert not waiter.cancelled(), "it was cancelled too early to test anything"
        assert second.cancelled()
        assert third.exception() is None
        assert served == [b"1", b"3"]
        await until(lambda: free(client, origin))


async def test_the_last_used_connection_is_used_first(client: Client) -> None:
    gate = Gate()
    async with gate.upstream as upstream:
        origin = upstream.origin()
        calls = [gate.call(client, origin, b"%d" % number) for number in range(3)]
        await until(lambda: len(gate.gates) == 3)
        for number in (0, 2, 1):
            gate.gates[number].set()
            await until(
                lambda number=number: client.usage(origin).idle == (0, 2, 1).index(number) + 1
            )
        await asyncio.gather(*calls)
        for number in range(3, 6):
            call = gate.call(client, origin, b"%d" % number)
            await until(lambda number=number: len(gate.gates) == number + 1)
            gate.gates[number].set()
            await call
        last = next(peer for peer in upstream.peers if peer.asked[0].body == gate.order[1])
        assert [asked.body for asked in last.asked[1:]] == [b"3", b"4", b"5"]


async def test_a_failed_connection_gives_its_slot_to_the_next(client: Client) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        origin = Origin("http", "127.0.0.1", sock.getsockname()[1], max_connections=2, pool_wait=60)
        calls = (client.send(origin, request(), short()) for _ in range(20))
        for error in await asyncio.gather(*calls, return_exceptions=True):
            assert type(error) is ConnectFailed
        assert free(client, origin)


async def test_an_idle_connection_that_was_closed_is_not_used(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)

    async with Upstream(script) as upstream:
        origin = upstream.origin()
        for _ in range(3):
            response = await client.send(origin, request(), short(), whole=True)
            assert not response.reused
            await until(lambda: client.usage(origin) == NOTHING)


async def test_nor_when_the_loop_has_not_heard_of_it_yet(client: Client) -> None:
    """The end arrives in this very step of the loop: nothing but the system can know."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        origin = Origin("http", "127.0.0.1", server.getsockname()[1])

        def answer() -> socket.socket:
            peer, _ = server.accept()
            peer.recv(65536)
            peer.sendall(OK)
            return peer

        first = asyncio.create_task(client.send(origin, request(), short(), whole=True))
        with await asyncio.to_thread(answer) as peer:
            await first
            assert client.usage(origin).idle == 1
            [idle] = client._pools[origin]._idle
            peer.close()
            # Nothing is awaited between the end's arrival and the choice of a connection.
            assert idle._readable is not None
            assert idle._readable(int(PATIENCE * 1000))
            second = client.send(origin, request(), short(), whole=True)
            answering = asyncio.get_running_loop().run_in_executor(None, answer)
            response = await second
            assert not response.reused
            (await answering).close()


async def test_a_request_is_not_sent_twice(client: Client) -> None:
    """The connection dies once the request is on its way: only the caller may decide."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.request()

    async with Upstream(script) as upstream:
        origin = upstream.origin()
        await client.send(origin, request(), short(), whole=True)
        with pytest.raises(ConnectionLost) as caught:
            await client.send(origin, request(), short(), whole=True)
        assert caught.value.sent
        assert len(upstream.asked) == 2
        assert client.usage(origin) == NOTHING


async def test_idle_connections_expire(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "KEEP_IDLE", 0.2)

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.gone()

    async with Upstream(script) as upstream:
        origin = upstream.origin()
        begun = time.monotonic()
        await client.send(origin, request(), short(), whole=True)
        await until(lambda: upstream.peers[0].closed_at is not None)
        assert time.monotonic() - begun > 0.2
        assert client.usage(origin) == NOTHING


@retried
async def test_the_upstreams_keep_alive_is_honoured(client: Client) -> None:
    answer = b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=2\r\nContent-Length: 2\r\n\r\nok"

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()

    async with Upstream(script) as upstream:
        origin = upstream.origin()
        begun = time.monotonic()
        await client.send(origin, request(), short(), whole=True)
        if not client.usage(origin).idle:
            raise Late("it was over before we looked")
        await until(lambda: client.usage(origin).idle == 0)
        took = time.monotonic() - begun
        assert took >= 1.0
        if took >= 2.0:
            raise Late(took)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"timeout=5", 4.0),
        (b"timeout=5, max=100", 4.0),
        (b"max=3, Timeout = 12", 11.0),
        (b"timeout=600", 30.0),
        (b"timeout=1", 0.0),
        (b"timeout=0", 0.0),
        (b"timeout=-1", 30.0),
        (b"", 30.0),
        (b"timeout=" + b"9" * 500, 30.0),
    ],
)
def test_seconds_to_keep(field: bytes, seconds: float) -> None:
    assert seconds_to_keep(field) == seconds


async def test_origins_do_not_share_connections(client: Client) -> None:
    async with Upstream(answers(OK)) as upstream:
        for pool_wait in (1.0, 2.0, 1.0):
            origin = upstream.origin(pool_wait=pool_wait)
            response = await client.send(origin, request(), short(), whole=True)
        assert response.reused
        assert len(upstream.peers) == 2


async def test_a_storm_of_cancellations_loses_no_slot(client: Client) -> None:
    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await asyncio.sleep(0.003)
            await peer.send(CHUNKED + b"2\r\nok\r\n")
            await asyncio.sleep(0.003)
            await peer.send(b"0\r\n\r\n")

    async with Upstream(script) as upstream:
        origin = upstream.origin(max_connections=4, pool_wait=0.1)

        async def one(number: int) -> None:
            response = None
            try:
                async with asyncio.timeout(number % 23 / 1000):
                    response = await client.send(origin, request(), short(), whole=number % 2 == 0)
                    await listen(response).wait()
            except (TimeoutError, TransportError):
                if response is not None:
                    response.close()

        await asyncio.gather(*(one(number) for number in range(300)))
        await until(lambda: free(client, origin))
        response = await client.send(origin, request(), short(), whole=True)
        assert await response.read(10) == b"ok"
