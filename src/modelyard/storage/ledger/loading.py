"""Loading: the lines of ledger files become rows, each exactly once, in batches.

How far a file was loaded is stored in the transaction that brings its records, so a crash at any
moment repeats nothing and skips nothing, and any process may load any file. A file is deleted
only after its last records are on the disk.
"""

import fcntl
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

from modelyard.storage.ledger.file import SUFFIX
from modelyard.storage.ledger.queries import Reader
from modelyard.storage.ledger.tables import FileTables, Tables

BATCH_BYTES = 512 * 1024  # about 700 records: 10 ms of work, 50 µs of it with the lock held
DAMAGED = ".damaged"  # what a file with lines that are no record is kept as

_log = logging.getLogger(__name__)


def _always() -> bool:
    return True


class Loader:
    """Loads files into the ledger's database, which is made or upgraded first.

    ``database`` is a path, or the URL of one on PostgreSQL, that several hosts share. Any thread
    may call it; one works at a time. ``records`` and ``damaged`` count the rows it brought and
    the lines it could not read. Raises ``schema.UnusableDatabase``.
    """

    def __init__(self, database: Path | str, batch_bytes: int = BATCH_BYTES) -> None:
        self.database = database
        self.records = 0
        self.damaged = 0
        self._batch_bytes = batch_bytes
        self._lock = threading.Lock()
        self._tables, self.reader = _open(database)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._tables.close()

    def load(self, name: str, fd: int, upto: int, go_on: Callable[[], bool] = _always) -> bool:
        """Load the complete lines among the first ``upto`` bytes of a file.

        Stops between two batches when ``go_on`` says no. Returns whether it came to the end.
        Raises sqlite3.Error and OSError; what was loaded until then stays loaded.
        """
        with self._lock:
            while go_on():
                if not self._batch(name, fd, upto):
                    return True
        return False

    def load_folder(self, folder: Path, go_on: Callable[[], bool] = _always) -> bool:
        """Load every file in ``folder``; those whose writer lives as far as they were written.

        Files of dead processes are deleted then. Returns whether it came to the end.
        """
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue  # its owner, or another process, was quicker
            try:
                dead = _take(fd)
                if not self.load(path.name, fd, os.fstat(fd).st_size, go_on):
                    return False
                if dead:
                    self.retire(path)
            finally:
                os.close(fd)
        self._forget(folder)
        return True

    def retire(self, path: Path) -> None:
        """Delete a file that was loaded to its end and whose lock is held here.

        One with lines that are no record is kept under another name. Raises sqlite3.Error and
        OSError, and then the file stays.
        """
        with self._lock:
            damaged = self._tables.settle(path.name)
        if damaged:
            _log.warning("Ledger lines that are no record are kept in %s%s", path, DAMAGED)
            path.rename(path.with_name(path.name + DAMAGED))
        else:
            path.unlink(missing_ok=True)

    def _forget(self, folder: Path) -> None:
        with self._lock:
            self._tables.forget(lambda name: not (folder / name).exists())

    def _batch(self, name: str, fd: int, upto: int) -> bool:
        """Load the next lines; False when there are none."""

        def lines(position: int) -> bytes:
            return _lines(fd, position, upto, self._batch_bytes)

        brought = self._tables.load(name, lines)
        if brought is None:
            return False
        self.records += brought.rows
        self.damaged += brought.damaged
        return True


def _open(database: Path | str) -> tuple[Tables, Reader]:
    if isinstance(database, Path):
        return FileTables(database), Reader(database)
    from modelyard.storage.ledger.remote import open_remote  # its library only where it is needed

    return open_remote(database)


def _take(fd: int) -> bool:
    """Whether the file's writer is dead; its lock is ours then, until the file is closed."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _lines(fd: int, position: int, upto: int, size: int) -> bytes:
    """The complete lines from ``position``, about ``size`` bytes of them or one that is longer."""
    while True:
        data = os.pread(fd, min(size, upto - position), position) if upto > position else b""
        end = data.rfind(b"\n") + 1
        if end or len(data) < size:
            return data[:end]
        size *= 2
