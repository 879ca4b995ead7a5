"""What the processes of one server tell each other, in memory that they share.

With several workers any of them may be asked for figures of them all. Each has a place here to
which it writes what it has counted; the others read it. A worker that replaces one which died
goes on from what that one had counted, so that no sum ever goes down.
"""

import mmap
import os
import struct
import zlib

import msgspec
from msgspec import Struct

from modelyard.inference.series import Counts

_HALF = 2 << 20  # bytes; only what is used takes memory
_HEAD = struct.Struct("<II")  # length, CRC-32
_PLACE = 2 * _HALF + mmap.PAGESIZE  # the first page holds which half is the newer one
_TRIES = 100


class Figures(Struct, frozen=True, kw_only=True, array_like=True):
    """The live state of one process."""

    pid: int
    running: int = 0
    flights: int = 0
    l1_entries: int = 0
    l1_bytes: int = 0
    connections: int = 0


class Page(Struct, frozen=True, array_like=True):
    """What a process tells the others. ``counts`` are encoded Counts."""

    figures: Figures
    counts: msgspec.Raw


_encode = msgspec.msgpack.Encoder().encode
_page = msgspec.msgpack.Decoder(Page).decode
_counts = msgspec.msgpack.Decoder(Counts).decode


class Board:
    """One place for each worker. Made before the fork; nothing of it outlives the processes.

    A place has two halves that are written in turn: a writer that is killed leaves the last
    state whole, and a checksum tells a reader that was overtaken to read again.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._memory = mmap.mmap(-1, workers * _PLACE)

    def write(self, number: int, figures: Figures, counts: Counts) -> None:
        """Tell the others. What does not fit is not told; ``metrics.MOST_SERIES`` series do."""
        try:
            data = _encode(Page(figures, msgspec.Raw(_encode(counts))))
        except OverflowError:  # a sum beyond 64 bits
            return
        if _HEAD.size + len(data) > _HALF:
            return
        place = number * _PLACE
        half = 1 - self._memory[place]
        begin = self._begin(place, half)
        self._memory[begin : begin + _HEAD.size] = _HEAD.pack(len(data), zlib.crc32(data))
        self._memory[begin + _HEAD.size : begin + _HEAD.size + len(data)] = data
        self._memory[place] = half

    def read(self, number: int) -> Page | None:
        """What a worker told last; None when it has not told anything."""
        place = number * _PLACE
        for _ in range(_TRIES):
            begin = self._begin(place, self._memory[place])
            length, checksum = _HEAD.unpack_from(self._memory, begin)
            data = self._memory[begin + _HEAD.size : begin + _HEAD.size + length]
            if zlib.crc32(data) == checksum:
                return _page(data) if data else None
        return None

    def counts(self, number: int) -> Counts:
        """What a worker, or those that it replaced, has counted."""
        page = self.read(number)
        return Counts() if page is None else _counts(page.counts)

    def others(self, number: int) -> list[int]:
        """The numbers of all workers but one."""
        return [other for other in range(self.workers) if other != number]

    def figures(self, number: int) -> Figures | None:
        """The live state of a worker; None when it does not live."""
        page = self.read(number)
        return page.figures if page is not None and _lives(page.figures.pid) else None

    def _begin(self, place: int, half: int) -> int:
        return place + mmap.PAGESIZE + half * _HALF


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True
