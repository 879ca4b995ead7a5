"""HTTP/1.1 as clients send it: framing, order, keep-alive."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Served, Tiny, chunked, get, post, serving, until

MIXED = post("/a?x=1&y", b'{"a": 1}') + chunked("/b", b"abc", b"d" * 20) + get("/c", "X-Y: z")


async def test_a_connection_serves_one_request_after_another() -> None:
    async with serving() as served, served.peer() as peer:
        for number in range(20):
            reply = await peer.ask(post(f"/{number}?q={number}", b"b" * number))
            assert reply.status == 200 and not reply.closes
            assert reply.said["path"] == f"/{number}"
            assert reply.said["query"] == f"q={number}"
            assert reply.said["body"] == "b" * number
        assert len(served.connections) == 1


async def check_mixed(served: Served, parts: list[bytes]) -> None:
    async with served.peer() as peer:
        await peer.send(*parts)
        said = [(await peer.reply()).said for _ in range(3)]
    assert [one["path"] for one in said] == ["/a", "/b", "/c"]
    assert said[0]["query"] == "x=1&y"
    assert [one["body"] for one in said] == ['{"a": 1}', "abc" + "d" * 20, ""]
    assert said[2]["headers"]["x-y"] == "z"


async def test_requests_cut_at_every_byte() -> None:
    async with serving() as served:
        for at in range(1, len(MIXED)):
            await check_mixed(served, [MIXED[:at], MIXED[at:]])
        await check_mixed(served, [MIXED[at : at + 1] for at in range(len(MIXED))])


@settings(max_examples=40)
@given(st.sets(st.integers(1, len(MIXED) - 1), max_size=12))
async def test_requests_cut_anywhere(cuts: set[int]) -> None:
    edges = [0, *sorted(cuts), len(MIXED)]
    async with serving() as served:
        await check_mixed(served, [MIXED[a:b] for a, b in pairwise(edges)])


@settings(max_examples=25)
@given(st.lists(st.binary(min_size=1, max_size=3000), max_size=12))
async def test_chunks_of_any_size(pieces: list[bytes]) -> None:
    async with serving() as served, served.peer() as peer:
        reply = await peer.ask(chunked("/", *pieces))
        assert reply.said["body"].encode("latin-1") == b"".join(pieces)
        assert (await peer.ask(get("/after"))).said["path"] == "/after"


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(b"".join(post(f"/{n}", b"x" * n) for n in range(50)))
        for number in range(50):
            said = (await peer.reply()).said
            assert (said["path"], said["body"]) == (f"/{number}", "x" * number)


async def test_an_answer_that_is_ready_early_waits_for_its_turn() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(post("/kept", b"") + post("/refused", b"abc") + get("/third"))
        await until(lambda: len(served.application.began) >= 2)
        assert [one.path for one in served.application.served] == ["/kept"]
        served.application.served[0].respond(200, b"", b"first")
        assert (await peer.reply()).body == b"first"
        refused = await peer.reply()
        assert (refused.status, refused.closes) == (401, True)
        assert await peer.closed() == b""


async def test_one_request_is_served_at_a_time() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(post("/kept/1", b"") + post("/kept/2", b"") + post("/kept/3", b""))
        for number in (1, 2, 3):
            await until(lambda: len(served.application.served) == number)  # noqa: B023
            served.application.served[-1].respond(200, b"", str(number).encode())
            assert (await peer.reply()).body == str(number).encode()


async def test_nobody_comes_between_an_answer_and_the_request_that_waits() -> None:
    """What is read in the turn of an answer is the third, though nobody is served just then."""
    async with serving() as served, served.peer() as peer:
        await peer.send(post("/kept/1", b"") + post("/kept/2", b""))
        await until(lambda: len(served.application.began) == 2)
        served.application.served[0].respond(200, b"", b"1")
        served.connection.data_received(post("/kept/3", b""))
        for number in (2, 3):
            await until(lambda: len(served.application.served) == number)  # noqa: B023
            served.application.served[-1].respond(200, b"", str(number).encode())
        assert [(await peer.reply()).body for _ in range(3)] == [b"1", b"2", b"3"]
        assert served.application.paths == ["/kept/1", "/kept/2", "/kept/3"]


async def test_a_pipelined_request_may_take_its_time() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(get("/first") + get("/kept"))
        assert (await peer.reply()).status == 200
        await until(lambda: len(served.application.served) == 2)
        served.later(100.0)
        assert served.application.refusals == []
        served.application.served[-1].respond(200, b"", b"late")
        assert (await peer.reply()).body == b"late"


@pytest.mark.parametrize("bad", [b"\x00\x01\x02 nonsense\r\n\r\n", b"GET / HTTP/1.1\nA: b\n\n"])
async def test_rubbish_behind_a_request_does_not_answer_it(bad: bytes) -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(get("/kept"), bad)
        await until(lambda: served.application.refusals == ["malformed"])
        await peer.send(b"more of it")
        assert not served.application.served[0].started, "a good request was answered as a bad one"
        served.application.served[0].respond(200, b"", b"good")
        assert (await peer.reply()).body == b"good"
        assert (await peer.reply()).status == 400
        assert await peer.closed() == b""
    assert served.application.refusals == ["malformed"]


@pytest.mark.parametrize("value", ["100-continue", "100-Continue"])
async def test_the_body_is_asked_for(value: str) -> None:
    async with serving() as served, served.peer() as peer:
        head, body = post("/", b"body", f"Expect: {value}").split(b"\r\n\r\n")
        assert (await peer.ask(head + b"\r\n\r\n")).status == 100
        assert (await peer.ask(body)).said["body"] == "body"


async def test_a_refused_body_is_not_asked_for() -> None:
    async with serving() as served, served.peer() as peer:
        head = post("/refused", b"body", "Expect: 100-continue").split(b"\r\n\r\n")[0]
        reply = await peer.ask(head + b"\r\n\r\n")
        assert (reply.status, reply.closes) == (401, True)
        await peer.send(b"body")
        assert await peer.closed() == b""


async def test_http_1_0_is_not_asked_to_go_on() -> None:
    async with serving() as served, served.peer() as peer:
        fields = ("Content-Length: 1", "Expect: 100-continue")
        await peer.send(get("/", *fields, version="1.0", method="POST"), b"x")
        assert (await peer.reply()).status == 200


async def test_an_http_1_0_connection_is_closed() -> None:
    async with serving() as served, served.peer() as peer:
        reply = await peer.ask(get("/", version="1.0"))
        assert (reply.said["version"], reply.closes) == ("1.0", True)
        assert await peer.closed() == b""


async def test_a_stream_for_http_1_0_ends_with_the_connection() -> None:
    async with serving() as served, served.peer() as peer:
        reply = await peer.ask(get("/stream", "Connection: keep-alive", version="1.0"))
        assert b"transfer-encoding" not in reply.headers
        assert (reply.closes, reply.body) == (True, b"one,two")


async def test_a_stream_keeps_the_connection() -> None:
    async with serving() as served, served.peer() as peer:
        for _ in range(3):
            assert (await peer.ask(get("/stream"))).body == b"one,two"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("path", ["/plain", "/stream"])
async def test_head_has_no_body(path: str, version: str) -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(get(path, "Connection: close", method="HEAD", version=version))
        reply = await peer.reply(bodiless=True)
        assert reply.status == 200
        if path == "/plain":
            assert int(reply.headers[b"content-length"]) > 50
        assert await peer.closed() == b""


async def test_after_head_the_connection_goes_on() -> None:
    async with serving() as served, served.peer() as peer:
        for path in ("/plain", "/stream"):
            await peer.send(get(path, method="HEAD"))
            assert (await peer.reply(bodiless=True)).status == 200
            assert (await peer.ask(get("/next"))).said["path"] == "/next"


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        ("http://x/a/b?c=d", "/a/b", "c=d"),
        ("https://x:81/", "/", ""),
        ("http://x", "/", ""),
        ("http://x?q", "/", "q"),
        ("/a%2Fb%20c?d=%20", "/a%2Fb%20c", "d=%20"),
        ("//x/y", "//x/y", ""),
        ("/a?b?c", "/a", "b?c"),
    ],
)
async def test_targets(target: str, path: str, query: str) -> None:
    async with serving() as served, served.peer() as peer:
        said = (await peer.ask(get(target))).said
        assert (said["path"], said["query"]) == (path, query)


async def test_connection_close() -> None:
    async with serving() as served, served.peer() as peer:
        reply = await peer.ask(get("/", "Connection: close"))
        assert (reply.status, reply.closes) == (200, True)
        assert await peer.closed() == b""


async def test_nothing_is_served_after_connection_close() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(get("/", "Connection: close") + get("/second"))
        assert (await peer.reply()).said["path"] == "/"
        assert await peer.closed() == b""
        assert served.application.paths == ["/"]


async def test_trailers_are_no_headers() -> None:
    async with serving() as served, served.peer() as peer:
        trailer = b"Authorization: Bearer stolen\r\nHost: other\r\n"
        said = (await peer.ask(chunked("/", b"abc", trailer=trailer))).said
        assert said["headers"] == {"host": "x", "transfer-encoding": "chunked"}
        assert (await peer.ask(get("/next"))).said["headers"] == {"host": "x"}


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_upgrade_is_not_taken(method: str) -> None:
    fields = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
    body = b"abc" if method == "POST" else b""
    first = get("/first", f"Content-Length: {len(body)}", *fields, method=method) + body
    async with serving() as served, served.peer() as peer:
        reply = await peer.ask(first)
        assert (reply.said["path"], reply.said["body"]) == ("/first", body.decode())
        assert (await peer.ask(get("/second"))).said["path"] == "/second"
        await peer.send(first + get("/third"))
        assert [(await peer.reply()).said["path"] for _ in range(2)] == ["/first", "/third"]


async def test_a_body_may_be_read_as_it_comes() -> None:
    async with serving() as served, served.peer() as peer:
        pieces = served.application.pieces
        await peer.send(get("/raw", "Content-Length: 6", method="POST"), b"abc")
        await until(lambda: pieces == [b"abc"])
        await peer.send(b"def")
        await until(lambda: pieces == [b"abc", b"def", None])
        served.application.began[0].respond(200, b"", b"done")
        assert (await peer.reply()).body == b"done"


async def test_many_connections() -> None:
    async with serving(Tiny(limit=1 << 22)) as served:

        async def one(number: int) -> None:
            async with served.peer() as peer:
                for size in (0, 10, 200_000):
                    body = bytes([97 + number % 26]) * size
                    assert (await peer.ask(post("/", body))).said["body"] == body.decode()

        await asyncio.gather(*(one(number) for number in range(20)))
        await until(lambda: not served.connections)
