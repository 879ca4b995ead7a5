"""Answers of every shape, over real sockets."""

import asyncio
import socket

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

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.wire import ConnectFailed, ConnectionLost, Deadlines, Origin

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def test_a_whole_answer(client: Client) -> None:
    answer = (
        b"HTTP/1.1 201 Created\r\nContent-Type: text/plain\r\nX-Two: a\r\nx-two: b\r\n"
        b"Content-Length: 5\r\n\r\nhello"
    )
    async with Upstream(answers(answer)) as upstream:
        ask = request("POST", "/v1/x?y=1", b'{"a":1}', Authorization="Bearer my-key")
        response = await client.send(upstream.origin(), ask, short(), whole=True)
        assert response.status == 201
        assert response.headers == [
            (b"content-type", b"text/plain"),
            (b"x-two", b"a"),
            (b"x-two", b"b"),
            (b"content-length", b"5"),
        ]
        assert response.header(b"x-two") == b"a"
        assert response.header(b"x-three") is None
        assert await response.read(5) == b"hello"
        assert not response.reused
        assert 0 < response.connect_seconds < PATIENCE
        assert 0 < response.first_byte_seconds < PATIENCE
        [asked] = upstream.asked
        assert asked.line == b"POST /v1/x?y=1 HTTP/1.1"
        assert asked.headers == {
            b"host": b"upstream",
            b"authorization": b"Bearer my-key",
            b"content-length": b"7",
        }
        assert asked.body == b'{"a":1}'


async def test_a_second_request_reuses_the_connection(client: Client) -> None:
    async with Upstream(answers(OK)) as upstream:
        origin = upstream.origin()
        for number in range(5):
            response = await client.send(origin, request(), short(), whole=True)
            assert response.reused == (number > 0)
            assert (response.connect_seconds == 0.0) == response.reused
            assert await response.read(10) == b"ok"
        assert len(upstream.peers) == 1
        usage = client.usage(origin)
        assert (usage.busy, usage.idle) == (0, 1)


async def test_requests_without_a_body(client: Client) -> None:
    async with Upstream(answers(OK)) as upstream:
        await client.send(upstream.origin(), request("GET", body=b""), short(), whole=True)
        await client.send(upstream.origin(), request("POST", body=b""), short(), whole=True)
        get, post = upstream.asked
        assert b"content-length" not in get.headers
        assert post.headers[b"content-length"] == b"0"


@pytest.mark.parametrize("size", [65_536, 65_537, 5_000_000])
async def test_large_requests_arrive_whole(client: Client, size: int) -> None:
    body = bytes(range(256)) * (size // 256 + 1)
    async with Upstream(answers(OK)) as upstream:
        for _ in range(2):
            ask = request(body=body[:size])
            response = await client.send(upstream.origin(), ask, short(), whole=True)
            assert await response.read(10) == b"ok"
        assert [asked.body == body[:size] for asked in upstream.asked] == [True, True]


async def test_a_stream_returns_with_the_headers(client: Client) -> None:
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED, b"5\r\nhel")
        await go.wait()
        await peer.send(b"lo\r\n0\r\nTrailer: x\r\n\r\n")
        await peer.gone()

    async with Upstream(script) as upstream:
        origin = upstream.origin()
        response = await client.send(origin, request(), short())
        assert client.usage(origin).busy == 1
        heard = listen(response)
        await asyncio.wait_for(heard.more.wait(), PATIENCE)
        assert heard.body == b"hel"
        go.set()
        assert await heard.wait() is None
        assert heard.body == b"hello"
        assert (b"trailer", b"x") not in response.headers
        usage = client.usage(origin)
        assert (usage.busy, usage.idle) == (0, 1)


async def test_parts_before_the_listener_are_delivered_within_the_call(client: Client) -> None:
    async with Upstream(answers(CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")) as upstream:
        response = await client.send(upstream.origin(), request(), short())
        await until(lambda: response.size == 3)
        heard = listen(response)
        assert (heard.body, heard.ends) == (b"abc", [None])


async def test_trailers_do_not_leak_into_the_next_answer(client: Client) -> None:
    trailed = CHUNKED + b"2\r\nok\r\n0\r\nX-Secret: 1\r\nContent-Encoding: br\r\n\r\n"
    async with Upstream(answers(trailed, OK)) as upstream:
        for _ in range(2):
            response = await client.send(upstream.origin(), request(), short(), whole=True)
            assert await response.read(10) == b"ok"
            assert response.header(b"x-secret") is None
        assert response.reused


@pytest.mark.parametrize("status", [204, 304])
@pytest.mark.parametrize("whole", [True, False])
async def test_statuses_without_a_body(client: Client, status: int, whole: bool) -> None:
    answer = b"HTTP/1.1 %d x\r\nContent-Length: 5\r\n\r\n" % status
    async with Upstream(answers(answer, OK)) as upstream:
        response = await client.send(upstream.origin(), request(), short(), whole=whole)
        assert (response.status, await response.read(10)) == (status, b"")
        response = await client.send(upstream.origin(), request(), short(), whole=True)
        assert (response.reused, await response.read(10)) == (True, b"ok")


@pytest.mark.parametrize("whole", [True, False])
async def test_head_has_no_body_and_keeps_the_connection(client: Client, whole: bool) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"
    async with Upstream(answers(answer, OK)) as upstream:
        ask = request("HEAD", body=b"")
        response = await client.send(upstream.origin(), ask, short(), whole=whole)
        assert response.header(b"content-length") == b"500"
        assert await response.read(10) == b""
        response = await client.send(upstream.origin(), request(), short(), whole=True)
        assert (response.reused, await response.read(10)) == (True, b"ok")


async def test_a_body_after_head_ends_the_connection(client: Client) -> None:
    async with Upstream(answers(OK)) as upstream:
        ask = request("HEAD", body=b"")
        response = await client.send(upstream.origin(), ask, short(), whole=True)
        assert await response.read(10) == b""
        assert client.usage(upstream.origin()).idle == 0


@pytest.mark.parametrize("whole", [True, False])
async def test_interim_answers_are_skipped(client: Client, whole: bool) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: x\r\nContent-Encoding: gzip\r\n\r\n"

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.02)
        await peer.send(hints + hints + OK)
        await peer.request()
        await peer.send(OK)

    async with Upstream(script) as upstream:
        response = await client.send(upstream.origin(), request(), short(), whole=whole)
        assert response.headers == [(b"content-length", b"2")]
        assert await response.read(10) == b"ok"
        response = await client.send(upstream.origin(), request(), short(), whole=True)
        assert response.reused


async def test_redirects_are_answers(client: Client) -> None:
    async with Upstream(answers(OK)) as elsewhere:
        target = b"Location: http://127.0.0.1:%d/\r\n" % elsewhere.port
        moved = b"HTTP/1.1 307 x\r\n" + target + b"Content-Length: 0\r\n\r\n"
        async with Upstream(answers(moved)) as upstream:
            response = await client.send(upstream.origin(), request(), short(), whole=True)
            assert response.status == 307
        assert elsewhere.peers == []


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_a_body_until_the_end_of_the_connection(
    client: Client, whole: bool, version: bytes
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(b"HTTP/" + version + b" 200 OK\r\n\r\nsome", b"thing")

    async with Upstream(script) as upstream:
        for _ in range(2):
            response = await client.send(upstream.origin(), request(), short(), whole=whole)
            assert await response.read(100) == b"something"
            assert not response.reused
        assert free(client, upstream.origin())


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1, max=5\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_answers_that_end_the_connection(client: Client, answer: bytes) -> None:
    gone = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(answer)
        await peer.gone()
        gone.set()

    async with Upstream(script) as upstream:
        response = await client.send(upstream.origin(), request(), short(), whole=True)
        assert client.usage(upstream.origin()) == NOTHING
        assert await response.read(10) == b"ok"
        await asyncio.wait_for(gone.wait(), PATIENCE)


@pytest.mark.parametrize("extra", [b"x", OK, b"HTTP/1.1 200", b"\0\0"])
@pytest.mark.parametrize("wait", [0.0, 0.02])
async def test_bytes_after_the_answer_end_the_connection(
    client: Client, extra: bytes, wait: float
) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        if wait:
            await peer.send(OK)
            await asyncio.sleep(wait)
            await peer.send(extra)
        else:
            await peer.send(OK + extra)
        await peer.gone()

    async with Upstream(script) as upstream:
        response = await client.send(upstream.origin(), request(), short(), whole=True)
        assert await response.read(10) == b"ok"
        await until(lambda: client.usage(upstream.origin()).idle == 0)


async def test_an_early_answer_is_delivered_and_ends_the_connection(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
        await peer.gone()

    async with Upstream(script) as upstream:
        sock = upstream._server.sockets[0]
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        ask = request(body=bytes(30_000_000))
        response = await client.send(upstream.origin(), ask, short(), whole=True)
        assert (response.status, await response.read(10)) == (413, b"no")
        assert client.usage(upstream.origin()) == NOTHING


async def test_ipv6(client: Client) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    async with Upstream(answers(OK), host="::1") as upstream:
        for host in ("::1", "[::1]"):
            origin = upstream.origin(host=host)
            response = await client.send(origin, request(), short(), whole=True)
            assert await response.read(10) == b"ok"


async def test_closing_the_client_closes_everything(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)
        await peer.gone()

    async def silent(peer: Peer) -> None:
        await peer.request()
        await peer.gone()

    async with Upstream(script) as fast, Upstream(silent) as slow:
        await client.send(fast.origin(), request(), short(), whole=True)
        origin = slow.origin(max_connections=1)
        busy = asyncio.create_task(client.send(origin, request(), short()))
        await until(lambda: bool(slow.asked))
        waiting = asyncio.create_task(client.send(origin, request(), short()))
        await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(ConnectionLost, match="closed"):
            await busy
        with pytest.raises(ConnectFailed, match="closed"):
            await waiting
        with pytest.raises(ConnectFailed, match="closed"):
            await client.send(fast.origin(), request(), short())
        await until(lambda: all(peer.closed_at for peer in fast.peers + slow.peers))


async def test_the_timer_stops_when_there_is_nothing_to_watch(client: Client) -> None:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(OK)

    async with Upstream(script) as upstream:
        await client.send(upstream.origin(), request(), short(), whole=True)
        assert client._timer is not None
        await until(lambda: client._timer is None)
        assert client._pools == {}
        await client.send(upstream.origin(), request(), short(), whole=True)
        assert client._timer is not None


def test_deadlines_have_defaults() -> None:
    assert Deadlines().connect < Deadlines().first_byte < Deadlines().total
    assert Origin("http", "x", 1).max_connections > 0
