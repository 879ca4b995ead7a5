"""The ledger of one process: its file, and the two threads that keep it.

One thread brings the file to the disk each second. The other loads it into the database at the
lowest priority: under saturation the loading lags, the serving does not, and nothing is lost.
"""

import logging
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from modelyard.storage.ledger.file import LedgerFile
from modelyard.storage.ledger.loading import Loader

CATCH_UP_SECONDS = 1.0  # the longest that a reader waits for records to be loaded
_INTERVAL = 1.0
MOST_BEHIND = 256 * 1024 * 1024  # bytes not loaded while the serving thread is saturated
_LOWEST = 19  # nice

_log = logging.getLogger(__name__)


class Thread:
    """How much processor time a thread takes."""

    def __init__(self, ident: int) -> None:
        self._clock = time.pthread_getcpuclockid(ident)
        self._looked = time.monotonic(), time.clock_gettime(self._clock)

    def busy(self) -> bool:
        """Whether it took more than 70 % of a processor since the last look."""
        wall, used = self._looked
        self._looked = time.monotonic(), time.clock_gettime(self._clock)
        return self._looked[1] - used > 0.7 * (self._looked[0] - wall)


class Keeper:
    """Syncs and loads what a LedgerFile holds, once a second and when asked.

    ``start`` loads what dead processes left and returns once that is done; ``stop`` ends with a
    last sync and load within its time. What is not loaded then is loaded at the next start.
    """

    def __init__(self, file: LedgerFile, loader: Loader, interval: float = _INTERVAL) -> None:
        self.reader = loader.reader
        self._file = file
        self._loader = loader
        self._interval = interval
        self._stopping = threading.Event()
        self._changed = threading.Condition()
        self._asked = 0  # how often a reader asked for the newest
        self._served = 0
        self._serving = Thread(threading.get_ident())
        self._threads = [
            threading.Thread(target=self._sync_on, name="ledger-sync", daemon=True),
            threading.Thread(target=self._load_on, name="ledger-load", daemon=True),
        ]

    @property
    def healthy(self) -> bool:
        """Whether the last record could be written."""
        return self._file.healthy

    @property
    def loader(self) -> Loader:
        """The loader, with its counts."""
        return self._loader

    def start(self) -> None:
        """Load the leftovers, then keep the file in the background.

        Raises sqlite3.Error and OSError when the leftovers cannot be loaded.
        """
        self._loader.load_folder(self._file.folder)
        for thread in self._threads:
            thread.start()

    def catch_up(self, timeout: float = CATCH_UP_SECONDS) -> bool:
        """Wait until what was written before this call, by any process, is loaded.

        Returns False when that took longer than ``timeout`` seconds: the reader sees an older
        state. Call it from a thread that may block.
        """
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._served >= mine or self._stopped(), timeout)
            return self._served >= mine

    def stop(self, timeout: float = 5.0) -> bool:
        """End the threads, sync and load the rest within ``timeout`` seconds.

        Returns whether everything is in the database; this process's file is deleted then. No
        record may be appended any more.
        """
        deadline = time.monotonic() + timeout
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            return False
        done = _tried("loaded", lambda: self._finish(deadline))
        self._loader.close()
        return done

    def _finish(self, deadline: float) -> bool:
        def in_time() -> bool:
            return time.monotonic() < deadline

        self._file.sync()
        for segment in self._file.segments():
            if not self._loader.load(segment.name, segment.fd, segment.size, in_time):
                return False
            self._loader.retire(segment.path)
            self._file.discard(segment)
        return True

    def _sync_on(self) -> None:
        while not self._stopping.wait(self._interval):
            _tried("synced", self._sync)

    def _sync(self) -> bool:
        self._file.sync()
        return True

    def _load_on(self) -> None:
        _lower_priority()
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(self._wanted, self._interval)
                asked = self._asked
            if asked <= self._served and self._crowded():
                continue
            if not _tried("loaded", self._load):
                self._stopping.wait(self._interval)
            elif asked > self._served:
                _tried("loaded", lambda: self._loader.load_folder(self._file.folder, self._going))
                with self._changed:
                    self._served = asked
                    self._changed.notify_all()

    def _wanted(self) -> bool:
        return self._asked > self._served or self._stopped()

    def _stopped(self) -> bool:
        return self._stopping.is_set()

    def _going(self) -> bool:
        return not self._stopping.is_set()

    def _crowded(self) -> bool:
        """Whether the serving thread needs the processor: loading waits, up to a backlog."""
        behind = sum(segment.size - segment.loaded for segment in self._file.segments())
        return self._serving.busy() and behind < MOST_BEHIND

    def _load(self) -> bool:
        """Load this process's files as far as they are written now; those that are full go."""
        for segment in self._file.segments():
            full = segment is not self._file.segment  # then nothing is written to it any more
            size = segment.size
            if size > segment.loaded:
                if not self._loader.load(segment.name, segment.fd, size, self._going):
                    return False
                segment.loaded = size
            if full:
                self._loader.retire(segment.path)
                self._file.discard(segment)
        return True


def open_ledger(folder: Path, database: Path | str) -> tuple[LedgerFile, Keeper]:
    """This process's file in ``folder``, and its keeper for ``database``, not started.

    Raises sqlite3.Error, OSError and ``schema.UnusableDatabase``.
    """
    loader = Loader(database)
    file = LedgerFile.open(folder)
    return file, Keeper(file, loader)


def _tried(done: str, step: Callable[[], bool]) -> bool:
    """Whether ``step`` said yes; a failure is logged: it is tried again in a second."""
    try:
        return step()
    except (sqlite3.Error, OSError) as error:
        _log.error("The ledger could not be %s, it is tried again: %s", done, error)
        return False


def _lower_priority() -> None:
    """Let everything else in this process go first. On Linux a thread has a nice value."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST)
