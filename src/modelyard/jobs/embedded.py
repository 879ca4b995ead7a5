"""The workers of a server: its own children, started when there is work, ended with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from asyncio.subprocess import Process
from pathlib import Path

import msgspec

from modelyard.jobs.operations import operations
from modelyard.jobs.schema import SERVED
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Sealed
from modelyard.settings import Settings

log = logging.getLogger("modelyard.server")
RESTART_SECONDS = 1.0  # a worker that dies at once is not restarted faster than this
STOP_SECONDS = 15.0
_COMMAND = (sys.executable, "-c", "from modelyard.worker import attached; attached()")


class Embedded:
    """Keeps ``settings.jobs.workers`` workers alive from the first operation on.

    A worker that loses its server sees the end of its standard input, and ends.
    """

    def __init__(self, settings: Settings, home: Path) -> None:
        self._count = settings.jobs.workers
        self._settings, self._home = settings, home
        self._keepers: list[asyncio.Task[None]] = []
        self._processes: set[Process] = set()

    def follow(self, found: list[Sealed]) -> None:
        """Start with the first operation that anybody asked for."""
        if not self._keepers and any(_for_workers(one.event) for one in found):
            self.start()

    def start(self) -> None:
        """Start the workers, unless they are."""
        if not self._keepers:
            loop = asyncio.get_running_loop()
            self._keepers = [loop.create_task(self._keep()) for _ in range(self._count)]

    async def stop(self) -> None:
        """End the workers; what they do is given back for another start."""
        for keeper in self._keepers:
            keeper.cancel()
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in [*self._processes]:
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                process.kill()

    async def _keep(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                status = await self._one()
            except OSError as error:  # no process, memory or descriptor is to be had now
                log.error("a worker cannot start; it is tried again", extra={"error": error})
            else:
                log.error("a worker ended; another is started", extra={"status": status})
            await asyncio.sleep(max(0.0, RESTART_SECONDS - (loop.time() - began)))

    async def _one(self) -> int:
        """The life of a worker; its exit status. Raises OSError where it cannot be started."""
        process = await asyncio.create_subprocess_exec(*_COMMAND, stdin=asyncio.subprocess.PIPE)
        self._processes.add(process)
        assert process.stdin is not None
        with contextlib.suppress(ConnectionError):
            process.stdin.write(greeting(self._settings, self._home))
            await process.stdin.drain()
        status = await process.wait()
        self._processes.discard(process)
        return status


def _for_workers(event: Event) -> bool:
    """Whether it tells of an operation that workers run."""
    if event.kind != operations.kind or not event.after:
        return False
    return event.after["metadata"]["kind"] not in SERVED


def greeting(settings: Settings, home: Path) -> bytes:
    """What a worker is told first. It is no argument, as it may hold secrets."""
    return msgspec.json.encode((settings, home.absolute()), enc_hook=str) + b"\n"


def greeted(line: bytes) -> tuple[Settings, Path]:
    """What ``greeting`` said."""
    return msgspec.json.decode(
        line, type=tuple[Settings, Path], dec_hook=lambda type_, value: type_(value)
    )
