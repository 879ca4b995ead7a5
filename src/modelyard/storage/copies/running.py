"""Who works with a home folder or a database, which must not be copied or replaced meanwhile."""

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

_LOCK = ".worker.lock"  # hidden: no backup has it


def hold(home: Path) -> None:
    """A worker of its own takes ``home``, as long as its process lives; several may."""
    with contextlib.suppress(OSError):  # where there are no locks, nobody is noticed by them
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        fcntl.flock(os.open(home / _LOCK, os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_SH)


def held(home: Path) -> bool:
    """Whether such a worker lives."""
    with contextlib.suppress(FileNotFoundError), (home / _LOCK).open("rb+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def opened(file: Path) -> bool:
    """Whether a process, of any home folder, has a SQLite database open.

    In WAL mode an open connection shares the file's lock, so it cannot be had alone.
    """
    place = f"{file.resolve().as_uri()}?mode=rw"
    with (
        contextlib.suppress(sqlite3.DatabaseError),  # where the file is read, that is told
        contextlib.closing(sqlite3.connect(place, timeout=0, uri=True)) as connection,
    ):
        connection.execute("PRAGMA locking_mode = EXCLUSIVE")
        try:
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            return error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    return False
