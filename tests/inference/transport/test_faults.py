"""What upstreams do wrong: each is an error of its own, and no slot is lost."""

import asyncio
import gzip
import zlib

import pytest
from scripted import OK, Peer, Script, Upstream, answers, free, listen, request, short

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.wire import (
    BodyTooLarge,
    ConnectFailed,
    ConnectionLost,
    DnsFailure,
    HeadersTooLarge,
    MalformedResponse,
    Origin,
    TransportError,
)

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n"


def once(*parts: bytes) -> Script:
    """A script that sends ``parts`` after the first request and closes."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts)

    return script


async def failure(client: Client, upstream: Upstream, whole: bool) -> TransportError:
    """What a call fails with, read one way or the other."""
    origin = upstream.origin()
    with pytest.raises(TransportError) as caught:
        response = await client.send(origin, request(), short(), whole=whole)
        await response.read(1_000_000)
    assert free(client, origin)
    assert client.usage(origin).idle == 0
    assert caught.value.sent
    return caught.value


async def stream_failure(client: Client, upstream: Upstream) -> Exception | None:
    """What a listener is told."""
    heard = listen(await client.send(upstream.origin(), request(), short()))
    error = await heard.wait()
    assert free(client, upstream.origin())
    return error


async def test_refused(client: Client) -> None:
    async with Upstream(answers(OK)) as upstream:
        origin = upstream.origin()
    with pytest.raises(ConnectFailed, match=r"127\.0\.0\.1:\d+ cannot be reached") as caught:
        await client.send(origin, request(), short(), whole=True)
    assert not caught.value.sent
    assert free(client, origin)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70, "with space", "a/b"])
async def test_a_name_that_does_not_resolve(client: Client, host: str) -> None:
    origin = Origin("http", host, 80)
    with pytest.raises(DnsFailure) as caught:
        await client.send(origin, request(), short(), whole=True)
    assert host in str(caught.value)
    assert not caught.value.sent
    assert free(client, origin)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "parts", [(), (b"HTTP/1.1 200 OK\r\nContent-Le",), (b"HTTP/1.1 100 x\r\n\r\n",)]
)
async def test_closed_before_the_headers(
    client: Client, parts: tuple[bytes, ...], whole: bool
) -> None:
    async with Upstream(once(*parts)) as upstream:
        error = await failure(client, upstream, whole)
        assert type(error) is ConnectionLost
        assert "before any answer" in str(error)
        assert len(upstream.asked) == 1, "it was sent again"


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "answer", [LENGTH, LENGTH + b"half", CHUNKED, CHUNKED + b"5\r\nhel", CHUNKED + b"2\r\nok\r\n"]
)
async def test_closed_in_the_body(client: Client, answer: bytes, whole: bool) -> None:
    async with Upstream(once(answer)) as upstream:
        error = await failure(client, upstream, whole)
        assert type(error) is ConnectionLost
        assert "before the answer was complete" in str(error)
        assert isinstance(await stream_failure(client, upstream), ConnectionLost)


async def test_reset_in_the_body(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\n\r\nuntil closed")
        await asyncio.sleep(0.02)
        peer.reset()

    async with Upstream(script) as upstream:
        assert type(await failure(client, upstream, True)) is ConnectionLost
        assert type(await failure(client, upstream, False)) is ConnectionLost


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: ten\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: \x00\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nxyz",
        b"HTTP/1.1 099 x\r\n\r\n",
        CHUNKED + b"zz\r\nabc\r\n",
        CHUNKED + b"3\r\nabcd\r\n",
        CHUNKED + b"fffffffffffffffff\r\n",
    ],
)
async def test_what_is_not_http(client: Client, answer: bytes, whole: bool) -> None:
    async with Upstream(once(answer)) as upstream:
        assert type(await failure(client, upstream, whole)) is MalformedResponse


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    "field",
    [
        b"X-Big: " + b"x" * 100_000,
        b"\r\n".join(b"X-%d: y" % number for number in range(15_000)),
        b"X: " + b"x" * 70_000,
    ],
)
@pytest.mark.parametrize("split", [1_000_000, 10_000])
async def test_headers_of_100_kb(client: Client, field: bytes, split: int, whole: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + field + b"\r\nContent-Length: 2\r\n\r\nok"
    parts = [answer[at : at + split] for at in range(0, len(answer), split)]
    async with Upstream(once(*parts)) as upstream:
        error = await failure(client, upstream, whole)
        assert type(error) is HeadersTooLarge
        assert "65536" in str(error)


async def test_headers_just_below_the_limit(client: Client) -> None:
    answer = b"HTTP/1.1 200 OK\r\nX: " + b"x" * 65_000 + b"\r\nContent-Length: 2\r\n\r\nok"
    async with Upstream(once(answer)) as upstream:
        response = await client.send(upstream.origin(), request(), short(), whole=True)
        assert len(response.header(b"x") or b"") == 65_000


async def test_small_headers_before_a_large_body(client: Client) -> None:
    body = bytes(3_000_000)
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n" + body
    async with Upstream(once(answer)) as upstream:
        response = await client.send(upstream.origin(), request(), short(), whole=True)
        assert await response.read(3_000_000) == body


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (CHUNKED + b"2\r\nok\r\n0\r\n", b"X-More: " + b"x" * 50 + b"\r\n"),  # trailers
        (CHUNKED + b"5;", b"x" * 50),  # a chunk extension
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
)
async def test_headers_without_end(client: Client, start: bytes, more: bytes) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(start)
        while not peer.writer.is_closing():
            await peer.send(more * 20)

    async with Upstream(script) as upstream:
        assert type(await failure(client, upstream, True)) is HeadersTooLarge
        assert type(await failure(client, upstream, False)) is HeadersTooLarge


def deflated(data: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        (b"gzip", b"not gzip at all"),
        (b"gzip", gzip.compress(b"hello" * 100, mtime=0)[:-3]),
        (b"gzip", gzip.compress(b"hello", mtime=0) + b"garbage"),
        (b"gzip", gzip.compress(b"hello", mtime=0)[:-8] + bytes(8)),
        (b"deflate", deflated(b"hello" * 100, 15)[:-3]),
        (b"deflate", deflated(b"hello", -15) + b"garbage"),
        (b"deflate", b"x"),
        (b"br", b"whatever"),
        (b"gzip, gzip", gzip.compress(gzip.compress(b"x", mtime=0), mtime=0)),
        (b"gzip\r\nContent-Encoding: gzip", gzip.compress(gzip.compress(b"x", mtime=0), mtime=0)),
    ],
)
async def test_codings_that_cannot_be_decoded(client: Client, coding: bytes, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: " + coding + b"\r\n"
    answer = head + b"Content-Length: %d\r\n\r\n" % len(body) + body
    async with Upstream(answers(answer)) as upstream:
        for whole in (True, False):
            with pytest.raises(MalformedResponse):
                response = await client.send(upstream.origin(), request(), short(), whole=whole)
                await response.read(1_000_000)
            assert free(client, upstream.origin())
        if coding in (b"gzip", b"deflate"):
            assert type(await stream_failure(client, upstream)) is MalformedResponse


@pytest.mark.parametrize("whole", [True, False])
async def test_a_body_over_the_limit(client: Client, whole: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n" + bytes(1001)
    async with Upstream(answers(answer)) as upstream:
        origin = upstream.origin()
        with pytest.raises(BodyTooLarge, match="1000"):
            response = await client.send(origin, request(), short(), whole=whole, limit=1000)
            await response.read(1000)
        assert free(client, origin)
        response = await client.send(origin, request(), short(), whole=whole, limit=1001)
        assert len(await response.read(1001)) == 1001


@pytest.mark.parametrize("whole", [True, False])
async def test_a_body_without_end(client: Client, whole: bool) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        while not peer.writer.is_closing():
            await peer.send(b"2710\r\n" + bytes(10_000) + b"\r\n")

    async with Upstream(script) as upstream:
        with pytest.raises(BodyTooLarge):
            response = await client.send(
                upstream.origin(), request(), short(), whole=whole, limit=1_000_000
            )
            await response.read(1_000_000)
        assert free(client, upstream.origin())


@pytest.mark.parametrize("whole", [True, False])
async def test_a_decompression_bomb(client: Client, whole: bool) -> None:
    bomb = gzip.compress(bytes(200_000_000), compresslevel=1)
    assert len(bomb) < 1_000_000
    async with Upstream(answers(GZIP % len(bomb) + bomb)) as upstream:
        with pytest.raises(BodyTooLarge):
            response = await client.send(
                upstream.origin(), request(), short(), whole=whole, limit=1_000_000
            )
            await response.read(1_000_000)
        assert free(client, upstream.origin())
        response = await client.send(upstream.origin(), request(), short())
        await asyncio.sleep(0.05)
        assert response.size < 500_000, "it unfolded with nobody reading"
        response.close()


async def test_a_listener_that_fails_costs_its_own_call_only(client: Client) -> None:
    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))

    def piece(data: bytes) -> None:
        raise LookupError("my mistake")

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED)
        await asyncio.sleep(0.02)
        await peer.send(b"2\r\nok\r\n0\r\n\r\n")
        await peer.gone()

    async with Upstream(script) as upstream:
        response = await client.send(upstream.origin(), request(), short())
        ended: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        response.listen(piece, ended.set_result)
        assert isinstance(await ended, ConnectionLost)
        assert free(client, upstream.origin())
        await asyncio.sleep(0.02)
        assert [type(context["exception"]) for context in told] == [LookupError]
