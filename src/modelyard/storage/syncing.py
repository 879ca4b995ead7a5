"""Bringing what was committed to the disk within a second, beside those who commit."""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

SECONDS = 1.0  # between two times: a power cut costs as much
_SOON = 0.1  # where the log is long
_LONG = 16_384  # pages in the log, 64 MB: its new beginning stops who writes for two syncs
_CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)"

_sync = getattr(os, "fdatasync", os.fsync)
log = logging.getLogger("modelyard.storage")


class Syncer:
    """A thread that syncs a SQLite database's log once a second, and moves it into the database.

    ``due`` is set by who has committed. ``alone`` runs a function while nobody in this process
    writes: without such a pause a log that always grows would never begin anew.
    """

    def __init__(
        self, path: Path, alone: Callable[[Callable[[sqlite3.Connection], None]], None]
    ) -> None:
        self.due = threading.Event()
        self._path = path
        self._alone = alone
        self._stopping = threading.Event()
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name=f"{path.stem}-sync", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Sync once more what was committed, and end."""
        self._stopping.set()
        self.due.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            self.due.wait()
            self.due.clear()
            self._stopping.wait(self._once())
        self._once()
        if self._connection is not None:
            self._connection.close()

    def _once(self) -> float:
        """Sync what is committed by now; the seconds until the next time."""
        try:
            _sync_file(self._path.with_name(self._path.name + "-wal"))
            _, pages, _ = self._opened().execute(_CHECKPOINT).fetchone()
            if pages <= _LONG:
                return SECONDS
            self._alone(_checkpoint)
        except (OSError, sqlite3.Error) as error:
            log.error("changes cannot be synced to the disk", extra={"error": error})
            self.due.set()
            return SECONDS
        return _SOON

    def _opened(self) -> sqlite3.Connection:
        """The thread's connection. One that cannot be opened yet is tried again the next time."""
        if self._connection is None:
            connection = sqlite3.connect(self._path, isolation_level=None)
            connection.execute("PRAGMA synchronous = NORMAL")
            self._connection = connection
        return self._connection


def _checkpoint(connection: sqlite3.Connection) -> None:
    connection.execute(_CHECKPOINT)


def _sync_file(path: Path) -> None:
    """Sync a file through a descriptor of our own: SQLite has no lock on its log."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:  # nothing was written yet
        return
    try:
        _sync(file)
    finally:
        os.close(file)
