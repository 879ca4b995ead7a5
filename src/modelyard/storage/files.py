"""Files that come into being at once and whole, or not at all."""

import contextlib
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

PRIVATE = 0o600


def beside(path: Path) -> Path:
    """A fresh name in the folder of ``path``, for what is not finished yet."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}")


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
        publish(_written(path, data), path)
    return path.read_bytes()


def replace(path: Path, data: bytes) -> None:
    """Give the private file ``path`` other content, which is on disk when this returns."""
    _written(path, data).replace(path)
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
    unfinished = beside(path)
    file = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    with os.fdopen(file, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(file)
    return unfinished


def _sync_folder(folder: Path) -> None:
    """Make a new name survive a power cut, where the system can open folders."""
    with contextlib.suppress(PermissionError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)
