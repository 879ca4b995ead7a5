"""The files of a zip or a tar, one after the other, without unpacking them and in constant memory.

A zip's directory is read entry by entry (APPNOTE 6.3: stored and deflated files, zip64), a tar
header by header; neither is held. What no dataset needs is refused, not guessed at: links, devices,
encrypted files, names that lead out of the archive.
"""

from __future__ import annotations

import re
import struct
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from msgspec import Struct

from modelyard.ml.intake.sniffing import Unreadable

MOST_FILES = 1_000_000
LONGEST_PATH = 1024  # characters
MOST_TIMES = 100  # as many bytes may come out of an archive as it has, and a few more
FREE_BYTES = 256 << 20  # so many may come out of any
STORED, DEFLATED = 0, 8
_CHUNK = 1 << 20
_MOST_HEADERS = 1 << 20  # bytes of a tar's extended headers: names, not contents
_END, _END64, _ENTRY, _LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x01\x02", b"PK\x03\x04"
_DRIVE = re.compile(r"[A-Za-z]:")


class Member(Struct, frozen=True, kw_only=True):
    """A file of an archive: ``size`` bytes, stored as ``stored`` at ``offset``."""

    path: str
    size: int
    offset: int
    stored: int
    method: int = STORED
    crc: int | None = None


class Torn(ValueError):
    """A file whose bytes are not those that were packed; the message says why."""


def members(stream: BinaryIO, form: str) -> Iterator[Member]:
    """The files of a ``zip`` or ``tar``, in its order. Raises ``Unreadable``.

    What systems leave behind (hidden files, ``__MACOSX``) is left out.
    """
    size = stream.seek(0, 2)
    count, total = 0, 0
    for member in _zip(stream, size) if form == "zip" else _tar(stream):
        count, total = count + 1, total + member.size
        if count > MOST_FILES:
            raise Unreadable(f"it has more than {MOST_FILES:,} files; divide it")
        if total > MOST_TIMES * size + FREE_BYTES:
            raise Unreadable(
                f"what it unpacks to is more than {MOST_TIMES} times its size, as a zip bomb is"
            )
        _check_path(member.path)
        if not _left_behind(member.path):
            yield member


def contents(stream: BinaryIO, member: Member) -> Iterator[bytes]:
    """The bytes of a file, unpacked. Raises ``Torn``."""
    stream.seek(member.offset)
    left, done, crc = member.stored, 0, 0
    unpack = Unpacking(member.method)
    while left:
        data = stream.read(min(_CHUNK, left))
        if not data:
            raise Torn("the archive ends within it")
        left -= len(data)
        for part in unpack.parts(data):
            done, crc = done + len(part), zlib.crc32(part, crc)
            if done > member.size:
                raise Torn(f"it unpacks to more than the {member.size} bytes it tells of")
            yield part
    if done != member.size:
        raise Torn(f"it has {done} bytes and tells of {member.size}")
    if member.crc is not None and crc != member.crc:
        raise Torn("its checksum (CRC-32) is not that of its bytes")


class Unpacking:
    """The bytes of one stored file, as they come out."""

    def __init__(self, method: int) -> None:
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS) if method == DEFLATED else None

    def parts(self, data: bytes) -> Iterator[bytes]:
        """What comes of the next stored bytes, at most a MiB at a time. Raises ``Torn``."""
        if self._inflate is None:
            yield data
            return
        try:
            while data:
                if part := self._inflate.decompress(data, _CHUNK):
                    yield part
                data = self._inflate.unconsumed_tail
        except zlib.error as error:
            raise Torn(f"it cannot be unpacked: {error}") from error


def _check_path(path: str) -> None:
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or _DRIVE.match(path) or "\0" in path:
        raise Unreadable(f"the path {path[:100]!r} leads out of the archive")
    if len(path) > LONGEST_PATH:
        raise Unreadable(f"the path {path[:100]!r}… has more than {LONGEST_PATH} characters")


def _left_behind(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return any(one.startswith(".") or one == "__MACOSX" for one in parts) or parts[-1:] in (
        ("Thumbs.db",),
        ("desktop.ini",),
    )


def _tar(stream: BinaryIO) -> Iterator[Member]:
    stream.seek(0)
    try:
        with tarfile.open(fileobj=cast("BinaryIO", _Guarded(stream)), mode="r:") as tar:
            while (one := tar.next()) is not None:
                cast("Any", tar).members.clear()  # it keeps all of them else
                if one.isdir():
                    continue
                if not one.isreg() or one.sparse is not None:
                    raise _no_file(one.name)
                path = one.name.removeprefix("./")
                yield Member(path=path, size=one.size, offset=one.offset_data, stored=one.size)
    except (tarfile.TarError, EOFError) as error:
        raise Unreadable(f"the tar is damaged: {error}") from error


class _Guarded:
    """A file whose headers are small: an extended one could ask for gigabytes of memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int = -1) -> bytes:
        """At most a MiB. Raises ``Unreadable`` for more."""
        if not 0 <= size <= _MOST_HEADERS:
            raise Unreadable("the tar has an extended header of more than a MiB")
        return self._stream.read(size)


def _no_file(path: str) -> Unreadable:
    return Unreadable(f"{path[:100]!r} is a link or a device; pack the files themselves")


def _zip(stream: BinaryIO, size: int) -> Iterator[Member]:
    at, count, end = _directory(stream, size)
    try:
        for _ in range(count):
            stream.seek(at)
            entry = stream.read(46)
            if entry[:4] != _ENTRY or at >= end:
                raise Unreadable("the zip's directory is damaged; is it cut off?")
            fields = struct.unpack("<4s4B4HL2L5H2L", entry)
            name_size, extra_size, comment_size = fields[12:15]
            name, extra = stream.read(name_size), stream.read(extra_size)
            at += 46 + name_size + extra_size + comment_size
            member = _entry(stream, fields, name, extra)
            if member is not None:
                yield member
    except struct.error as error:
        raise Unreadable("the zip's directory is damaged; is it cut off?") from error


def _directory(stream: BinaryIO, size: int) -> tuple[int, int, int]:
    """Where the directory is, how many entries it has, and where it ends."""
    stream.seek(max(0, size - 65_557))  # with the longest comment
    begin, tail = stream.tell(), stream.read()
    at = tail.rfind(_END)
    if at < 0 or len(tail) - at < 22:
        raise Unreadable("the zip has no directory; it is cut off")
    _, disk, _, _, count, length, offset, _ = struct.unpack_from("<4s4H2LH", tail, at)
    if 0xFFFFFFFF in (offset, length) or count == 0xFFFF:
        back = tail.rfind(_END64, 0, at)
        if back >= 0 and len(tail) - back >= 56:
            disk, _, _, count, length, offset = struct.unpack_from("<2L4Q", tail, back + 16)
            at = back
    if disk:
        raise Unreadable("the zip is divided over several files; pack it as one")
    if offset + length > begin + at:
        raise Unreadable("the zip's directory is damaged; is it cut off?")
    return offset, count, offset + length


def _entry(stream: BinaryIO, fields: tuple[int, ...], raw: bytes, extra: bytes) -> Member | None:
    flags, method, crc, stored, size = fields[5], fields[6], fields[9], fields[10], fields[11]
    system, mode, offset = fields[2], fields[17] >> 16, fields[18]
    path = _name(raw, flags).replace("\\", "/").removeprefix("./")
    if path.endswith("/"):
        return None
    if system == 3 and mode and mode & 0o170000 not in (0, 0o100000):
        raise _no_file(path)
    if flags & 0x41:
        raise Unreadable(f"{path[:100]!r} is encrypted; pack it without a password")
    if method not in (STORED, DEFLATED):
        raise Unreadable(f"{path[:100]!r} is packed by method {method}; use deflate, or none")
    size, stored, offset = _wide(extra, size, stored, offset)
    stream.seek(offset)
    local = stream.read(30)
    if local[:4] != _LOCAL:
        raise Unreadable(f"the zip's entry of {path[:100]!r} is damaged")
    name_size, extra_size = struct.unpack_from("<2H", local, 26)
    begin = offset + 30 + name_size + extra_size
    return Member(path=path, size=size, offset=begin, stored=stored, method=method, crc=crc)


def _name(raw: bytes, flags: int) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("utf-8" if flags & 0x800 else "cp437", "replace")


def _wide(extra: bytes, *numbers: int) -> list[int]:
    """The sizes and the offset, those that need 64 bits from the extra field."""
    found, at = list(numbers), 0
    while at + 4 <= len(extra):
        name, length = struct.unpack_from("<2H", extra, at)
        if name == 1:
            wide, place = extra[at + 4 : at + 4 + length], 0
            for number, value in enumerate(found):
                if value == 0xFFFFFFFF:
                    (found[number],) = struct.unpack_from("<Q", wide, place)
                    place += 8
            break
        at += 4 + length
    return found


def form_of(file: Path) -> str:
    """``zip`` or ``tar`` by the first bytes; "" for neither."""
    with file.open("rb") as stream:
        head = stream.read(512)
    if head[:4] in (_LOCAL, _END):
        return "zip"
    return "tar" if head[257:262] == b"ustar" else ""
