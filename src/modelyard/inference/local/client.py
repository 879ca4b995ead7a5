"""The server's side of a local model: starts its process, and asks it.

Any worker starts the process when it finds none, so that it is there from the first use on, and
again after its death. What was asked of a process that died fails with ``EngineLost``.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import subprocess
import sys
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from time import monotonic

from modelyard.inference.local.frames import Ask, Told, decode_told, frame, read
from modelyard.inference.local.memory import environment
from modelyard.inference.local.models import LocalModel, folder_of, installed

log = logging.getLogger("modelyard.local")

MOST_TEXTS = 16_384  # asked by one worker and not yet answered
_START_SECONDS = 60.0  # until a process that was started takes connections
_LOOK = 0.02  # seconds between looks for its socket
_PAUSE = 5.0  # seconds after a start that failed before the next one
_SOCKET_PATH = 103  # bytes that every system takes


class EngineLost(Exception):
    """The process ended while it was asked."""


class NotInstalled(Exception):
    """The model's files are not there."""


class CannotStart(Exception):
    """The process ended before it was ready; the text says why."""


class Overloaded(Exception):
    """More texts wait than may."""


class Engine:
    """One local model, as a worker sees it."""

    def __init__(self, home: Path, model: LocalModel) -> None:
        self.model = model
        self._home = home
        self._folder = folder_of(home, model)
        self._socket = self._folder.with_name(f"{model.short}.sock")
        self._log = self._folder.with_name(f"{model.short}.log")
        self._ids = count(1)
        self._waiting: dict[int, asyncio.Future[Told]] = {}
        self._texts = 0
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._connecting = asyncio.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._failed: tuple[float, str] | None = None  # when the last start failed, and why

    async def embed(self, texts: Sequence[str], as_base64: bool) -> Told:
        """Their vectors. Cancelling it takes them out of the queue.

        Raises ``NotInstalled``, ``CannotStart``, ``EngineLost`` or ``Overloaded``.
        """
        if self._texts and self._texts + len(texts) > MOST_TEXTS:
            raise Overloaded
        writer = self._writer or await self._connect()
        number = next(self._ids)
        answer: asyncio.Future[Told] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._texts += len(texts)
        try:
            writer.write(frame(Ask(number, list(texts), as_base64)))
            return await answer
        except asyncio.CancelledError:
            if not writer.is_closing():
                writer.write(frame(Ask(number, [])))
            raise
        finally:
            self._texts -= len(texts)
            self._waiting.pop(number, None)

    async def _connect(self) -> asyncio.StreamWriter:
        async with self._connecting:
            if self._writer is not None:
                return self._writer
            reader, writer = await self._reach()
            self._writer = writer
            self._reading = asyncio.get_running_loop().create_task(self._read(reader, writer))
            return writer

    async def _reach(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the process, which is started where there is none."""
        deadline = monotonic() + _START_SECONDS
        while monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError, ConnectionError):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    if await read(reader) is not None:
                        return reader, writer
                except asyncio.CancelledError:
                    writer.close()
                    raise
                writer.close()
            if self._process is None:
                self._start()
            elif (status := self._process.poll()) is not None:
                self._process = None
                if status:  # 0: another worker's process is the one
                    self._failed = monotonic(), self._last_words() or f"exit status {status}"
                    log.error("cannot start", extra=self._told(self._failed[1]))
            await asyncio.sleep(_LOOK)
        raise CannotStart(f"it was not ready within {_START_SECONDS:g} s")

    def _start(self) -> None:
        if installed(self._home, self.model) is None:
            raise NotInstalled
        if self._failed is not None and monotonic() - self._failed[0] < _PAUSE:
            raise CannotStart(self._failed[1])
        if len(str(self._socket).encode()) > _SOCKET_PATH:
            raise CannotStart(f"MODELYARD_HOME is too long a path for a socket: {self._socket}")
        command = [sys.executable, "-m", "modelyard.inference.local.engine"]
        command += [str(self._folder), str(self._socket), str(self.model.longest)]
        with self._log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603 (our own module)
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment(),
                start_new_session=True,  # Ctrl-C is for the server, which finishes what runs
            )
        log.info("started", extra={"model": self.model.name, "pid": self._process.pid})

    def _told(self, reason: str) -> dict[str, str]:
        return {"model": self.model.name, "reason": reason}

    def _last_words(self) -> str:
        with contextlib.suppress(OSError):
            words = self._log.read_text(encoding="utf-8", errors="replace").strip()
            return words.rpartition("\n")[2][:300]
        return ""

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (body := await read(reader)) is not None:
                told = decode_told(body)
                answer = self._waiting.get(told.id)
                if answer is not None and not answer.done():
                    answer.set_result(told)
        finally:
            self._writer = None
            self._process = None  # it was ready once: its end is no failed start
            writer.close()
            if self._waiting:
                log.warning("ended while it was asked", extra=self._told(self._last_words()))
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(EngineLost())

    async def close(self) -> None:
        """Let go of the process: with its last connection it ends."""
        if self._reading is not None:
            self._reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reading
