"""What outlives a process: the learner's state, sealed; and the figures, for all processes."""

from __future__ import annotations

import fcntl
import logging
import os
from pathlib import Path

import msgspec
from msgspec import Struct, field

from modelyard.auth.sealed import Box, Unsealable
from modelyard.inference.cache.warming.accounts import Account
from modelyard.inference.cache.warming.learner import State
from modelyard.inference.warmer.journal import Positions

log = logging.getLogger(__name__)

_PURPOSE = "warming state"
_VERSION = 1


class Kept(Struct):
    """Everything that the next process goes on with."""

    version: int
    state: State
    positions: Positions
    budget: dict[str, tuple[int, int]]


class Figures(Struct, kw_only=True):
    """What warming did and has, as it is shown. Money in nano-dollars."""

    total: Account = field(default_factory=Account)
    workspaces: dict[str, Account] = {}
    prompts: dict[str, int] = {}  # known, by workspace
    spent_today: dict[str, int] = {}
    hour: int = 0  # spent by all in this hour (UTC)
    day: int = 0
    at: float = 0.0  # Unix seconds
    unaffordable: int = 0  # times that the budget had no room
    crowded: int = 0  # times that a target had no room

    def of(self, workspace: str) -> Account:
        """What it did for one workspace."""
        return self.workspaces.get(workspace) or Account()


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Kept).decode
_figures = msgspec.json.Decoder(Figures).decode


def packed(kept: Kept) -> bytes:
    """The state as it is now: made before anything waits, for its parts go on changing."""
    return _encode(kept)


def save(folder: Path, box: Box, state: bytes) -> None:
    """Replace the packed state, all or nothing. Raises OSError."""
    _write(folder / "state", box.seal(_PURPOSE, state))


def load(folder: Path, box: Box) -> Kept | None:
    """The state; None where there is none, or it cannot be used."""
    try:
        kept = _decode(box.open(_PURPOSE, (folder / "state").read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, Unsealable, msgspec.DecodeError) as error:
        log.warning("warming: what was learned cannot be read; it is learned anew: %s", error)
        return None
    return kept if kept.version == _VERSION else None


def told(figures: Figures) -> bytes:
    """The figures as they are now, as ``packed``."""
    return msgspec.json.encode(figures)


def show(folder: Path, figures: bytes) -> None:
    """Let every process see what is told. Raises OSError."""
    _write(folder / "figures.json", figures)


def shown(folder: Path) -> Figures:
    """The figures; zeros where there are none."""
    try:
        return _figures((folder / "figures.json").read_bytes())
    except (OSError, msgspec.DecodeError):
        return Figures()


def _write(path: Path, data: bytes) -> None:
    fresh = path.with_suffix(".new")
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


class Lead:
    """The right to warm: one process of a home has it, as long as it lives."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "lock"
        self._file: int | None = None

    def taken(self) -> bool:
        """Whether it is ours, if it can be had. Raises OSError."""
        if self._file is not None:
            return True
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        self._file = fd
        return True

    def release(self) -> None:
        """Let another have it."""
        if self._file is not None:
            os.close(self._file)
            self._file = None
