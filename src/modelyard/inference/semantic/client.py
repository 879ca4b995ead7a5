"""A worker's line to the process of the semantic cache.

No request ever waits for the process to start, nor longer for an answer than it may: what cannot
be asked, or is not answered in time, is skipped and counted. The line is kept up in the
background: who finds no process starts one, and after each failure waits longer before the next
attempt.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from time import monotonic

import msgspec

from modelyard.inference.local.memory import environment
from modelyard.inference.local.models import MINILM, installed
from modelyard.inference.semantic.frames import (
    Ask,
    Clear,
    Found,
    Greeting,
    Setup,
    Told,
    decode_told,
    frame,
)
from modelyard.inference.semantic.places import FOLDER, address_of
from modelyard.inference.series import LevelCounts

log = logging.getLogger("modelyard.semantic")

NEEDED = ("numpy", "onnxruntime", "tokenizers", "faiss")
INSTALL = (
    "install the extra and the model: pip install 'modelyard[semantic]', then "
    "modelyard local install minilm --precision int8"
)
_MOST_WAITING = 64  # questions of one worker that are not answered
_LATE = 5  # answers in a row that came too late: then nothing is asked for a moment
_REST = 1.0  # seconds of that moment
_LOOK = 0.02  # seconds between looks for the socket of a process that is starting
_START_SECONDS = 60.0
_PAUSE, _LONGEST_PAUSE = 0.5, 60.0  # seconds before the next attempt, doubled with each failure
_STEADY = 30.0  # seconds after which a process that ends is started again at once
_SOCKET_PATH = 103  # bytes that every system takes


class Line:
    """The connection of one worker, and what waits for it."""

    def __init__(self, home: Path, setup: Setup, counts: LevelCounts) -> None:
        self.counts = counts
        self.verifier = ""
        self.trouble: str | None = "starting"  # what keeps it from being asked; None: nothing
        self._home = home
        self._setup = setup
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Queue[Told]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeping: asyncio.Task[None] | None = None
        self._open = 0  # questions without a first answer
        self._late = 0
        self._rests_until = 0.0
        self._to_clear: set[str] = set()  # workspaces that were cleared while nobody listened

    def open(self) -> None:
        """Begin to keep the line up."""
        self._keeping = asyncio.get_running_loop().create_task(self._keep_up())

    async def close(self) -> None:
        """Let go of the process: with its last connection it ends."""
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                await asyncio.to_thread(self._process.wait, 2.0)

    @property
    def up(self) -> bool:
        """Whether the process listens."""
        return self._writer is not None

    def number(self) -> int:
        """The id of a new question."""
        return next(self._ids)

    def ready(self) -> bool:
        """Whether a question may be asked now; one that may not is counted."""
        down = self._writer is None or self._open >= _MOST_WAITING
        if down or monotonic() < self._rests_until:
            self.counts.skipped += 1
            return False
        return True

    def post(self, message: Ask) -> None:
        """Tell something that has no answer; while nobody listens it is lost, but for clearings."""
        # That it ended is heard a turn of the loop later; uvloop raises for who writes to it.
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame(message))
        elif isinstance(message, Clear):
            self._to_clear.add(message.workspace)

    def forget(self, number: int) -> None:
        """Nobody listens to what is told of a question any more."""
        self._waiting.pop(number, None)

    async def ask(self, number: int, message: Ask, wait: float) -> Told | None:
        """The first answer; None where there is none within ``wait`` seconds.

        After a ``Found`` that is awaited ``more`` gives the next one.
        """
        heard = self._waiting[number] = asyncio.Queue()
        self._open += 1
        told: Told | None = None
        try:
            self.post(message)
            async with asyncio.timeout(wait):
                told = await heard.get()
        except TimeoutError:
            self.counts.errors += 1
            self._late += 1
            if self._late >= _LATE:
                self._late, self._rests_until = 0, monotonic() + _REST
        finally:
            self._open -= 1
            if not (isinstance(told, Found) and told.awaited):
                self.forget(number)
        return self._heard(told)

    async def more(self, number: int, wait: float) -> Told | None:
        """The next answer; None where there is none within ``wait`` seconds."""
        heard = self._waiting.get(number)
        if heard is None:
            return None
        try:
            async with asyncio.timeout(wait):
                return self._heard(await heard.get())
        except TimeoutError:
            return None
        finally:
            self.forget(number)

    def _heard(self, told: Told | None) -> Told | None:
        if isinstance(told, Greeting):  # it has ended
            self.counts.errors += 1
            return None
        if told is not None:
            self._late = 0
        return told

    # The line

    async def _keep_up(self) -> None:
        """Connect, read until the end, and again."""
        pause = _PAUSE
        while True:
            began = monotonic()
            try:
                trouble = await self._connect()
            except (OSError, msgspec.MsgspecError) as error:  # no descriptor, memory or disk, say
                trouble = f"its process cannot be reached: {error}"
            if trouble is None:
                trouble = "its process ended; another is started"
                log.warning("the semantic cache's process ended")
            elif trouble != self.trouble:
                log.warning("the semantic cache is off", extra={"reason": trouble})
            self.trouble = trouble
            pause = _PAUSE if monotonic() - began > _STEADY else min(2 * pause, _LONGEST_PAUSE)
            await asyncio.sleep(pause)

    async def _connect(self) -> str | None:
        """Serve one connection to its end; what kept it from being made, else None."""
        if (lacking := missing(self._home)) is not None:
            return lacking
        if len(str(address_of(self._home)).encode()) > _SOCKET_PATH:
            return f"MODELYARD_HOME is too long a path for a socket: {self._home}"
        deadline = monotonic() + _START_SECONDS
        while monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError, ConnectionError):
                reader, writer = await asyncio.open_unix_connection(str(address_of(self._home)))
                if await self._talk(reader, writer):
                    return None
            if (failed := self._started()) is not None:
                return failed
            await asyncio.sleep(_LOOK)
        return f"it was not ready within {_START_SECONDS:g} s"

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read what is told until the end; False where the process was about to end."""
        greeted = False
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(4), "big")
                told = decode_told(await reader.readexactly(size))
                if isinstance(told, Greeting):
                    greeted, self.verifier, self.trouble = True, told.verifier, None
                    self._writer = writer
                    self._catch_up()
                    log.info("the semantic cache is ready", extra={"verifier": told.verifier})
                elif (heard := self._waiting.get(told.id)) is not None:
                    heard.put_nowait(told)
        except (asyncio.IncompleteReadError, ConnectionError):
            return greeted
        finally:
            self._writer = None
            writer.close()
            waiting, self._waiting = self._waiting, {}
            for heard in waiting.values():
                heard.put_nowait(Greeting(""))

    def _catch_up(self) -> None:
        cleared, self._to_clear = self._to_clear, set()
        for workspace in cleared:
            self.post(Clear(workspace))

    def _started(self) -> str | None:
        """Start the process where none was; why the last one could not, if it could not."""
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return None
            self._process = None
            if status:  # 0: another worker's process is the one
                return f"its process could not start: {self._last_words() or status}"
        folder = self._home / FOLDER
        folder.mkdir(mode=0o700, exist_ok=True)
        command = [sys.executable, "-m", "modelyard.inference.semantic.process"]
        with (folder / "process.log").open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 (our own module)
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=environment(),
                start_new_session=True,  # Ctrl-C is for the server, which finishes what runs
            )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(msgspec.json.encode(self._setup))
        log.info("the semantic cache's process is started", extra={"pid": self._process.pid})
        return None

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            words = (self._home / FOLDER / "process.log").read_text("utf-8", "replace").strip()
            return words.rpartition("\n")[2][:300]
        return ""


def missing(home: Path) -> str | None:
    """What of the extra or of the model is not there, and how to install it."""
    lacking = [name for name in NEEDED if find_spec(name) is None]
    if lacking:
        return f"{' and '.join(lacking)} not installed: {INSTALL}"
    if installed(home, MINILM) is None:
        return f"{MINILM.name} is not installed: {INSTALL}"
    return None
