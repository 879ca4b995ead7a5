"""Each deadline ends a call with an error of its own, not early and not much later."""

import asyncio
import socket
import time

import pytest
from scripted import (
    OK,
    PATIENCE,
    Heard,
    Peer,
    Script,
    Upstream,
    free,
    listen,
    request,
    short,
    until,
)

from modelyard.inference.transport.client import REST, TICK, Client
from modelyard.inference.transport.wire import (
    ConnectTimeout,
    Deadlines,
    FirstByteTimeout,
    IdleTimeout,
    Origin,
    Response,
    Tls,
    TotalTimeout,
    TransportError,
)
from patience import Late, retried

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LATE = 50.0  # seconds a busy machine may notice late
EARLY = 0.005  # uvloop counts in milliseconds


def stalls(*parts: bytes, every: float = 0.0) -> Script:
    """Answers with ``parts`` and then nothing; with ``every`` the last part for ever."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts)
        while every and not peer.writer.is_closing():
            await asyncio.sleep(every)
            await peer.send(parts[-1])
        await peer.gone()

    return script


async def check(
    client: Client, script: Script, deadlines: Deadlines, whole: bool, limit: float
) -> TransportError:
    """The error a call ends with, ``limit`` seconds after its start or a little later."""
    async with Upstream(script) as upstream:
        origin = upstream.origin()
        begun = time.monotonic()
        with pytest.raises(TransportError) as caught:
            response = await client.send(origin, request(), deadlines, whole=whole)
            await response.read(1_000_000)
        assert limit - EARLY <= time.monotonic() - begun < limit + LATE
        assert free(client, origin)
        [peer] = upstream.peers
        await until(lambda: peer.closed_at is not None or peer.writer.is_closing())
        assert caught.value.sent
    return caught.value


@pytest.mark.parametrize("whole", [True, False])
async def test_first_byte(client: Client, whole: bool) -> None:
    error = await check(client, stalls(), short(first_byte=0.2), whole, 0.2)
    assert type(error) is FirstByteTimeout
    assert "0.2 s" in str(error)


@pytest.mark.parametrize("whole", [True, False])
async def test_an_interim_answer_is_no_first_byte(client: Client, whole: bool) -> None:
    script = stalls(b"HTTP/1.1 100 Continue\r\n\r\n")
    error = await check(client, script, short(first_byte=0.2), whole, 0.2)
    assert type(error) is FirstByteTimeout


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\n", CHUNKED, CHUNKED + b"2\r\nok\r\n"])
async def test_idle(client: Client, part: bytes, whole: bool) -> None:
    error = await check(client, stalls(part), short(idle=0.1), whole, 0.1)
    assert type(error) is IdleTimeout


@pytest.mark.parametrize("whole", [True, False])
async def test_total(client: Client, whole: bool) -> None:
    script = stalls(CHUNKED + b"2\r\nok\r\n", b"1\r\nx\r\n", every=0.01)
    error = await check(client, script, short(total=0.3), whole, 0.3)
    assert type(error) is TotalTimeout


async def ended(heard: Heard, early: type[TransportError]) -> TransportError | None:
    """How an answer ended. Raises ``Late`` where the machine was so slow that ``early`` was due."""
    error = await heard.wait()
    assert error is None or isinstance(error, TransportError)
    if type(error) is early:
        raise Late(str(error))
    return error


async def answered(client: Client, upstream: Upstream, deadlines: Deadlines) -> Response:
    """The head of an answer. Raises ``Late`` where the machine did not get that far in time."""
    try:
        return await client.send(upstream.origin(), request(), deadlines)
    except TransportError as error:
        raise Late(str(error)) from error


@retried
async def test_a_listener_is_told(client: Client) -> None:
    async with Upstream(stalls(CHUNKED + b"2\r\nok\r\n")) as upstream:
        heard = listen(await answered(client, upstream, short(idle=0.2)))
        assert type(await heard.wait()) is IdleTimeout
        assert heard.body == b"ok"


@retried
async def test_the_idle_deadline_stands_still_during_a_pause(client: Client) -> None:
    async with Upstream(stalls(CHUNKED + b"2\r\nok\r\n", b"1\r\nx\r\n")) as upstream:
        response = await answered(client, upstream, short(idle=1.0))
        heard = listen(response)
        await asyncio.wait_for(heard.more.wait(), PATIENCE)
        response.pause()
        if heard.ends:
            raise Late("it ended before the pause")
        await asyncio.sleep(1.2)
        assert heard.ends == []
        begun = time.monotonic()
        response.resume()
        assert type(await heard.wait()) is IdleTimeout
        assert 0.1 < time.monotonic() - begun < LATE


@retried
async def test_the_total_deadline_does_not(client: Client) -> None:
    async with Upstream(stalls(CHUNKED + b"2\r\nok\r\n")) as upstream:
        response = await answered(client, upstream, short(total=0.3))
        heard = listen(response)
        response.pause()
        assert type(await heard.wait()) is TotalTimeout
        assert free(client, upstream.origin())


@retried
async def test_a_stream_nobody_reads_ends_with_the_total_deadline(client: Client) -> None:
    script = stalls(CHUNKED, b"2710\r\n" + bytes(10_000) + b"\r\n", every=0.0001)
    async with Upstream(script) as upstream:
        response = await answered(client, upstream, short(idle=0.5, total=1.2))
        await until(lambda: free(client, upstream.origin()))
        heard = listen(response)
        assert type(await ended(heard, IdleTimeout)) is TotalTimeout
        assert len(heard.body) < 1_000_000


def full_listener() -> tuple[list[socket.socket], int]:
    """A port whose queue of connections is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    sockets = [listener]
    for _ in range(8):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        sockets.append(filler)
    return sockets, listener.getsockname()[1]


@pytest.mark.parametrize(
    ("deadlines", "kind"),
    [
        (short(connect=0.2), ConnectTimeout),
        (short(total=0.2), TotalTimeout),
    ],
)
async def test_connect(client: Client, deadlines: Deadlines, kind: type[TransportError]) -> None:
    sockets, port = full_listener()
    origin = Origin("http", "127.0.0.1", port)
    begun = time.monotonic()
    with pytest.raises(kind) as caught:
        await client.send(origin, request(), deadlines)
    assert 0.2 - EARLY <= time.monotonic() - begun < LATE
    assert not caught.value.sent
    assert free(client, origin)
    for sock in sockets:
        sock.close()


async def test_connect_includes_tls(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.gone()

    async with Upstream(script) as upstream:
        origin = upstream.origin(tls=Tls())
        with pytest.raises(ConnectTimeout):
            await client.send(origin, request(), short(connect=0.3))
        assert free(client, origin)


@retried
async def test_a_slow_reader_of_a_large_body_is_given_time(client: Client) -> None:
    """The first byte's deadline counts from the last bytes the upstream took."""

    async def script(peer: Peer) -> None:
        asked = await peer.head()
        left = int(asked.headers[b"content-length"])
        peer.writer.transport.set_write_buffer_limits()
        while left:
            left -= len(await peer.reader.read(400_000))
            await asyncio.sleep(0.04)
        await peer.send(OK)

    async with Upstream(script) as upstream:
        upstream._server.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        ask = request(body=bytes(20_000_000))
        begun = time.monotonic()
        try:
            response = await client.send(upstream.origin(), ask, short(first_byte=1.0), whole=True)
        except FirstByteTimeout as error:  # ten times out of ten, were it counted otherwise
            raise Late(str(error)) from error
        assert await response.read(10) == b"ok"
        assert time.monotonic() - begun > 1.5, "the upstream was too fast to test anything"


async def test_an_upstream_that_does_not_read_is_given_up(client: Client) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await gone.wait()

    async with Upstream(script) as upstream:
        ask = request(body=bytes(40_000_000))
        with pytest.raises(FirstByteTimeout):
            await client.send(upstream.origin(), ask, short(first_byte=0.3, total=60))
        gone.set()
        assert free(client, upstream.origin())


async def test_a_short_deadline_is_kept_beside_long_ones(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock is looked at seldom while nothing asks for more, and sooner when a call does."""
    asked: list[float] = []
    look = Client._look

    def noted(self: Client, now: float, due: float) -> None:
        asked.append(due - now)
        look(self, now, due)

    monkeypatch.setattr(Client, "_look", noted)
    long = Deadlines(first_byte=60.0, idle=60.0, total=300.0)
    async with Upstream(stalls(CHUNKED)) as upstream:
        waiting = await client.send(upstream.origin(), request(), long)
        await until(lambda: len(asked) > 2)  # the first is to come while it connects
        assert min(asked[1:]) >= REST
        with pytest.raises(IdleTimeout):
            response = await client.send(upstream.origin(), request(), short(idle=0.1))
            await response.read(1_000_000)
        assert min(asked[1:]) < TICK
        waiting.close()
