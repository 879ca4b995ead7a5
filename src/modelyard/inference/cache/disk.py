"""L3: answers on this machine's disk, shared by its processes; they survive a restart."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread
from time import time
from typing import Any, Final, TypeVar

from modelyard.inference.cache.answer_file import AnswerFile, Put, Replaced
from modelyard.inference.cache.level import Found, Held, Lookup
from modelyard.inference.series import LevelCounts

log = logging.getLogger("modelyard.cache")

T = TypeVar("T")


class Broken(Exception):
    """A fault of ours in what was asked of the file; the log has it whole."""


_FAILURES = (sqlite3.Error, OSError, Replaced, Broken)
_FAULTS = (ArithmeticError, LookupError, MemoryError, TypeError, ValueError)
_PATIENCE: Final = 3  # lookups in a row without an answer in time: then none is made
_FIRST, _LONGEST = 0.5, 30.0  # seconds between looks whether it works again
_GATHER: Final = 0.05  # seconds for which answers are gathered before they are written
_CLEARING: Final = 20.0  # seconds that clearing may take before it goes on without its caller
_CLOSING: Final = 10.0  # seconds that writes get to end
_MOST_PENDING: Final = 32 * 1024 * 1024  # bytes of answers that wait to be written


class FileThread:
    """Runs what blocks, in order, on a connection of its own. It starts with the first work."""

    def __init__(self, file: AnswerFile, name: str) -> None:
        self._file = file
        self._loop = asyncio.get_running_loop()
        self._work: SimpleQueue[tuple[Callable[[AnswerFile], Any], asyncio.Future[Any]] | None]
        self._work = SimpleQueue()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def ask(self, work: Callable[[AnswerFile], T]) -> asyncio.Future[T]:
        """What ``work`` returns or raises."""
        if self._thread.ident is None:
            self._thread.start()
        future: asyncio.Future[T] = self._loop.create_future()
        self._work.put((work, future))
        return future

    def end(self) -> None:
        """Let it finish what it was given; this blocks."""
        if self._thread.ident is not None:
            self._work.put(None)
            self._thread.join(_CLOSING)

    def _run(self) -> None:
        while (item := self._work.get()) is not None:
            work, future = item
            result, error = None, None
            try:
                result = work(self._file)
            except _FAILURES as caught:
                error = caught
            except _FAULTS as caught:  # the thread goes on
                log.exception("the cache's file was asked wrongly")
                error = Broken(repr(caught))
            with contextlib.suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(_resolve, future, result, error)
        self._file.close()


def _resolve(future: asyncio.Future[Any], result: Any, error: Exception | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)


class DiskCache:
    """See ``level.Level``. Readers never wait for the one that writes, nor requests for either."""

    name = "l3"

    def __init__(
        self, make: Callable[[], AnswerFile], ttl: float, timeout: float, counts: LevelCounts
    ) -> None:
        first = make()
        self.path = first.path
        self.ttl = ttl
        self._most = (first.most_entries, first.most_bytes)
        self.counts = counts
        self.total = (0, 0)  # entries and bytes, when this process last wrote or was asked
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._reader = FileThread(first, "cache-reader")
        self._writer = FileThread(make(), "cache-writer")
        self._slow = False
        self._late = 0
        self._full_until = 0.0  # loop time
        self._pause = _FIRST
        self._why = ""
        self._puts: list[Put] = []
        self._used: list[bytes] = []
        self._pending = 0
        self._writing = False
        self._uncleared: dict[str, float] = {}  # when workspaces should have been cleared
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def utilization(self) -> float:
        """The fraction of its entries or its bytes that is used, the fuller of the two."""
        return max(held / most for held, most in zip(self.total, self._most, strict=True))

    @property
    def state(self) -> str:
        """See ``Level``."""
        return "slow" if self._slow else "full" if self._full_until else "up"

    @property
    def trouble(self) -> str:
        """See ``Level``."""
        return self._why

    async def get(self, lookup: Lookup) -> Found | None:
        """See ``Level``."""
        counts, space = self.counts, lookup.workspace
        if self._slow or self._unclear(space):
            counts.skipped += 1
            return None
        try:
            row = await self._read(lookup)
        except TimeoutError:
            counts.errors += 1
            self._too_late()
            return None
        except _FAILURES as error:
            counts.errors += 1
            self._why = str(error)
            return None
        if row is None:
            counts.misses += 1
            return None
        self._used.append(lookup.key)
        self._write_soon()
        return Found(*row)

    async def mark(self, lookup: Lookup) -> None:
        """See ``Level``: the file itself knows when a workspace was cleared."""

    def put(self, lookup: Lookup, sealed: bytes, expires: float) -> None:
        """See ``Level``."""
        now = self._loop.time()
        if self._full_until > now or self._pending > _MOST_PENDING:
            self.counts.skipped += 1
            return
        self._pending += len(sealed)
        self._puts.append(Put(lookup.workspace, lookup.key, sealed, expires, lookup.at))
        self._write_soon()

    async def clear(self, workspace: str) -> int | None:
        """See ``Level``."""
        return await self._clear(workspace, time())

    async def _clear(self, workspace: str, at: float) -> int | None:
        self._uncleared[workspace] = at
        work = self._writer.ask(partial(_clear, workspace, at))
        try:
            async with asyncio.timeout(_CLEARING):
                removed = await asyncio.shield(work)
        except TimeoutError:
            work.add_done_callback(lambda done: done.cancelled() or done.exception())
            return None
        except _FAILURES as error:
            self.counts.errors += 1
            self._why = str(error)
            if not isinstance(error, Replaced):
                return None
            removed = 0
        self._uncleared.pop(workspace, None)
        return removed

    def remember(self, workspace: str, at: float, told: bool) -> None:
        """See ``Level``: it may have been another server with a disk of its own."""
        self._begin(self._clear(workspace, at), "clear")

    async def held(self, workspace: str) -> Held:
        """See ``Level``."""
        try:
            async with asyncio.timeout(self._timeout + 1.0):
                self.total = await self._reader.ask(AnswerFile.total)
                return Held(*await self._reader.ask(lambda file: file.count(workspace)))
        except (*_FAILURES, TimeoutError):
            return Held()

    async def close(self) -> None:
        """See ``Level``."""
        for task in self._tasks:
            task.cancel()
        if self._puts:
            await self._write()
        await asyncio.to_thread(self._writer.end)
        await asyncio.to_thread(self._reader.end)

    # Reading

    async def _read(self, lookup: Lookup) -> tuple[bytes, float] | None:
        async with asyncio.timeout(self._timeout):
            row = await self._reader.ask(partial(_get, lookup.workspace, lookup.key))
        self._late = 0
        return row

    def _too_late(self) -> None:
        self._late += 1
        if self._late >= _PATIENCE and not self._slow:
            self._slow = True
            self._why = f"no answer within {self._timeout * 1000:g} ms"
            log.warning("the cache's disk is slow: it is not asked", extra={"reason": self._why})
            self._begin(self._come_back())

    async def _come_back(self) -> None:
        """Ask in the background until there is an answer in time again."""
        pause = _FIRST
        while self._slow:
            await asyncio.sleep(pause)
            pause = min(_LONGEST, pause * 2)
            began = self._loop.time()
            try:
                await self._reader.ask(partial(_get, "", b""))
            except _FAILURES as error:
                self._why = str(error)
            else:
                if self._loop.time() - began <= self._timeout:
                    self._slow, self._late, self._why = False, 0, ""
                    log.info("the cache's disk answers")

    # Writing

    def _write_soon(self) -> None:
        """One write for all that comes within a moment, and one at a time."""
        if not self._writing:
            self._writing = True
            self._begin(self._write_all())

    async def _write_all(self) -> None:
        try:
            while self._puts or self._used:
                await asyncio.sleep(_GATHER)
                await self._write()
        finally:
            self._writing = False

    async def _write(self) -> None:
        puts, self._puts = self._puts, []
        used, self._used = self._used, []
        try:
            self.total = await self._writer.ask(partial(_write, puts, used))
        except _FAILURES as error:
            self.counts.errors += 1
            self._cannot(str(error))
        else:
            if self._full_until:
                log.info("the cache's disk takes answers")
            self._full_until, self._pause, self._why = 0.0, _FIRST, ""
        finally:
            self._pending -= sum(len(put.sealed) for put in puts)

    def _cannot(self, why: str) -> None:
        """Do not try again for a while."""
        if not self._full_until:
            log.warning("the cache's disk takes no answers", extra={"reason": why})
        self._full_until = self._loop.time() + self._pause
        self._pause = min(_LONGEST, self._pause * 2)
        self._why = why

    def _unclear(self, workspace: str) -> bool:
        """Whether the workspace has to be cleared first; then that is begun."""
        if workspace not in self._uncleared:
            return False
        if not any(task.get_name() == "clear" for task in self._tasks):
            self._begin(self._clear(workspace, self._uncleared[workspace]), "clear")
        return True

    def _begin(self, work: Any, name: str | None = None) -> None:
        task = self._loop.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _get(workspace: str, key: bytes, file: AnswerFile) -> tuple[bytes, float] | None:
    return file.get(workspace, key, time())


def _write(puts: list[Put], used: list[bytes], file: AnswerFile) -> tuple[int, int]:
    file.write(puts, used, time())
    return file.total()


def _clear(workspace: str, at: float, file: AnswerFile) -> int:
    return file.clear(workspace, at, time())
