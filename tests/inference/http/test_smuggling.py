"""What two servers could read in two ways is refused, and nothing behind it is served."""

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Tiny, get, serving

HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"


def asked(*fields: bytes, body: bytes = HIDDEN, line: bytes = b"POST /outer HTTP/1.1") -> bytes:
    return b"".join(part + b"\r\n" for part in (line, b"Host: x", *fields)) + b"\r\n" + body


AMBIGUOUS = {
    "length and chunks": asked(
        b"Content-Length: 5", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + HIDDEN
    ),
    "chunks and length": asked(
        b"Transfer-Encoding: chunked", b"Content-Length: 5", body=b"0\r\n\r\n" + HIDDEN
    ),
    "two lengths": asked(b"Content-Length: 0", b"Content-Length: 34"),
    "two equal lengths": asked(b"Content-Length: 3", b"Content-Length: 3", body=b"abc" + HIDDEN),
    "a list of lengths": asked(b"Content-Length: 0, 34"),
    "a signed length": asked(b"Content-Length: +0"),
    "a negative length": asked(b"Content-Length: -1"),
    "a hexadecimal length": asked(b"Content-Length: 0x0"),
    "an endless length": asked(b"Content-Length: 99999999999999999999999999"),
    "a folded field": asked(b"A: b", b" Content-Length: 34", b"Content-Length: 0"),
    "a folded length": asked(b"Content-Length:", b" 0"),
    "a blank before the colon": asked(b"Content-Length : 34"),
    "a tab in a name": asked(b"Content-\tLength: 34"),
    "chunks of another coding": asked(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n" + HIDDEN),
    "chunks not last": asked(b"Transfer-Encoding: chunked, identity", body=b"0\r\n\r\n" + HIDDEN),
    "a bare LF": asked(b"A: b\nContent-Length: 34"),
    "a bare LF at the end": b"POST /outer HTTP/1.1\nHost: x\n\n" + HIDDEN,
    "a bare CR": asked(b"A: b\rContent-Length: 34"),
    "a NUL": asked(b"A: b\x00", b"Content-Length: 0"),
    "a chunk size of nothing": asked(b"Transfer-Encoding: chunked", body=b"\r\n\r\n" + HIDDEN),
    "a chunk size with a sign": asked(b"Transfer-Encoding: chunked", body=b"+0\r\n\r\n" + HIDDEN),
    "an endless chunk size": asked(
        b"Transfer-Encoding: chunked", body=b"f" * 17 + b"0\r\n\r\n" + HIDDEN
    ),
    "a chunk longer than its size": asked(
        b"Transfer-Encoding: chunked", body=b"3\r\nabcd\r\n0\r\n\r\n" + HIDDEN
    ),
    "another version": b"GET /outer HTTP/3.7\r\nHost: x\r\n\r\n" + HIDDEN,
    "another protocol": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + HIDDEN,
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN,
    "an unknown method": b"STEAL /outer HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN,
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS)
@pytest.mark.parametrize("apart", [False, True], ids=["at once", "byte by byte"])
async def test_what_is_ambiguous_is_refused(sent: bytes, apart: bool) -> None:
    async with serving() as served, served.peer() as peer:
        parts = [sent[at : at + 1] for at in range(len(sent))] if apart else [sent]
        with contextlib.suppress(ConnectionError):  # it may be refused before the last byte
            await peer.send(*parts)
        if not apart:
            reply = await peer.reply()
            assert (reply.status, reply.body, reply.closes) == (400, b"malformed", True)
        await peer.closed()
        assert served.application.refusals == ["malformed"]
        assert served.application.paths == [], "something of it was served"
        assert all(one.path != "/hidden" for one in served.application.began)


@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_a_body_is_never_taken_for_a_request(method: str) -> None:
    """Also where the head asks for another protocol, which would begin behind it."""
    fields = (f"Content-Length: {len(HIDDEN)}", "Connection: Upgrade", "Upgrade: websocket")
    async with serving() as served, served.peer() as peer:
        for wait in (False, True):
            head = get("/outer", *fields, method=method)
            reply = await peer.ask(*([head, HIDDEN] if wait else [head + HIDDEN]))
            assert (reply.said["path"], reply.said["body"]) == ("/outer", HIDDEN.decode())
        assert served.application.paths == ["/outer", "/outer"]


async def test_a_request_without_a_version_is_the_last() -> None:
    async with serving() as served, served.peer() as peer:
        await peer.send(b"GET /outer\r\n\r\n" + HIDDEN)
        await peer.closed()
        assert all(one.path != "/hidden" for one in served.application.began)


async def test_connect_opens_no_tunnel() -> None:
    async with serving() as served, served.peer() as peer:
        reply = await peer.ask(get("x:80", method="CONNECT"))
        assert reply.said["method"] == "CONNECT"
        assert (await peer.ask(get("/next"))).said["path"] == "/next"


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=300))
async def test_any_bytes(noise: bytes) -> None:
    """Nothing that arrives breaks the connection's rules, and the next one is served."""
    async with serving(Tiny()) as served:
        async with served.peer() as peer:
            await peer.send(noise)
            peer.writer.write_eof()
            rest = await peer.closed()
            assert not rest or rest.startswith(b"HTTP/1.1 ")
        async with served.peer() as peer:
            assert (await peer.ask(get("/next"))).said["path"] == "/next"
