"""What was asked, on file: each process writes its own, one of them reads all."""

from __future__ import annotations

import logging
import os
import struct
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from modelyard.auth.sealed import Box, Unsealable
from modelyard.inference.cache.warming.prompts import Asked

log = logging.getLogger(__name__)

PURPOSE = "warming"
_HEAD = struct.Struct("<II")  # length and CRC-32 of what follows
_SUFFIX = ".journal"
_LARGEST = 1 << 26  # bytes of a frame; more is damage


class Paid(Struct, frozen=True, array_like=True, tag=True):
    """Money for one call: first what it may cost at most (``open``), then what it cost."""

    id: str
    workspace: str
    digest: bytes
    at: float  # Unix seconds
    money: int  # nano-dollars
    open: bool
    kept: bool = False  # the answer is in the cache


class Noted(Struct, frozen=True, array_like=True, tag=True):
    """What was asked since the last note."""

    asked: list[Asked]


class Cleared(Struct, frozen=True, array_like=True, tag=True):
    """The workspace's cache was emptied."""

    workspace: str
    at: float


Entry = Noted | Paid | Cleared
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Journal:
    """Appends to files of this process, sealed; a new one begins after a quarter of the bound.

    Raises OSError.
    """

    def __init__(self, folder: Path, box: Box, bound: int) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._box = box
        self._bound = bound
        self._path: Path | None = None
        self._size = 0

    def append(self, entry: Entry) -> None:
        """Write one entry as a whole."""
        sealed = self._box.seal(PURPOSE, _encode(entry))
        frame = _HEAD.pack(len(sealed), zlib.crc32(sealed)) + sealed
        path = self._path
        if path is None or self._size + len(frame) > self._bound // 4:
            path = self._path = self._folder / f"{time.time_ns():020d}-{os.getpid()}{_SUFFIX}"
            self._size = 0
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            self._size += os.write(fd, frame)
        finally:
            os.close(fd)


class Positions(Struct):
    """How far each file was read."""

    bytes: dict[str, int] = {}


def read(folder: Path, box: Box, positions: Positions, most: int = 1 << 22) -> list[Entry]:
    """The next entries, about ``most`` bytes of them, oldest file first; moves the positions.

    A frame that is not whole yet is left for the next time. What is damaged, or was sealed
    elsewhere, ends its file. Raises OSError.
    """
    found: list[Entry] = []
    for path in sorted(folder.glob("*" + _SUFFIX)):
        start = positions.bytes.get(path.name, 0)
        if path.stat().st_size <= start:
            continue
        with path.open("rb") as file:
            file.seek(start)
            data = file.read(most)
        entries, taken = _frames(data, box, path)
        if not taken and len(data) == most:  # a frame larger than what was read
            with path.open("rb") as file:
                file.seek(start)
                entries, taken = _frames(file.read(_LARGEST), box, path)
        found += entries
        positions.bytes[path.name] = start + taken
        most -= min(taken, len(data))
        if most <= 0:
            break
    return found


def _frames(data: bytes, box: Box, path: Path) -> tuple[list[Entry], int]:
    found: list[Entry] = []
    at = 0
    while at + _HEAD.size <= len(data):
        length, checksum = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if end > len(data) and length <= _LARGEST:
            break
        sealed = data[at + _HEAD.size : end]
        try:
            if length > _LARGEST or zlib.crc32(sealed) != checksum:
                raise Unsealable("a frame is damaged")
            found.append(_decode(box.open(PURPOSE, sealed)))
        except (Unsealable, msgspec.DecodeError) as error:
            log.warning("warming: the rest of %s is not read: %s", path.name, error)
            return found, 1 << 62  # beyond any end
        at = end
    return found, at


def prune(folder: Path, positions: Positions, bound: int) -> None:
    """Delete the oldest files that were read, until the rest is within the bound."""
    files = [(path, path.stat().st_size) for path in sorted(folder.glob("*" + _SUFFIX))]
    total = sum(size for _, size in files)
    for path, size in files[:-1]:
        if total <= bound:
            break
        if positions.bytes.get(path.name, 0) >= size:
            path.unlink(missing_ok=True)
            total -= size
    there = {path.name for path in folder.glob("*" + _SUFFIX)}
    positions.bytes = {name: at for name, at in positions.bytes.items() if name in there}


def events(entries: Sequence[Entry]) -> list[Asked | Cleared | Paid]:
    """What was asked, emptied and fetched, by time."""
    found: list[Asked | Cleared | Paid] = []
    for entry in entries:
        if isinstance(entry, Noted):
            found += entry.asked
        elif isinstance(entry, Cleared) or not entry.open:
            found.append(entry)
    found.sort(key=lambda one: one.at)
    return found
