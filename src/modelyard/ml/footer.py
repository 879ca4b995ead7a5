"""Where in a Parquet file which rows and columns are: its footer, read without any library.

The footer is Thrift in its compact form (https://parquet.apache.org/docs/file-format/metadata/); of
it the row groups are read, the rest is passed over. So a process that only serves bytes knows which
of them somebody needs.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

TAIL = 8  # bytes at the end: the footer's length, and PAR1
MOST = 8 * 1024 * 1024  # bytes of a footer that is looked at: some seconds, for somebody's trick
_DEEPEST = 20
_STOP, _TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = (0, 1, 2, 3, 7, 8, 9, 10, 12)
_GROUPS, _CHUNKS, _ROWS = 4, 1, 3  # fields of the file's metadata and of a row group
_ABOUT, _PATH, _UNPACKED, _PACKED, _FIRST, _DICTIONARY = 3, 3, 6, 7, 9, 11  # of a column chunk
Kept = dict[int, Any]  # fields, and what is kept of those: the rest is passed over, and not held
_CHUNK: Kept = {_PATH: {}, _UNPACKED: {}, _PACKED: {}, _FIRST: {}, _DICTIONARY: {}}
_KEPT: Kept = {_GROUPS: {_CHUNKS: {_ABOUT: _CHUNK}, _ROWS: {}}}


class Chunk(Struct, frozen=True):
    """The bytes of one column in one row group."""

    column: str  # of a list or an object the name of the whole
    start: int
    end: int


class Group(Struct, frozen=True):
    """A row group."""

    rows: int
    chunks: list[Chunk]
    unpacked: int = 0  # bytes, of all columns


class BadFooter(ValueError):
    """This is no footer of a Parquet file."""


def length(tail: bytes) -> int:
    """The footer's bytes, by the last eight of the file. Raises ``BadFooter``."""
    size = int.from_bytes(tail[-8:-4], "little")
    if tail[-4:] != b"PAR1" or not 0 < size <= MOST:
        raise BadFooter("it does not end as a Parquet file")
    return size


def groups(footer: bytes) -> list[Group]:
    """The row groups, in their order. Raises ``BadFooter``."""
    try:
        found, _ = _struct(footer, 0, 0, _KEPT)
        return [_group(one) for one in found[_GROUPS]]
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise BadFooter("the footer is damaged") from error


def wanted(found: list[Group], offset: int, limit: int, columns: set[str]) -> list[tuple[int, int]]:
    """Where the bytes are that have these rows of these columns (of all where none are named)."""
    ranges, begin = [], 0
    for group in found:
        if begin < offset + limit and begin + group.rows > offset:
            ranges += [
                (one.start, one.end) for one in group.chunks if not columns or one.column in columns
            ]
        begin += group.rows
    return _joined(sorted(ranges))


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Neighbours as one."""
    made: list[tuple[int, int]] = []
    for start, end in ranges:
        if made and start <= made[-1][1]:
            made[-1] = (made[-1][0], max(end, made[-1][1]))
        else:
            made.append((start, end))
    return made


def _group(fields: dict[int, Any]) -> Group:
    chunks, unpacked = [], 0
    for one in fields[_CHUNKS]:
        about = one[_ABOUT]
        start = min(about[_FIRST], about.get(_DICTIONARY) or about[_FIRST])
        name = about[_PATH][0].decode()
        chunks.append(Chunk(name, start, start + about[_PACKED]))
        unpacked += about[_UNPACKED]
    return Group(fields[_ROWS], chunks, unpacked)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 70:
            raise BadFooter("a number has more than 64 bits")


def _struct(data: bytes, at: int, deep: int, kept: Kept | None) -> tuple[dict[int, Any], int]:
    if deep > _DEEPEST:
        raise BadFooter("it is nested too deeply")
    found: dict[int, Any] = {}
    number = 0
    while data[at] != _STOP:
        head = data[at]
        at += 1
        if head >> 4:
            number += head >> 4
        else:
            raw, at = _varint(data, at)
            number = (raw >> 1) ^ -(raw & 1)
        kind = head & 15
        if kind in (_TRUE, _FALSE):
            continue  # none of those that are kept
        inner = kept.get(number) if kept else None
        value, at = _value(data, at, kind, deep, inner)
        if inner is not None:
            found[number] = value
    return found, at + 1


def _value(data: bytes, at: int, kind: int, deep: int, kept: Kept | None) -> tuple[Any, int]:
    if kind in (_TRUE, _FALSE, _BYTE):
        return data[at], at + 1
    if kind < _DOUBLE:  # whole numbers of 16, 32 and 64 bits
        raw, at = _varint(data, at)
        return (raw >> 1) ^ -(raw & 1), at
    if kind == _DOUBLE:
        return data[at : at + 8], at + 8
    if kind == _BINARY:
        size, at = _varint(data, at)
        return data[at : at + size], at + size
    if kind in (_LIST, _SET):
        return _list(data, at, deep, kept)
    if kind == _STRUCT:
        return _struct(data, at, deep + 1, kept)
    raise BadFooter(f"there is a value of the type {kind}")


def _list(data: bytes, at: int, deep: int, kept: Kept | None) -> tuple[list[Any], int]:
    head = data[at]
    size, at = head >> 4, at + 1
    if size == 15:
        size, at = _varint(data, at)
    found = []
    for _ in range(size):
        one, at = _value(data, at, head & 15, deep + 1, kept)
        if kept is not None:
            found.append(one)
    return found, at
