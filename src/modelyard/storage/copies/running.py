"""The workers that live with a home folder, which must not be copied or replaced meanwhile."""

import contextlib
import fcntl
import os
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
