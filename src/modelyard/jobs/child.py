"""A job's own process: it opens the store, runs the function, and commits what that staged."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NoReturn

import msgspec
from msgspec import Struct

from modelyard.jobs import folders
from modelyard.jobs.compute import Share, confine
from modelyard.jobs.job import Job, after_commit
from modelyard.jobs.kinds import KINDS, Kind
from modelyard.jobs.leaving import leave
from modelyard.jobs.memory import too_little
from modelyard.jobs.record import Cancelled, Lost, Record
from modelyard.jobs.schema import Compute, Operation
from modelyard.kernel import fields, names, refusals
from modelyard.kernel.context import Context, Item, Ports
from modelyard.kernel.ports import Refused
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure

# What a job stands on, open for as long as it runs: the ports, and a caller with today's rights.
World = AbstractAsyncContextManager[tuple[Ports, Callable[[Principal], Awaitable[Principal]]]]


class Task(Struct, frozen=True, kw_only=True):
    """What a job's process is told at its start."""

    workspace: str
    id: str
    attempt: int
    compute: Compute
    share: Share
    nice: int
    folder: str = ""  # for what is temporary; the runner makes and removes it


def main(
    line: Connection, task: Task, world: Callable[[], World], voice: Connection | None = None
) -> NoReturn:
    """The whole life of the process. What it tells last is ``("end", …)``; then it is gone.

    ``voice`` takes the place of standard error.
    """
    if voice is not None:
        os.dup2(voice.fileno(), 2)
        voice.close()
    leave(partial(_live, line, task, world))


def _live(line: Connection, task: Task, world: Callable[[], World]) -> int:
    os.setpgid(0, 0)  # what it starts ends with it
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folders.use(task.folder)
    try:
        confine(task.compute, task.share, task.nice)
        end = asyncio.run(_Child(line, task, world).run())
    except MemoryError:
        end = "memory"
    with contextlib.suppress(OSError):
        line.send(("end", end))
    return 0


def _die_with_parent() -> None:
    """Be killed with the process that forked this one, where the system can do that."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class _Child:
    def __init__(self, line: Connection, task: Task, world: Callable[[], World]) -> None:
        self._line = line
        self._task = task
        self._world = world
        self._job: Job | None = None
        self._answers: asyncio.Queue[tuple[Any, ...]] = asyncio.Queue()
        self._sending = threading.Lock()

    async def run(self) -> str:
        """Do the work: "done", "failed", "cancelled", "lost" or "memory"."""
        loop = asyncio.get_running_loop()
        work = loop.create_task(self._work())
        listener = threading.Thread(target=self._listen, args=(loop, work), daemon=True)
        listener.start()
        try:
            return await work
        except asyncio.CancelledError:
            return "cancelled"

    async def _work(self) -> str:
        async with self._world() as (ports, today):
            task = self._task
            record = Record(ports.store, task.workspace, task.id, task.attempt)
            spec = await record.read()
            if spec is None or spec.done:
                return "lost"
            try:
                return await self._attempt(spec, record, ports, today)
            except Lost:
                return "lost"
            except Cancelled:
                return "cancelled"
            except Refused as refused:
                failure = refusals.failure(refused)
            except Failure as told:
                failure = told
            except MemoryError:
                failure = too_little(spec.metadata.kind, task.compute.memory_bytes)
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                failure = _no_room(error)
            await record.fail(failure)
            return "failed"

    async def _attempt(
        self,
        spec: Operation,
        record: Record,
        ports: Ports,
        today: Callable[[Principal], Awaitable[Principal]],
    ) -> str:
        kind = KINDS.get(spec.metadata.kind)
        if kind is None:
            raise Failure(
                "INTERNAL",
                f"This worker's version knows no operation '{spec.metadata.kind}'. Upgrade it.",
            )
        assert spec.caller is not None
        context = _context(spec, kind, await today(spec.caller), ports, record)
        self._job = job = Job(context, record, self)
        given = {"job": job} | await _given(spec, kind, context, record.attempt)
        value = await kind.function(**given)
        job.check()
        for write in context.commit.writes:
            if write.expected is None:
                context.edge(write.row.address.name, "wasGeneratedBy", job.name)
        await record.succeed(fields.stored(_shown(value)), context.commit)
        await after_commit(context)
        return "done"

    # The line to the worker, as ``job.Line``.

    async def step(self, name: str) -> tuple[bool, str]:
        """Whether a step was done before, and what was kept of it."""
        answer, kept = await self._asked(("step", name))
        return answer == "known", kept

    async def stepped(self, outcome: str) -> None:
        """Keep what came of the step that was begun."""
        await self._asked(("stepped", outcome))

    def progress(self, fraction: float, message: str) -> None:
        """Tell how far it is."""
        self._send(("progress", fraction, message))

    async def _asked(self, message: tuple[Any, ...]) -> tuple[Any, ...]:
        self._send(message)
        return await self._answers.get()

    def _send(self, message: tuple[Any, ...]) -> None:
        with self._sending, contextlib.suppress(OSError):
            self._line.send(message)

    def _listen(self, loop: asyncio.AbstractEventLoop, work: asyncio.Task[str]) -> None:
        """What the worker says; without it nobody would know of us: the group ends."""
        while True:
            try:
                said = self._line.recv()
            except (EOFError, OSError):
                os.killpg(0, signal.SIGKILL)
            if said[0] == "cancel":
                loop.call_soon_threadsafe(self._cancel, work)
            else:
                loop.call_soon_threadsafe(self._answers.put_nowait, said)

    def _cancel(self, work: asyncio.Task[str]) -> None:
        if self._job is not None:
            self._job.cancelled = True
        work.cancel()


def _context(
    spec: Operation, kind: Kind, caller: Principal, ports: Ports, record: Record
) -> Context:
    context = Context(caller, spec.request_id, ports)
    context.workspace = record.address.workspace
    context.verb, context.permission = kind.name, kind.permission
    context.kind = kind.resource.kind if kind.resource is not None else ""
    return context


async def _given(spec: Operation, kind: Kind, context: Context, attempt: int) -> dict[str, Any]:
    """The arguments of the function; the item as it is now. Raises ``NOT_FOUND``."""
    given: dict[str, Any] = {}
    if spec.place is not None and kind.resource is not None:
        row = await context.ports.store.get(spec.place)
        if row is None and kind.outlives and attempt > 1:
            return {"item": None} | _asked(spec, kind)
        if row is None or row.deleted_at is not None:
            raise names.missing(spec.place)
        context.check(kind.permission, row)
        context.found = row
        given["item"] = Item(kind.resource, row)
    return given | _asked(spec, kind)


def _asked(spec: Operation, kind: Kind) -> dict[str, Any]:
    return {} if kind.ask is None else {"ask": msgspec.convert(spec.asked, kind.ask)}


def _shown(value: Any) -> Any:
    return value.resource.show(value.row) if isinstance(value, Item) else value


_FULL = (errno.ENOSPC, errno.EDQUOT)


def _no_room(error: OSError) -> Failure:
    return Failure(
        "STORAGE_FULL",
        f"The work needs more room for its files than its worker has: {error.strerror}. Make room "
        "there, or set TMPDIR to a larger place; then begin it again.",
        details={"free": shutil.disk_usage(tempfile.gettempdir()).free},
    )
