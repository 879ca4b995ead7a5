"""Streams: pausing, what waits for a listener, and compressed bodies."""

import asyncio
import gzip
import zlib

import pytest
from scripted import OK, PATIENCE, Peer, Upstream, answers, free, listen, request, short, until

from modelyard.inference.transport.client import Client
from modelyard.inference.transport.coding import PIECE, Decoder, decoder
from modelyard.inference.transport.exchange import BACKLOG
from modelyard.inference.transport.wire import BodyTooLarge, IdleTimeout, Response
from patience import Late, retried

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = b"".join(b"line %d of the text\n" % number for number in range(40_000))


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def compressed(data: bytes, bits: int) -> bytes:
    packer = zlib.compressobj(wbits=bits)
    return packer.compress(data) + packer.flush()


def encoded(coding: bytes, body: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %b\r\nContent-Length: %d\r\n\r\n"
    return head % (coding, len(body)) + body


CODINGS = [
    (b"gzip", compressed(TEXT, 31)),
    (b"x-gzip", compressed(TEXT, 31)),
    (b"GZIP", compressed(TEXT[:1000], 31) + compressed(TEXT[1000:], 31)),  # two members
    (b"gzip", compressed(TEXT, 31) + bytes(20)),  # padded
    (b"deflate", compressed(TEXT, 15)),
    (b"deflate", compressed(TEXT, -15)),
    (b"identity, gzip", compressed(TEXT, 31)),
    (b"identity", TEXT),
]


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(("coding", "body"), CODINGS)
async def test_compressed_bodies_are_read(
    client: Client, coding: bytes, body: bytes, whole: bool
) -> None:
    async with Upstream(answers(encoded(coding, body))) as upstream:
        response = await client.send(upstream.origin(), request(), short(), whole=whole)
        assert await response.read(len(TEXT)) == TEXT
        response = await client.send(upstream.origin(), request(), short())
        heard = listen(response)
        assert await heard.wait() is None
        assert heard.body == TEXT
        assert max(map(len, heard.pieces)) <= PIECE or coding == b"identity"
        assert client.usage(upstream.origin()).idle == 1


@pytest.mark.parametrize("coding", [b"gzip", b"deflate"])
async def test_an_empty_compressed_body(client: Client, coding: bytes) -> None:
    async with Upstream(answers(encoded(coding, b""))) as upstream:
        for whole in (True, False):
            response = await client.send(upstream.origin(), request(), short(), whole=whole)
            assert await response.read(10) == b""


async def test_a_compressed_stream_comes_as_it_is_flushed(client: Client) -> None:
    packer = zlib.compressobj(wbits=31)
    go = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(CHUNKED.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n"))
        await peer.send(chunk(packer.compress(b"first") + packer.flush(zlib.Z_SYNC_FLUSH)))
        await go.wait()
        await peer.send(chunk(packer.compress(b"second") + packer.flush()) + chunk(b""))

    async with Upstream(script) as upstream:
        heard = listen(await client.send(upstream.origin(), request(), short()))
        await asyncio.wait_for(heard.more.wait(), PATIENCE)
        assert heard.body == b"first"
        go.set()
        assert await heard.wait() is None
        assert heard.body == b"firstsecond"


def test_a_decoder_gives_bounded_pieces() -> None:
    unpacker = Decoder(b"gzip")
    unpacker.push(gzip.compress(bytes(10_000_000), mtime=0))
    sizes = []
    while piece := unpacker.pull():
        sizes.append(len(piece))
    assert sum(sizes) == 10_000_000
    assert max(sizes) <= PIECE
    assert unpacker.finished
    assert decoder(b" identity ,") is None


@pytest.mark.parametrize("bits", [-15, 15, 31])
def test_output_that_outlasts_the_input(bits: int) -> None:
    """The last byte of input may stand for more than a piece can hold."""
    for size in range(PIECE, PIECE + 600):
        unpacker = Decoder(b"gzip" if bits == 31 else b"deflate")
        unpacker.push(compressed(bytes(size), bits))
        assert sum(len(piece) for piece in iter(unpacker.pull, b"")) == size
        assert unpacker.finished


async def flood(peer: Peer) -> None:
    """Sends as much as is taken, up to 50 MB."""
    while True:
        await peer.request()
        await peer.send(CHUNKED)
        for _ in range(500):
            await peer.send(chunk(bytes(100_000)))
        await peer.send(chunk(b""))


async def test_pause_stops_the_upstream(client: Client) -> None:
    async with Upstream(flood) as upstream:
        origin = upstream.origin()
        response = await client.send(origin, request(), short())
        heard = listen(response)
        await asyncio.wait_for(heard.more.wait(), PATIENCE)
        response.pause()
        count = len(heard.pieces)
        await asyncio.sleep(0.4)
        assert len(heard.pieces) == count
        assert heard.ends == []
        assert len(heard.body) < 40_000_000
        response.resume()
        assert await heard.wait() is None
        assert len(heard.body) == 50_000_000
        usage = client.usage(origin)
        assert (usage.busy, usage.idle) == (0, 1)


@retried
async def test_a_stream_without_listener_waits(client: Client) -> None:
    async with Upstream(flood) as upstream:
        response = await client.send(upstream.origin(), request(), short(idle=1.5))
        await asyncio.sleep(2.0)
        assert response.size < 2 * BACKLOG
        heard = listen(response)
        if isinstance(error := await heard.wait(), IdleTimeout):  # each time, were it a fault
            raise Late(str(error))
        assert error is None
        assert len(heard.body) == 50_000_000


async def test_a_late_reader_gets_everything(client: Client) -> None:
    async with Upstream(flood) as upstream:
        response = await client.send(upstream.origin(), request(), short())
        await asyncio.sleep(0.1)
        assert len(await response.read(50_000_000)) == 50_000_000
        response = await client.send(upstream.origin(), request(), short())
        await asyncio.sleep(0.1)
        with pytest.raises(BodyTooLarge):
            await response.read(1000)
        assert free(client, upstream.origin())


class Slow:
    """A listener that pauses after every piece."""

    def __init__(self, response: Response) -> None:
        self.body = bytearray()
        self.ends: list[Exception | None] = []
        self.paused = False
        self.response = response
        response.listen(self.piece, self.end)

    def piece(self, data: bytes) -> None:
        assert not self.paused
        self.body += data
        self.paused = True
        self.response.pause()

    def end(self, error: Exception | None) -> None:
        assert error is not None or not self.paused
        self.ends.append(error)

    async def wait(self) -> None:
        while not self.ends:
            await asyncio.sleep(0)
            if self.paused:
                self.paused = False
                self.response.resume()


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize(("coding", "body"), CODINGS)
async def test_nothing_comes_during_a_pause(
    client: Client, coding: bytes, body: bytes, late: bool
) -> None:
    async with Upstream(answers(encoded(coding, body), OK)) as upstream:
        response = await client.send(upstream.origin(), request(), short())
        if late:
            await asyncio.sleep(0.05)
        slow = Slow(response)
        await asyncio.wait_for(slow.wait(), PATIENCE)
        assert slow.ends == [None]
        assert slow.body == TEXT
        again = await client.send(upstream.origin(), request(), short(), whole=True)
        assert await again.read(10) == b"ok"
        assert again.reused


async def test_pause_and_resume_within_a_piece_keep_the_order(client: Client) -> None:
    answer = CHUNKED + b"".join(chunk(b"%d" % number) for number in range(10)) + chunk(b"")
    heard: list[bytes] = []
    async with Upstream(answers(answer)) as upstream:
        response = await client.send(upstream.origin(), request(), short())
        await until(lambda: response.size == 10)

        def piece(data: bytes) -> None:
            heard.append(data)
            response.pause()
            response.resume()

        ends: list[Exception | None] = []
        response.listen(piece, ends.append)
        assert b"".join(heard) == b"0123456789"
        assert ends == [None]


async def test_listening_after_the_end(client: Client) -> None:
    async with Upstream(answers(OK)) as upstream:
        response = await client.send(upstream.origin(), request(), short(), whole=True)
        heard = listen(response)
        assert (heard.body, heard.ends) == (b"ok", [None])
        response = await client.send(upstream.origin(), request(), short(), whole=True)
        response.close()
        heard = listen(response)
        assert (heard.body, heard.ends) == (b"", [])
