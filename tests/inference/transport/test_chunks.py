"""Chunks that come one by one, which the parser need not see: the answer is the same."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import PATIENCE, Peer, Upstream, free, listen, request, short

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.wire import MalformedResponse, Response

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
LINES = [b"%x\r\n", b"%x\r\n", b"%x\r\n", b"%X\r\n", b"00%x\r\n", b"%x;name=value\r\n"]
ENDS = [b"0\r\n\r\n", b"000\r\n\r\n", b"0\r\nX-Sum: 1\r\n\r\n"]


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    """A body, and the writes that bring it: whole chunks mostly, some of them cut or joined."""
    body, writes = b"", [HEAD]
    for size in draw(st.lists(st.sampled_from([1, 15, 16, 40, 255, 256, 4095, 5000]), max_size=9)):
        data = draw(st.sampled_from([b"ab", b"\r\n", b"5\r\n", b"0\r\n\r\n"])) * size
        data = data[:size]
        body += data
        chunk = draw(st.sampled_from(LINES)) % size + data + b"\r\n"
        how = draw(st.sampled_from(["whole", "whole", "whole", "cut", "join"]))
        if how == "join":
            writes[-1] += chunk
        elif how == "cut":
            at = draw(st.integers(1, len(chunk) - 1))
            writes += [chunk[:at], chunk[at:]]
        else:
            writes.append(chunk)
    if draw(st.booleans()):
        writes.append(draw(st.sampled_from(ENDS)))
    else:
        writes[-1] += draw(st.sampled_from(ENDS))
    return body, writes


async def spoken(peer: Peer, writes: list[bytes]) -> None:
    """Send each part so that it is read alone."""
    await peer.request()
    for part in writes:
        await peer.send(part)
        for _ in range(3):
            await asyncio.sleep(0)


@given(streams(), streams())
async def test_every_stream_arrives_whole_and_its_connection_serves_again(
    first: tuple[bytes, list[bytes]], second: tuple[bytes, list[bytes]]
) -> None:
    async def script(peer: Peer) -> None:
        for _, writes in (first, second):
            await spoken(peer, writes)
        await peer.gone()

    client = Client()
    async with Upstream(script) as upstream:
        origin = upstream.origin(max_connections=1)
        for body, _ in (first, second):
            heard = listen(await client.send(origin, request(), short()))
            await asyncio.wait_for(heard.wait(), PATIENCE)
            assert heard.ends == [None] and bytes(heard.body) == body
        assert len(upstream.peers) == 1
        await client.close()


BROKEN = [b"zz\r\nabc\r\n", b"28\r\n" + b"x" * 40 + b"..", b"27\r\n" + b"x" * 40 + b"\r\n",
          b"29\r\n" + b"x" * 40 + b"\r\n5", b"-28\r\n" + b"x" * 40 + b"\r\n"]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN)
async def test_a_broken_chunk_behind_whole_ones(client: Client, broken: bytes) -> None:
    whole = b"28\r\n" + b"y" * 40 + b"\r\n"

    async def script(peer: Peer) -> None:
        await spoken(peer, [HEAD + whole, whole, whole, broken, whole, b"0\r\n\r\n"])

    async with Upstream(script) as upstream:
        origin = upstream.origin()
        heard = listen(await client.send(origin, request(), short()))
        await asyncio.wait_for(heard.wait(), PATIENCE)
        assert len(heard.ends) == 1 and isinstance(heard.ends[0], MalformedResponse)
        assert bytes(heard.body).startswith(b"y" * 120)
        assert free(client, origin)


async def test_a_size_that_has_begun_is_not_forgotten(client: Client) -> None:
    """What follows looks like a chunk, and is the end of a size and the first bytes of a body."""
    inner = b"10\r\n" + b"z" * 16 + b"\r\n"

    async def script(peer: Peer) -> None:
        size = b"110\r\n" + (b"z" * 16 + b"\r\n").ljust(0x110, b"-") + b"\r\n"
        await spoken(peer, [HEAD, b"1\r\n.\r\n1", inner, size[3 + len(inner) - 2 :], b"0\r\n\r\n"])
        await peer.gone()

    async with Upstream(script) as upstream:
        heard = listen(await client.send(upstream.origin(), request(), short()))
        await asyncio.wait_for(heard.wait(), PATIENCE)
        assert heard.ends == [None]
        assert bytes(heard.body) == b"." + (b"z" * 16 + b"\r\n").ljust(0x110, b"-")


async def test_a_listener_that_fails_ends_the_call(client: Client) -> None:
    whole = b"28\r\n" + b"y" * 40 + b"\r\n"
    told: list[object] = []

    async def script(peer: Peer) -> None:
        await spoken(peer, [HEAD + whole, whole])
        await peer.gone()

    def piece(data: bytes) -> None:
        told.append(data)
        if len(told) == 2:
            raise RuntimeError("planned")

    async with Upstream(script) as upstream:
        origin = upstream.origin()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        response: Response = await client.send(origin, request(), short())
        over = asyncio.get_running_loop().create_future()
        response.listen(piece, over.set_result)
        error = await asyncio.wait_for(over, PATIENCE)
        assert error is not None and len(told) == 2
        assert free(client, origin)
