"""What the server and the process with the model tell each other, over a Unix socket.

A frame is four bytes of length (big endian) and so many of MessagePack.
"""

from __future__ import annotations

import asyncio

import msgspec
from msgspec import Struct

MOST_BYTES = 1 << 30  # of a frame
GREETING = 0  # the id of the first frame of a connection: a process that is ending sends none


class Ask(Struct, array_like=True):
    """Texts to embed. Without texts: the answer to this id is no longer wanted."""

    id: int
    texts: list[str]
    as_base64: bool = False


class Told(Struct, array_like=True):
    """Their vectors: ``data`` is OpenAI's list of embeddings as JSON.

    ``tokens`` is how many the model has read, its markers included; ``cut`` the numbers of the
    texts that were too long.
    """

    id: int
    data: bytes = b""
    tokens: int = 0
    cut: list[int] = []


_encode = msgspec.msgpack.Encoder().encode
decode_ask = msgspec.msgpack.Decoder(Ask).decode
decode_told = msgspec.msgpack.Decoder(Told).decode


def frame(message: Ask | Told) -> bytes:
    """A message as it goes over the socket."""
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


async def read(reader: asyncio.StreamReader) -> bytes | None:
    """The next frame's bytes; None at the end, wherever it comes."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        if size > MOST_BYTES:
            return None
        return await reader.readexactly(size)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
