"""The ledger's file: one append-only file of JSON lines per process, written before an answer ends.

A record is one ``os.write`` to a file opened with O_APPEND (0.9 µs): once it returns, the record
survives kill -9. ``sync`` brings it to the disk each second, so a power cut costs a second at most.
"""

import fcntl
import logging
import os
import secrets
import threading
import time
from collections import deque
from pathlib import Path

import msgspec
from mypy_extensions import mypyc_attr

from modelyard.storage.ledger.record import Record

ROTATE_BYTES = 64 * 1024 * 1024
SUFFIX = ".jsonl"
_PROBE = b" " * 4096  # a block: what a probe must be able to write. Without newline: never loaded

_log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode
_datasync = getattr(os, "fdatasync", os.fsync)  # macOS has only fsync


@mypyc_attr(native_class=False)
class LedgerUnwritable(OSError):
    """The record was not written: nothing of it is left in the file, or nothing follows it."""


class Segment:
    """One open file. ``size`` is where its last whole record ends."""

    __slots__ = ("fd", "loaded", "path", "size", "synced")

    def __init__(
        self,
        path: Path,
        fd: int,
        size: int = 0,
        synced: int = 0,
        loaded: int = 0,
    ) -> None:
        self.path = path
        self.fd = fd
        self.size = size
        self.synced = synced  # how much of it was on the disk at the last sync
        self.loaded = loaded  # how much of it is known to be in the database

    @property
    def name(self) -> str:
        """The file's name, by which the database remembers how far it was loaded."""
        return self.path.name


def encode(record: Record) -> bytes:
    """The record as one line."""
    return _encode(record) + b"\n"


def create(folder: Path) -> Segment:
    """A new file in ``folder`` that nobody else reads or writes, held by a lock while it is open.

    Its lock tells other processes that its writer lives. One of them may have taken the new file
    for a dead process's in the moment before it was locked, and deleted it: then make another.
    """
    while True:
        name = f"{time.time_ns() // 1_000_000:013d}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
        path = folder / name
        fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if os.fstat(fd).st_nlink:
            return Segment(path, fd)
        os.close(fd)


def sync_folder(folder: Path) -> None:
    """Bring the folder's entries to the disk: a file without its entry is lost in a power cut."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


class LedgerFile:
    """Where one process writes its records.

    ``append`` and ``probe`` belong to one thread (the event loop's); ``sync`` and ``discard`` may
    be called from others. Files that are full wait in ``retired`` until they are loaded.
    """

    def __init__(self, folder: Path, segment: Segment, rotate_bytes: int) -> None:
        self.folder = folder
        self.segment = segment
        self.retired: deque[Segment] = deque()
        self.healthy = True
        self._dirty = False  # bytes of a failed write may stand behind the last whole record
        self._rotate_bytes = rotate_bytes
        self._rotate_at = rotate_bytes
        self._closing = threading.Lock()  # no file is closed while it is synced

    @classmethod
    def open(cls, folder: Path, rotate_bytes: int = ROTATE_BYTES) -> "LedgerFile":
        """Begin this process's file in ``folder`` (made if missing, for its owner alone).

        Raises OSError when that cannot be done.
        """
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return cls(folder, create(folder), rotate_bytes)

    def append(self, line: bytes) -> None:
        """Write one encoded record; it survives the process once this returns.

        Raises LedgerUnwritable when it could not be written whole (the disk is full, say). It may
        be called again: the first success makes the ledger healthy.
        """
        if self._dirty:
            self._mend()
        segment = self.segment
        try:
            written = os.write(segment.fd, line)
        except OSError as error:
            raise self._failed(error.strerror or "write failed") from error
        if written != len(line):
            raise self._failed("the disk is full")
        segment.size += written
        self.healthy = True
        if segment.size >= self._rotate_at:
            self._rotate()

    def probe(self) -> bool:
        """Whether a record could be written now. Costs nothing while the ledger is healthy.

        After a failure it tries a block of blanks and takes it away again, so that requests are
        refused before they cost money, and served again soon after there is room.
        """
        if self.healthy:
            return True
        try:
            self._mend()
            self._dirty = True
            self.healthy = os.write(self.segment.fd, _PROBE) == len(_PROBE)
            self._mend()
        except OSError:
            self.healthy = False
        return self.healthy

    def segments(self) -> list[Segment]:
        """Every open file, each once; the one that is written last of all."""
        current = self.segment  # read first: if it is full by the next line, it is in both
        return list(dict.fromkeys((*self.retired.copy(), current)))

    def sync(self) -> None:
        """Bring what was written to the disk (about 620 µs). Raises OSError."""
        with self._closing:
            for segment in self.segments():
                size = segment.size
                if not segment.synced and size:
                    sync_folder(self.folder)
                if segment.synced != size:
                    _datasync(segment.fd)
                    segment.synced = size

    def discard(self, segment: Segment) -> None:
        """Close a file that is no longer written, and let go of its lock."""
        with self._closing:
            if segment in self.retired:
                self.retired.remove(segment)
            os.close(segment.fd)

    def _failed(self, reason: str) -> LedgerUnwritable:
        self.healthy = False
        self._dirty = True
        try:
            self._mend()
        except LedgerUnwritable as error:
            _log.error("The ledger's torn record stays until it can be cut off: %s", error)
        return LedgerUnwritable(f"The ledger {self.segment.name} cannot be written: {reason}")

    def _mend(self) -> None:
        """Cut off what a failed write left, so that no record is ever written behind it."""
        try:
            os.ftruncate(self.segment.fd, self.segment.size)
        except OSError as error:
            raise LedgerUnwritable(
                f"{self.segment.name} cannot be cut: {error.strerror}"
            ) from error
        self._dirty = False

    def _rotate(self) -> None:
        try:
            fresh = create(self.folder)
        except OSError as error:
            self._rotate_at += self._rotate_bytes
            _log.warning("The ledger stays in %s: %s", self.segment.name, error.strerror)
            return
        self.retired.append(self.segment)
        self.segment = fresh
        self._rotate_at = self._rotate_bytes
