"""Amazon's binary event streams (``application/vnd.amazon.eventstream``)."""

from __future__ import annotations

from typing import NamedTuple
from zlib import crc32

_PRELUDE = 12  # bytes: length, length of the headers, checksum of both
_CHECK = 4
_MOST = 16 * 1024 * 1024  # bytes of one message, as Amazon bounds them
_STRING = 7
_SIZES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}  # bytes of the other header types


class Message(NamedTuple):
    """One message: its headers that are strings, and its payload."""

    fields: dict[str, str]
    payload: bytes


class Damaged(ValueError):
    """The bytes are no event stream."""


class Splitter:
    """Splits bytes into messages."""

    def __init__(self) -> None:
        self._buffer = b""

    def feed(self, piece: bytes) -> list[Message]:
        """The messages that are complete now. Raises Damaged."""
        data = self._buffer + piece
        found = []
        start = 0
        while len(data) - start >= _PRELUDE:
            length = int.from_bytes(data[start : start + 4])
            if not _PRELUDE + _CHECK <= length <= _MOST:
                raise Damaged("a message has an impossible length")
            if len(data) - start < length:
                break
            found.append(_message(data[start : start + length]))
            start += length
        self._buffer = data[start:]
        return found


def _message(data: bytes) -> Message:
    if crc32(data[:8]) != int.from_bytes(data[8:12]):
        raise Damaged("the checksum of a message's beginning is wrong")
    if crc32(data[:-_CHECK]) != int.from_bytes(data[-_CHECK:]):
        raise Damaged("the checksum of a message is wrong")
    end = _PRELUDE + int.from_bytes(data[4:8])
    return Message(_fields(data[_PRELUDE:end]), data[end:-_CHECK])


def _fields(data: bytes) -> dict[str, str]:
    found = {}
    at = 0
    while at < len(data):
        stop = at + 1 + data[at]
        name, sort = data[at + 1 : stop].decode(), data[stop]
        at = stop + 1
        if sort in _SIZES:
            at += _SIZES[sort]
            continue
        size = int.from_bytes(data[at : at + 2])
        at += 2
        if sort == _STRING:
            found[name] = data[at : at + size].decode()
        at += size
    return found
