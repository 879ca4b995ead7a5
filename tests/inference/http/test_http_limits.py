"""Bounds of a connection: sizes, times, and clients that leave or do not read."""

import asyncio
import socket

import pytest
from loopback import PATIENCE, Served, Tiny, chunked, get, post, serving, until

from modelyard.inference.http import connection as limits

BIG = b"x" * (8 << 20)


def heads(size: int) -> bytes:
    """A request whose head is so large."""
    bare = len(get("/", "X-Long: "))
    return get("/", "X-Long: " + "y" * (size - bare))


async def test_a_head_of_64_kib_is_taken() -> None:
    async with serving() as served, served.peer() as peer:
        assert (await peer.ask(heads(limits.MAX_HEAD))).status == 200
        assert (await peer.ask(get("/next"))).said["path"] == "/next"


@pytest.mark.parametrize("size", [limits.MAX_HEAD + 100, 200_000, 2_000_000])
async def test_a_larger_head_is_refused_cleanly(size: int) -> None:
    """The client that sends all of it before it reads sees the answer."""

    def client(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as one:
            one.sendall(heads(size))
            one.shutdown(socket.SHUT_WR)
            return b"".join(iter(lambda: one.recv(65536), b""))

    async with serving() as served:
        answer = await asyncio.to_thread(client, served.port)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close\r\n" in answer
        assert answer.endswith(b"head_too_large")
        assert served.application.paths == []


async def test_a_head_without_end_is_refused() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(b"GET /" + b"a" * 100_000)
        assert (await peer.reply()).status == 400
        await peer.closed()


async def test_a_large_body_in_one_packet_is_no_large_head() -> None:
    async with serving() as served, served.peer() as peer:
        for _ in range(3):
            body = b"b" * 150_000
            assert (await peer.ask(post("/", body))).said["body"] == body.decode()


async def test_a_body_at_the_limit() -> None:
    async with serving(Tiny(limit=1000)) as served, served.peer() as peer:
        assert (await peer.ask(post("/", b"b" * 1000))).status == 200
        assert (await peer.ask(chunked("/", b"b" * 999, b"b"))).status == 200
        assert (await peer.ask(chunked("/", b"b" * 999, b"bb"))).status == 413


@pytest.mark.parametrize("way", ["length", "chunks"])
async def test_a_client_that_sends_60_mb_first_reads_the_refusal(way: str) -> None:
    body = b"z" * 60_000_000
    async with serving() as served, served.peer() as peer:
        sent = post("/", body) if way == "length" else chunked("/", *[body[:1_000_000]] * 60)
        await peer.send(sent)
        reply = await peer.reply()
        assert (reply.status, reply.body, reply.closes) == (413, b"body_too_large", True)
        assert await peer.closed() == b""
        assert served.application.refusals == ["body_too_large"]
        assert served.application.paths == []


async def test_an_answer_before_the_body_is_complete_closes_the_connection() -> None:
    async with serving() as served, served.peer() as peer:
        reply = await peer.ask(get("/refused", "Content-Length: 10", method="POST") + b"abc")
        assert (reply.status, reply.closes) == (401, True)
        await peer.send(b"defghij" + get("/second"))
        assert await peer.closed() == b""
        assert served.application.paths == []


async def test_a_refused_body_that_never_comes() -> None:
    async with serving() as served, served.peer() as peer:
        reply = await peer.ask(get("/refused", "Content-Length: 10", method="POST"))
        assert reply.status == 401
        served.later(limits.DISCARD_SECONDS + 1)
        await peer.closed()


async def test_a_refused_body_that_drips_is_not_read_for_ever() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.ask(get("/refused", "Content-Length: 10", method="POST"))
        before = served.connection.deadline
        await peer.send(b"a")
        await asyncio.sleep(0.02)
        assert served.connection.deadline == before


async def test_slow_headers() -> None:
    async with serving() as served, served.peer() as peer:
        await until(lambda: served.connections)
        before, idle = now(), served.connection.deadline
        await peer.send(b"GET / HTT")
        await until(lambda: served.connection.deadline < idle)
        served.just_before(limits.HEAD_SECONDS, before)
        assert served.application.refusals == []
        served.later(limits.HEAD_SECONDS + 1)
        reply = await peer.reply()
        assert (reply.status, reply.closes) == (408, True)
        await peer.closed()


async def test_headers_that_drip_have_no_more_time() -> None:
    async with serving() as served, served.peer() as peer:
        await until(lambda: served.connections)
        idle = served.connection.deadline
        await peer.send(b"GET / HTTP/1.1\r\n")
        await until(lambda: served.connection.deadline < idle)
        before = served.connection.deadline
        await asyncio.sleep(0.05)
        await peer.send(b"X: y\r\n")
        await asyncio.sleep(0.05)
        assert served.connection.deadline == before, "one byte a while keeps it open for ever"


async def test_slow_body() -> None:
    async with serving() as served, served.peer() as peer:
        before = now()
        await peer.send(get("/", "Content-Length: 10", method="POST") + b"abc")
        await until(lambda: served.application.began)
        served.just_before(limits.BODY_SECONDS, before)
        assert served.application.refusals == []
        served.later(limits.BODY_SECONDS + 1)
        assert (await peer.reply()).status == 408
        await peer.closed()
        assert served.application.paths == []


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with serving() as served:
        for requests in (0, 1, 3):
            before = now()
            async with served.peer() as peer:
                for _ in range(requests):
                    before = now()
                    await peer.ask(get("/"))
                await until(lambda: served.connections)
                served.just_before(limits.IDLE_SECONDS, before)
                assert len(served.connections) == 1
                served.later(limits.IDLE_SECONDS + 1)
                assert await peer.closed() == b""
            await until(lambda: not served.connections)
        assert served.application.refusals == []


async def test_work_may_take_longer_than_any_limit() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(post("/kept", b"abc"))
        await until(lambda: served.application.served)
        served.later(10_000.0)
        served.application.served[0].respond(200, b"", b"at last")
        assert (await peer.reply()).body == b"at last"


async def unread(served: Served, *sent: bytes) -> socket.socket:
    """A client that sends and reads nothing, with little room for what comes."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", served.port))
    for part in sent:
        await loop.sock_sendall(client, part)
    return client


@pytest.mark.parametrize("fields", [(), ("Connection: close",)], ids=["keep-alive", "close"])
async def test_a_client_that_reads_nothing_is_cut(fields: tuple[str, ...]) -> None:
    async with serving() as served:
        client = await unread(served, get("/kept", *fields))
        await until(lambda: served.application.served)
        before = now()
        served.application.served[0].respond(200, b"", BIG)
        await until(lambda: served.connection.write_paused)
        served.just_before(limits.STALL_SECONDS, before)
        assert len(served.connections) == 1
        served.later(limits.STALL_SECONDS + 1)
        await until(lambda: not served.connections)
        client.close()


async def test_a_client_that_reads_nothing_of_a_small_answer_is_cut() -> None:
    """What is left is less than makes the transport complain."""
    async with serving() as served:
        client = await unread(served, get("/kept", "Connection: close"))
        await until(lambda: served.application.served)
        exchange = served.application.served[0]
        exchange.begin(200, b"")
        while not served.connection.transport.get_write_buffer_size():
            exchange.write(b"x" * 10_000)
            await asyncio.sleep(0)
        exchange.end()
        await asyncio.sleep(0.01)
        assert not served.connection.write_paused
        served.later(limits.STALL_SECONDS + 1)
        await until(lambda: not served.connections)
        client.close()


async def test_after_a_large_answer_the_connection_is_idle_again() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(get("/kept"))
        await until(lambda: served.application.served)
        served.application.served[0].respond(200, b"", BIG)
        await until(lambda: served.connection.write_paused)
        assert len((await peer.reply()).body) == len(BIG)
        await until(lambda: not served.connection.write_paused)
        served.later(limits.IDLE_SECONDS + 1)
        assert await peer.closed() == b""


async def test_writing_waits_for_a_slow_reader() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(get("/kept"))
        await until(lambda: served.application.served)
        exchange = served.application.served[0]
        drained: list[int] = []
        exchange.on_drained = lambda: drained.append(1)
        exchange.begin(200, b"")
        sent = 0
        while not exchange.slow:
            exchange.write(b"p" * 100_000)
            sent += 100_000
            await asyncio.sleep(0)
        waiting = asyncio.ensure_future(exchange.drain())
        await asyncio.sleep(0.05)
        assert not waiting.done() and not drained
        reading = asyncio.ensure_future(peer.reply())
        await asyncio.wait_for(waiting, 60)
        assert drained == [1] and not exchange.slow
        exchange.end(b"end")
        assert len((await reading).body) == sent + 3


async def test_drain_ends_when_the_client_leaves() -> None:
    async with serving() as served:
        async with served.peer() as peer:
            await peer.send(get("/kept"))
            await until(lambda: served.application.served)
            exchange = served.application.served[0]
            exchange.begin(200, b"")
            while not exchange.slow:
                exchange.write(BIG)
                await asyncio.sleep(0)
            waiting = asyncio.ensure_future(exchange.drain())
            await asyncio.sleep(0)
        await asyncio.wait_for(waiting, 60)
        assert exchange.gone and not exchange.slow
        assert served.application.left == ["/kept"]


async def test_the_application_learns_at_once_that_a_client_left() -> None:
    async with serving() as served:
        async with served.peer() as peer:
            await peer.send(get("/kept/1") + get("/kept/2") + get("/refused"))
            await until(lambda: len(served.application.began) == 3)
        await until(lambda: served.application.left)  # no tick of the server's is needed for it
        assert served.application.left == ["/kept/1"], "the second was never served"
        for exchange in served.application.began:
            assert exchange.gone
            exchange.respond(200, b"", b"nobody reads this")
            exchange.write(b"nor this")
            exchange.end(b"nor this")


async def test_nobody_is_told_of_a_client_that_has_its_answer() -> None:
    async with serving() as served:
        async with served.peer() as peer:
            await peer.ask(get("/one"))
        await until(lambda: not served.connections)
        assert served.application.left == []


async def test_a_client_that_leaves_in_its_body() -> None:
    async with serving() as served:
        async with served.peer() as peer:
            await peer.send(get("/", "Content-Length: 10", method="POST") + b"abc")
            await until(lambda: served.application.began)
        await until(lambda: served.application.began[0].gone)
        assert served.application.paths == []


async def test_aborting_cuts_the_connection() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(get("/kept"))
        await until(lambda: served.application.served)
        exchange = served.application.served[0]
        exchange.begin(200, b"")
        exchange.write(b"half")
        await peer.head()
        exchange.abort()
        assert not (await peer.closed()).endswith(b"0\r\n\r\n")
        assert served.application.left == []


async def test_a_stop_closes_the_idle_and_lets_the_busy_finish() -> None:
    async with serving() as served, served.peer() as idle, served.peer() as busy:
        await idle.ask(get("/"))
        await busy.send(get("/kept"))
        await until(lambda: len(served.application.served) == 2)
        for connection in list(served.connections):
            connection.close_if_idle()
        assert await idle.closed() == b""
        served.application.served[-1].respond(200, b"", b"done")
        reply = await busy.reply()
        assert (reply.body, reply.closes) == (b"done", True)
        assert await busy.closed() == b""


def now() -> float:
    return asyncio.get_running_loop().time()
