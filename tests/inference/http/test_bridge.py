"""An ASGI application on our connection."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from loopback import PATIENCE, Served, Tiny, chunked, get, post, serving, until

from modelyard.inference.http import asgi
from modelyard.inference.http import connection as limits
from modelyard.inference.http.exchange import Exchange
from modelyard.protocol.wire import WHOLE


class Bridged(Tiny):
    """Serves every request by an ASGI application, from its head on."""

    def __init__(self, app: asgi.App) -> None:
        super().__init__()
        self.app = app
        self.tasks: list[asyncio.Task[None]] = []

    def begin(self, exchange: Exchange) -> None:
        bridge = asgi.Bridge(exchange)
        exchange.limit = 1
        self.tasks.append(asyncio.ensure_future(asgi.serve(self.app, bridge)))


@contextlib.asynccontextmanager
async def bridged(app: asgi.App) -> AsyncIterator[tuple[Served, Bridged]]:
    application = Bridged(app)
    async with serving(application) as served:
        yield served, application
    await asyncio.wait_for(asyncio.gather(*application.tasks), PATIENCE)


async def whole(receive: Any) -> tuple[bytes, str]:
    """The body, and the last message's type."""
    body = bytearray()  # bytes would be copied whole for each part
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return bytes(body), message["type"]
        body += message["body"]
        if not message["more_body"]:
            return bytes(body), "http.request"


async def echo(scope: dict[str, Any], receive: Any, send: Any) -> None:
    body, _ = await whole(receive)
    head = f"{scope['method']} {scope['path']} {scope['query_string'].decode()} ".encode()
    answer = head + body
    fields = [(b"Content-Length", b"%d" % len(answer)), (b"X-One", b"1"), (b"x-one", b"2")]
    await send({"type": "http.response.start", "status": 201, "headers": fields})
    await send({"type": "http.response.body", "body": answer})


async def test_bodies_and_answers() -> None:
    async with bridged(echo) as (served, _), served.peer() as peer:
        for sent in (post("/a%20b?c=%20d", b"body"), chunked("/a%20b?c=%20d", b"bo", b"dy")):
            await peer.send(sent)
            text = await peer.reader.readuntil(b"\r\n\r\n")
            assert text.startswith(b"HTTP/1.1 201 ")
            assert text.count(b"ontent-") == 1 and b"X-One: 1\r\nx-one: 2\r\n" in text
            assert await peer.reader.readexactly(21) == b"POST /a b c=%20d body"


async def test_head_tells_the_length_of_get() -> None:
    async with bridged(echo) as (served, _), served.peer() as peer:
        await peer.send(get("/path", method="HEAD"))
        text = await peer.reader.readuntil(b"\r\n\r\n")
        assert b"content-length: 12\r\n" in text.lower()
        await peer.send(get("/b"))
        assert b"GET /b" in await peer.reader.readuntil(b"GET /b")


async def test_parts_are_sent_as_they_come() -> None:
    go = asyncio.Event()

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        await go.wait()
        await send({"type": "http.response.body", "body": b"two", "more_body": True})
        await send({"type": "http.response.body"})

    async with bridged(app) as (served, _), served.peer() as peer:
        await peer.send(get("/"))
        assert (await peer.head())[0] == 200
        assert await peer.reader.readexactly(8) == b"3\r\none\r\n"
        go.set()
        assert await peer.reader.readexactly(13) == b"3\r\ntwo\r\n0\r\n\r\n"


async def test_a_refusal_before_the_body() -> None:
    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b"too large"})

    async with bridged(app) as (served, _), served.peer() as peer:
        await peer.send(post("/", b"x" * 30_000_000))
        reply = await peer.reply()
        assert (reply.status, reply.body, reply.closes) == (413, b"too large", True)
        assert await peer.closed() == b""


@pytest.mark.parametrize("status", [200, 404, 304, 204])
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
async def test_a_whole_answer_goes_out_as_its_two_messages(status: int, method: str) -> None:
    """Byte by byte, and the connection goes on; also where the body was not read."""
    body = b"" if status in (204, 304) else b"answer"

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        fields = [(b"x-one", b"1"), (b"ETag", b"t")]
        if body:
            fields.append((b"Content-Length", b"%d" % len(body)))
        if scope["path"] == "/whole":
            scope[WHOLE](status, fields, body)
            return
        sent = b"" if scope["method"] == "HEAD" else body
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": sent})

    found = []
    async with bridged(app) as (served, _), served.peer() as peer:
        for path in ("/whole", "/two", "/whole"):
            sent = post(path, b"b" * 9) if method == "POST" else get(path, method=method)
            await peer.send(sent)
            head = await peer.reader.readuntil(b"\r\n\r\n")
            held = b"content-length: 6" in head and method != "HEAD"
            found.append((head, await peer.reader.readexactly(6 if held else 0)))
    assert found[0] == found[1] == found[2]
    assert found[0][1] == (b"" if method == "HEAD" else body)


async def test_a_client_that_leaves() -> None:
    ended: list[tuple[bytes, str]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        ended.append(await whole(receive))
        if ended[-1][1] == "http.request":
            assert await receive() == {"type": "http.disconnect"}
            ended.append((b"", "left"))

    async with bridged(app) as (served, _):
        async with served.peer() as peer:
            await peer.send(get("/", "Content-Length: 9", method="POST") + b"abc")
            await until(lambda: served.application.tasks)
            await asyncio.sleep(0.02)
        await until(lambda: ended == [(b"abc", "http.disconnect")])
        async with served.peer() as peer:
            await peer.send(post("/", b"abc"))
            await until(lambda: len(ended) == 2)
        await until(lambda: ended[1:] == [(b"abc", "http.request"), (b"", "left")])


@pytest.mark.parametrize("how", ["timeout", "malformed"])
async def test_a_body_that_never_becomes_whole(how: str) -> None:
    """The application is told, or its task would wait for ever; half a body is no body."""
    ended: list[tuple[bytes, str]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        ended.append(await whole(receive))

    async with bridged(app) as (served, application), served.peer() as peer:
        await peer.send(get("/", "Transfer-Encoding: chunked", method="POST") + b"3\r\nabc\r\n")
        await until(lambda: application.tasks)
        if how == "timeout":
            served.later(limits.BODY_SECONDS + 1)
        else:
            await peer.send(b"zz\r\n")
        assert (await peer.reply()).status == {"timeout": 408, "malformed": 400}[how]
        await until(lambda: ended)
        assert [kind for _, kind in ended] == ["http.disconnect"]
        await peer.closed()
