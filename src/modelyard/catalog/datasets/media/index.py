"""Where in an archive a file is: found by its path with two short reads, however many there are.

::

    "MYFILES1", count, buckets                        8 bytes each
    where each bucket begins, and where the last ends  8 bytes each
    the entries of each bucket, a line of JSON each

A path's bucket is its BLAKE2b hash modulo their number. Numbers are little-endian.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Callable

import msgspec
from msgspec import Struct

MAGIC = b"MYFILES1"
HEAD = 24
_LONGEST = 1 << 22  # bytes of a bucket: more is no index of ours
Read = Callable[[int, int], AsyncGenerator[bytes, None]]


class Entry(Struct, frozen=True, kw_only=True, array_like=True):
    """A file: ``size`` bytes of this SHA-256, stored as ``stored`` at ``offset``."""

    path: str
    offset: int
    stored: int
    method: int
    size: int
    sha256: str
    media_type: str


_decoder = msgspec.json.Decoder(Entry)


def hashed(path: str) -> int:
    """The hash of a path: 64 bits."""
    data = path.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "little")


async def find(read: Read, path: str) -> Entry | None:
    """The entry of a path; ``read`` gives bytes of the index from one to below another."""
    head = await _all(read, 0, HEAD)
    if head[:8] != MAGIC:
        raise ValueError("this is no index of files")
    buckets = int.from_bytes(head[16:24], "little")
    at = HEAD + 8 * (hashed(path) % buckets)
    edges = await _all(read, at, at + 16)
    begin, end = (int.from_bytes(edges[one : one + 8], "little") for one in (0, 8))
    if end - begin > _LONGEST:
        raise ValueError("this index of files is damaged")
    for line in (await _all(read, begin, end)).splitlines() if end > begin else ():
        entry = _decoder.decode(line)
        if entry.path == path:
            return entry
    return None


async def _all(read: Read, begin: int, end: int) -> bytes:
    return b"".join([part async for part in read(begin, end)])
