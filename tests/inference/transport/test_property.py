"""Whatever an answer looks like and however it is cut up: intact or an error, and no slot lost."""

import asyncio
import gzip
import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scripted import PATIENCE, Peer, Upstream, free, listen, request, short, until
from test_stream import Slow

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.wire import Origin, TransportError

LIMIT = 1_000_000


def raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "Deflate": raw_deflate,
}

bodies = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda part, count: part * count, st.binary(max_size=20), st.integers(0, 20_000)),
)
fractions = st.floats(0, 1, exclude_max=True)
ways = st.sampled_from(["whole", "read", "listen", "pause"])


@st.composite
def answers(draw: st.DrawFn, framings: tuple[str, ...]) -> tuple[bytes, bytes]:
    """A body, and an answer that carries it."""
    body = draw(bodies)
    coding = draw(st.sampled_from(list(CODINGS)))
    framing = draw(st.sampled_from(framings))
    packed = CODINGS[coding](body)
    head = b"HTTP/1.1 200 OK\r\n"
    if coding:
        head += b"Content-Encoding: %b\r\n" % coding.encode()
    if framing == "length":
        return body, head + b"Content-Length: %d\r\n\r\n" % len(packed) + packed
    if framing == "close":
        return body, head + b"Connection: close\r\n\r\n" + packed
    return body, head + b"Transfer-Encoding: chunked\r\n\r\n" + chunked(packed, draw(cuts()))


def cuts() -> st.SearchStrategy[list[float]]:
    return st.lists(fractions, max_size=8)


def split(data: bytes, at: list[float]) -> list[bytes]:
    """``data`` in parts, cut at fractions of its length."""
    points = sorted({0, len(data), *(int(fraction * len(data)) for fraction in at)})
    return [data[start:end] for start, end in pairwise(points)]


def chunked(data: bytes, at: list[float]) -> bytes:
    parts = [part for part in split(data, at) if part]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


async def receive(client: Client, origin: Origin, way: str) -> bytes:
    """The body of an answer, by one of the ways there are."""
    response = await client.send(origin, request(), short(), whole=way == "whole")
    if way in ("whole", "read"):
        return await response.read(LIMIT)
    heard = Slow(response) if way == "pause" else listen(response)
    await asyncio.wait_for(heard.wait(), PATIENCE)
    assert len(heard.ends) == 1
    if heard.ends[0] is not None:
        raise heard.ends[0]
    return bytes(heard.body)


def sends(parts: list[bytes], close: bool) -> Upstream:
    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(*parts)
        if not close:
            await peer.gone()

    return Upstream(script)


@given(answers(("length", "chunked", "close")), cuts(), ways)
async def test_every_answer_is_delivered_intact(
    answer: tuple[bytes, bytes], at: list[float], way: str
) -> None:
    body, text = answer
    close = b"Connection: close" in text
    client = Client()
    async with sends(split(text, at), close) as upstream:
        origin = upstream.origin(max_connections=1)
        assert await receive(client, origin, way) == body
        usage = client.usage(origin)
        assert (usage.busy, usage.idle) == (0, 0 if close else 1)
        await client.close()


@given(answers(("length", "chunked")), fractions, cuts(), ways)
async def test_an_answer_cut_short_is_never_complete(
    answer: tuple[bytes, bytes], end: float, at: list[float], way: str
) -> None:
    _, text = answer
    client = Client()
    async with sends(split(text[: int(end * len(text))], at), close=True) as upstream:
        origin = upstream.origin(max_connections=1)
        with pytest.raises(TransportError):
            await receive(client, origin, way)
        assert free(client, origin)
        assert client.usage(origin).idle == 0
        await client.close()


@given(answers(("length", "chunked", "close")), fractions, st.binary(max_size=9), cuts(), ways)
async def test_a_damaged_answer_ends_in_one_way_or_the_other(
    answer: tuple[bytes, bytes], where: float, damage: bytes, at: list[float], way: str
) -> None:
    _, text = answer
    place = int(where * len(text))
    text = text[:place] + damage + text[place + len(damage) // 2 :]
    client = Client()
    async with sends(split(text, at), close=True) as upstream:
        origin = upstream.origin(max_connections=1)
        try:
            assert len(await receive(client, origin, way)) <= LIMIT
        except TransportError as error:
            assert str(error)
        await until(lambda: free(client, origin), PATIENCE)
        await client.close()


@settings(max_examples=30)
@given(answers(("length", "chunked")), answers(("length", "chunked")), cuts(), st.data())
async def test_answers_after_each_other_do_not_mix(
    first: tuple[bytes, bytes], second: tuple[bytes, bytes], at: list[float], data: st.DataObject
) -> None:
    client = Client()

    async def script(peer: Peer) -> None:
        for _, text in (first, second):
            await peer.request()
            await peer.send(*split(text, at))
        await peer.gone()

    async with Upstream(script) as upstream:
        origin = upstream.origin(max_connections=1)
        for body, _ in (first, second):
            assert await receive(client, origin, data.draw(ways)) == body
        assert len(upstream.peers) == 1
        await client.close()
