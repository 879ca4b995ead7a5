"""Large bodies on our connection: neither side is ahead of the other by more than a little."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Any

from loopback import PATIENCE, get, post, until
from test_bridge import bridged, whole

from modelyard.inference.http import connection as limits
from modelyard.protocol.asgi import Stream, relay

SIZE = 64 * 1024 * 1024  # bytes: more than sockets hold
PART = 65536


async def test_a_client_waits_for_an_application_that_does_not_read() -> None:
    go, seen = asyncio.Event(), bytearray()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await go.wait()
        body, _ = await whole(receive)
        seen.extend(body[:1] + str(len(body)).encode())
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"done"})

    async with bridged(app) as (served, _), served.peer() as peer:
        sending = asyncio.ensure_future(peer.send(post("/", b"x" * SIZE)))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(sending), 0.3)
        assert not sending.done(), "all of it was taken in, though nobody reads"
        go.set()
        await sending
        assert (await peer.reply()).body == b"done"
        assert seen == b"x%d" % SIZE
        await peer.send(post("/", b"again"))
        assert (await peer.reply()).body == b"done", "the connection goes on"


async def test_a_stream_that_nobody_reads_is_closed_with_what_it_holds() -> None:
    held: list[str] = []

    async def parts() -> AsyncGenerator[bytes, None]:
        held.append("a temporary file, say")
        try:
            for _ in range(SIZE // PART):
                yield b"x" * PART
        finally:
            held.clear()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await relay(send, receive, Stream(parts()), "req", "", bare=False)

    async with bridged(app) as (served, _), served.peer() as peer:
        before = asyncio.get_running_loop().time()
        await peer.send(get("/"))
        await until(lambda: served.connections and served.connection.write_paused)
        served.just_before(limits.STALL_SECONDS, before)
        assert held and served.connections
        served.later(limits.STALL_SECONDS + 1)
        await until(lambda: not (held or served.connections))


async def test_an_answer_that_has_to_wait_is_not_made_ahead() -> None:
    go, made = asyncio.Event(), 0

    async def parts() -> AsyncGenerator[bytes, None]:
        nonlocal made
        for _ in range(SIZE // PART):
            made += 1
            yield b"x" * PART

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["path"] == "/first":
            await go.wait()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"first"})
        else:
            await relay(send, receive, Stream(parts()), "req", "", bare=False)

    async with bridged(app) as (served, _), served.peer() as peer:
        await peer.send(get("/first"), get("/second"))
        await until(lambda: made)
        assert made == 1
        go.set()
        assert (await peer.reply()).body == b"first"
        assert len((await peer.reply()).body) == SIZE


async def test_a_refusal_while_the_client_is_held() -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await asyncio.sleep(0.05)
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"too large"})

    async with bridged(app) as (served, _), served.peer() as peer:
        await peer.send(post("/", b"x" * SIZE))
        assert (await peer.reply()).body == b"too large"


def measured(parts: list[bytes], length: int) -> Any:
    """An application that announces a length and sends parts."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        fields = [(b"Content-Length", b"%d" % length)]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    return app


async def test_a_length_that_is_known_is_announced() -> None:
    async with bridged(measured([b"one", b"two"], 6)) as (served, _), served.peer() as peer:
        await peer.send(get("/"), get("/"))
        for _ in range(2):
            reply = await peer.reply()
            assert (reply.headers[b"content-length"], reply.body) == (b"6", b"onetwo")


async def test_less_than_was_announced_cuts_the_connection() -> None:
    async with bridged(measured([b"one"], 6)) as (served, _), served.peer() as peer:
        await peer.send(get("/"))
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionError):
                assert not (await peer.reader.read()).endswith(b"\r\n\r\none\r\n")


async def test_head_of_a_huge_answer_makes_no_body() -> None:
    async with bridged(measured([], 1 << 45)) as (served, _), served.peer() as peer:
        await peer.send(get("/", method="HEAD"))
        text = await peer.reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 35184372088832\r\n" in text
