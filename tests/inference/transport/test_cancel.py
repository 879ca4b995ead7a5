"""Who leaves closes the upstream's socket within 100 ms and frees the slot."""

import asyncio
import contextlib
import gc
import socket
import ssl
import time
from collections.abc import Awaitable, Callable

import pytest
import trustme
from scripted import (
    OK,
    PATIENCE,
    SOON,
    Peer,
    Upstream,
    answers,
    free,
    listen,
    request,
    short,
    until,
)

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.wire import ConnectionLost, Origin, Response, Tls
from patience import Late, retried

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Slow:
    """An upstream that answers a part and then nothing; over TLS when asked."""

    def __init__(self, part: bytes, secure: bool, folder: str) -> None:
        async def script(peer: Peer) -> None:
            await peer.request()
            await peer.send(part)
            await peer.gone()

        self.tls: Tls | None = None
        context: ssl.SSLContext | None = None
        if secure:
            authority = trustme.CA()
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            authority.issue_cert("127.0.0.1").configure_cert(context)
            authority.cert_pem.write_to_path(f"{folder}/ca.pem")
            self.tls = Tls(ca_file=f"{folder}/ca.pem")
        self.upstream = Upstream(script, context=context)

    def origin(self) -> Origin:
        return self.upstream.origin(tls=self.tls, max_connections=1)

    async def closes(self, client: Client, leave: Callable[[], object]) -> None:
        """That after ``leave`` the slot is free and the socket is closed, at once."""
        [peer] = self.upstream.peers
        assert client.usage(self.origin()).busy == 1
        assert peer.closed_at is None
        left = time.monotonic()
        result = leave()
        if isinstance(result, Awaitable):
            await result
        assert free(client, self.origin())
        await until(lambda: peer.closed_at is not None)
        assert peer.closed_at is not None
        if peer.closed_at - left >= SOON:
            raise Late(peer.closed_at - left)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("whole", [True, False])
@retried
async def test_before_the_headers(client: Client, whole: bool, secure: bool, tmp_path: str) -> None:
    slow = Slow(b"", secure, str(tmp_path))
    async with slow.upstream as upstream:
        call = asyncio.create_task(client.send(slow.origin(), request(), short(), whole=whole))
        await until(lambda: bool(upstream.asked))

        async def leave() -> None:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

        await slow.closes(client, leave)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@retried
async def test_whole_in_the_body(client: Client, secure: bool, tmp_path: str) -> None:
    slow = Slow(CHUNKED + b"2\r\nok\r\n", secure, str(tmp_path))
    async with slow.upstream as upstream:
        call = asyncio.create_task(client.send(slow.origin(), request(), short(), whole=True))
        await until(lambda: bool(upstream.asked))
        await asyncio.sleep(0.02)

        async def leave() -> None:
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

        await slow.closes(client, leave)


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("paused", [False, True])
@retried
async def test_in_mid_stream(client: Client, secure: bool, paused: bool, tmp_path: str) -> None:
    slow = Slow(CHUNKED + b"2\r\nok\r\n", secure, str(tmp_path))
    async with slow.upstream:
        response = await client.send(slow.origin(), request(), short())
        heard = listen(response)
        await asyncio.wait_for(heard.more.wait(), PATIENCE)
        if paused:
            response.pause()
        await slow.closes(client, response.close)
        response.close()
        assert (heard.body, heard.ends) == (b"ok", [])


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
async def test_in_the_request_body(client: Client, secure: bool, tmp_path: str) -> None:
    """What waits to be written is dropped, not sent to the end first."""
    size = 40_000_000
    go, taken = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def script(peer: Peer) -> None:
        await peer.head()
        await go.wait()
        count = 0
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            while data := await peer.reader.read(1_000_000):
                count += len(data)
        taken.set_result(count)

    slow = Slow(b"", secure, str(tmp_path))
    slow.upstream._script = script
    async with slow.upstream as upstream:
        ask = request(body=bytes(size))
        call = asyncio.create_task(client.send(slow.origin(), ask, short()))
        await until(lambda: bool(upstream.asked))
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert free(client, slow.origin())
        go.set()
        assert await asyncio.wait_for(taken, PATIENCE) < size


@retried
async def test_while_reading(client: Client, tmp_path: str) -> None:
    slow = Slow(CHUNKED + b"2\r\nok\r\n", False, str(tmp_path))
    async with slow.upstream:
        response = await client.send(slow.origin(), request(), short())
        reading = asyncio.create_task(response.read(1000))
        await asyncio.sleep(0.02)

        async def leave() -> None:
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading

        await slow.closes(client, leave)


@retried
async def test_closing_fails_a_reader_elsewhere(client: Client, tmp_path: str) -> None:
    slow = Slow(CHUNKED, False, str(tmp_path))
    async with slow.upstream:
        response = await client.send(slow.origin(), request(), short())
        reading = asyncio.create_task(response.read(1000))
        await asyncio.sleep(0.02)
        await slow.closes(client, response.close)
        with pytest.raises(ConnectionLost, match="closed by its caller"):
            await reading


async def test_from_within_the_listener(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await asyncio.sleep(0.02)
        await peer.send(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
        await peer.gone()

    heard: list[object] = []
    async with Upstream(script) as upstream:
        origin = upstream.origin()
        response: Response = await client.send(origin, request(), short())

        def piece(data: bytes) -> None:
            heard.append(data)
            response.close()

        response.listen(piece, heard.append)
        [peer] = upstream.peers
        await until(lambda: peer.closed_at is not None)
        assert heard == [b"a"]
        assert free(client, origin)
        assert client.usage(origin).idle == 0


async def test_closing_a_complete_answer_keeps_the_connection(client: Client) -> None:
    async with Upstream(answers(CHUNKED + b"2\r\nok\r\n0\r\n\r\n")) as upstream:
        response = await client.send(upstream.origin(), request(), short())
        heard = listen(response)
        await heard.wait()
        response.close()
        response.close()
        again = await client.send(upstream.origin(), request(), short(), whole=True)
        again.close()
        assert again.reused
        assert client.usage(upstream.origin()).idle == 1


@pytest.mark.parametrize("answer", [CHUNKED + b"2\r\nok\r\n", OK, b"garbage"])
@pytest.mark.parametrize("whole", [True, False])
async def test_in_the_moment_of_the_answer(client: Client, answer: bytes, whole: bool) -> None:
    """The answer came, but its caller is cancelled before it hears of it."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await go.wait()
        await peer.send(answer)
        await peer.gone()

    async with Upstream(script) as upstream:
        origin = upstream.origin()
        call = asyncio.create_task(client.send(origin, request(), short(), whole=whole))
        await until(lambda: bool(upstream.asked))
        [connection] = client._pools[origin]._connections
        feed = connection._feed

        def feed_and_cancel(data: bytes) -> None:
            try:
                feed(data)
            finally:
                call.cancel()

        connection._feed = feed_and_cancel
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert free(client, origin)
    connection._feed = feed
    call = asyncio.create_task(asyncio.sleep(0))  # lets go of the cancelled one
    await call
    gc.collect()
    assert told == []


async def test_while_connecting(client: Client) -> None:
    """A listener whose queue is full: the handshake of TCP does not end."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        fillers = []
        for _ in range(8):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
            fillers.append(filler)
        origin = Origin("http", "127.0.0.1", listener.getsockname()[1])
        call = asyncio.create_task(client.send(origin, request(), short()))
        await until(lambda: client.usage(origin).busy == 1)
        await asyncio.sleep(0.05)
        assert not call.done()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert free(client, origin)
        for filler in fillers:
            filler.close()


@retried
async def test_while_tls_shakes_hands(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with Upstream(script) as upstream:
        origin = upstream.origin(tls=Tls())
        call = asyncio.create_task(client.send(origin, request(), short()))
        await until(lambda: bool(upstream.peers))
        await asyncio.sleep(0.05)
        left = time.monotonic()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert free(client, origin)
        [peer] = upstream.peers
        await until(lambda: peer.closed_at is not None)
        assert peer.closed_at is not None
        if peer.closed_at - left >= SOON:
            raise Late(peer.closed_at - left)
