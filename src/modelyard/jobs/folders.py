"""Folders that jobs work in: one each, gone with its process, however that ended.

A worker has a folder in the system's place for temporary files, and holds a lock on it for as long
as it lives. So whatever a worker that was killed has left is known by its lock, which nobody holds,
and is removed by the next that starts.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

PREFIX = "modelyard-jobs-"


class Folders:
    """The folders of one worker's jobs. Raises OSError where none can be made."""

    def __init__(self) -> None:
        sweep()
        self._place, self._lock = _made()

    @contextlib.contextmanager
    def one(self) -> Iterator[Path]:
        """An empty folder, for as long as a job takes."""
        path = Path(tempfile.mkdtemp(prefix="job-", dir=self._place))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def close(self) -> None:
        """Remove them all."""
        shutil.rmtree(self._place, ignore_errors=True)
        os.close(self._lock)


def sweep() -> None:
    """Remove what workers left that are gone."""
    for path in Path(tempfile.gettempdir()).glob(PREFIX + "*"):
        with contextlib.suppress(OSError):  # somebody has the lock, or was quicker
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def use(path: str) -> None:
    """Everything temporary of this process, and of those it starts, goes into a folder."""
    os.environ["TMPDIR"] = tempfile.tempdir = path


def _made() -> tuple[Path, int]:
    """A folder, and the lock on it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=PREFIX))
        lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):  # it was swept before it was locked
            if path.stat().st_ino == os.fstat(lock).st_ino:
                return path, lock
        os.close(lock)
