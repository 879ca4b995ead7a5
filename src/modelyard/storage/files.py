"""Files that come into being at once and whole, or not at all.

What is not finished lies in a folder of its process beside the place that it shall have, with a
lock that the process holds for as long as it lives. So what the killed have left is known, and is
removed by the next that has a folder in the same place.
"""

import contextlib
import fcntl
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o600
PREFIX = ".modelyard-"
_LOCK = ".lock"


@contextlib.contextmanager
def unfinished(path: Path) -> Iterator[Path]:
    """A place for what shall be ``path`` once it is finished; what is there at the end is removed.

    Raises OSError.
    """
    with own_folder(path.parent) as folder:
        yield folder / path.name


@contextlib.contextmanager
def own_folder(parent: Path, prefix: str = PREFIX) -> Iterator[Path]:
    """A private folder in ``parent``, gone at the end, or with the process. Raises OSError."""
    sweep(parent, prefix)
    folder, lock = _claimed(parent, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def sweep(parent: Path, prefix: str = PREFIX) -> None:
    """Remove the folders in ``parent`` whose processes are gone. Raises OSError without parent."""
    with os.scandir(parent) as found:
        left = [Path(one.path) for one in found if one.name.startswith(prefix)]
    for folder in left:
        with contextlib.suppress(OSError):  # somebody has the lock, or was quicker
            _abandoned(folder)


def _abandoned(folder: Path) -> None:
    """Remove a folder; raises OSError where its process lives."""
    try:
        lock = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    except FileNotFoundError:
        folder.rmdir()  # its process has not come further
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(lock)


def _claimed(parent: Path, prefix: str) -> tuple[Path, int]:
    """A new folder, and the lock in it, which is a file: some file systems lock no folders."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
        with contextlib.suppress(FileNotFoundError):  # it was swept before it was locked
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, PRIVATE)
            with contextlib.suppress(OSError):  # where there are no locks, nothing is swept
                fcntl.flock(lock, fcntl.LOCK_EX)
            if os.fstat(lock).st_nlink:
                return folder, lock
            os.close(lock)


def publish(finished: Path, path: Path) -> bool:
    """Give the file ``finished`` the name ``path``, unless that exists; ``finished`` is gone then.

    Returns whether this call made it. Of several processes exactly one does, and none ever sees
    a part of the file.
    """
    try:
        os.link(finished, path)
    except FileExistsError:
        return False
    finally:
        finished.unlink()
    _sync_folder(path.parent)
    return True


def write_once(path: Path, data: bytes) -> bytes:
    """Make the private file ``path`` with ``data`` unless it exists; returns what it holds.

    On disk when this returns.
    """
    if not path.exists():
        with unfinished(path) as place:
            publish(_written(place, data), path)
    return path.read_bytes()


def replace(path: Path, data: bytes) -> None:
    """Give the private file ``path`` other content, which is on disk when this returns."""
    with own_folder(path.parent) as folder:
        put(data, folder, path)


def put(data: bytes, folder: Path, path: Path) -> None:
    """As ``replace``, with a folder of this process on the same file system."""
    _written(folder / path.name, data).replace(path)
    _sync_folder(path.parent)


def rename(finished: Path, path: Path) -> None:
    """Give the file ``finished`` the name ``path``, in place of what had it; on disk then."""
    with finished.open("rb") as stream:
        os.fsync(stream.fileno())
    finished.replace(path)
    _sync_folder(path.parent)


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """What is done here is not ended half-way by Ctrl-C; it is short, and the last there is."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals do not come here
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _written(path: Path, data: bytes) -> Path:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(file, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(file)
    return path


def _sync_folder(folder: Path) -> None:
    """Make a new name survive a power cut, where the system can open folders."""
    with contextlib.suppress(PermissionError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
