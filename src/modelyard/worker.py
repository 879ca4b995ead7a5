"""A worker: takes up operations, runs them in processes of their own, takes over from the dead."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from msgspec.structs import replace

from modelyard import logs
from modelyard.identity.keys.bootstrap import read_secrets
from modelyard.installation import Installation, open_store, world
from modelyard.jobs.attempt import Attempt
from modelyard.jobs.compute import Machine, Pool, this_machine
from modelyard.jobs.embedded import greeted
from modelyard.jobs.engine import TROUBLE, Engine
from modelyard.jobs.leaving import leave
from modelyard.jobs.muster import Muster
from modelyard.jobs.operations import operations
from modelyard.jobs.runner import Processes, Runner
from modelyard.jobs.schedules import Timetable
from modelyard.jobs.schema import SERVED
from modelyard.jobs.waiting import open_operations
from modelyard.kernel.ports import Sealed
from modelyard.protocol.errors import Failure
from modelyard.settings import Settings
from modelyard.storage.copies import running

T = TypeVar("T")

log = logging.getLogger("modelyard.worker")
POLL_SECONDS = 0.1  # between looks for what was asked
MUSTER_SECONDS = 2.0  # between looks who is alive
SWEEP_SECONDS = 60.0
NICE = 5  # of a worker beside its server: it only hands work out
RETRY_SECONDS = 1.0  # after a database did not answer
RECONCILE_SECONDS = 15.0  # between looks for what the engine has lost: a database restored, say
TICK_SECONDS = 1.0  # between looks at the clock
STOP_SECONDS = 8.0  # for jobs to be given back
PRELOAD = ["modelyard.installation", "modelyard.jobs.child"]  # the engine is ours alone


class Worker:
    """One worker process. Its jobs have the rights of those who asked for them."""

    def __init__(self, settings: Settings, home: Path) -> None:
        self._settings, self._home = settings, home
        self._installation = Installation(
            settings,
            home,
            open_store(settings, home),
            read_secrets(home, settings.admin_key),
            books=(timetable := Timetable(),),
        )
        self._timetable = timetable
        self._installation.followers.append(self._follow)
        self.store = self._installation.store
        machine, self.runner = _runner(settings, home)
        self.pool = Pool(machine)
        self.muster = Muster(self.store, machine)
        self.nice, self.most = settings.jobs.nice, settings.jobs.max_attempts
        self.stopping = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._engine = Engine(
            settings.database_url,
            home,
            self.muster.name,
            settings.jobs.concurrency,
            self._operate,
        )
        self._attempts: dict[str, Attempt] = {}
        self._asked: list[str] = []  # names of operations to queue, as "workspace id"

    async def run(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping``; then give back what runs."""
        self._loop = asyncio.get_running_loop()
        await self._installation.open()
        await self.muster.report()
        await asyncio.to_thread(self._engine.launch)
        log.info("worker ready", extra={"worker": self.muster.name})
        duties = [
            self._loop.create_task(self._every(seconds, duty))
            for seconds, duty in (
                (POLL_SECONDS, self._listen),
                (MUSTER_SECONDS, self._take_over),
                (RECONCILE_SECONDS, self._reconcile),
                (TICK_SECONDS, self._tick),
                (SWEEP_SECONDS, self._sweep),
            )
        ]
        stop = self._loop.create_task(stopping.wait())
        done, _ = await asyncio.wait([stop, *duties], return_when=asyncio.FIRST_COMPLETED)
        self.stopping.set()
        for duty in duties:
            duty.cancel()
        for _ in range(int(STOP_SECONDS / POLL_SECONDS)):
            if not self._attempts:
                break
            await asyncio.sleep(POLL_SECONDS)
        await self.muster.leave()
        self.runner.close()
        await self._installation.close()
        for task in done:
            task.result()  # raises what broke a duty
        log.info("worker stopped", extra={"worker": self.muster.name})

    async def _every(self, seconds: float, duty: Callable[[], Awaitable[None]]) -> None:
        """Do a duty again and again. A mistake in it ends the worker, which is started anew."""
        while True:
            try:
                await duty()
            except (Failure, OSError, sqlite3.Error, *TROUBLE) as error:
                log.error("a database does not answer; it is asked again", extra={"error": error})
                await asyncio.sleep(RETRY_SECONDS)
            else:
                await asyncio.sleep(seconds)

    async def _listen(self) -> None:
        """Hear what was asked, by the audit trail: queue what is new, cancel what is to end."""
        await self._installation.follow()
        while self._asked:  # taken off once the engine has it
            await self._queue(self._asked[:1])
            del self._asked[0]

    def _follow(self, found: list[Sealed]) -> None:
        for one in found:
            event = one.event
            if event.kind != operations.kind:
                continue
            own_id = event.resource.rpartition("/")[2]
            if event.verb == "operation.create":
                self._asked.append(f"{event.workspace} {own_id}")
            elif event.verb == "operation.cancel" and own_id in self._attempts:
                self._attempts[own_id].cancelled.set()

    async def _queue(self, asked: list[str]) -> None:
        """Hand operations to the engine, which takes each of them once."""
        for one in asked:
            workspace, _, own_id = one.partition(" ")
            spec = await self._read(workspace, own_id)
            if spec is not None and not spec.done and spec.metadata.kind not in SERVED:
                urgency = 10 - spec.metadata.priority
                await asyncio.to_thread(self._engine.enqueue, workspace, own_id, urgency)

    async def _read(self, workspace: str, own_id: str) -> Any:
        return await Attempt.record(self.store, workspace, own_id).read()

    async def _take_over(self) -> None:
        await self.muster.report()
        alive = await self.muster.alive()
        if count := await asyncio.to_thread(self._engine.recover, alive):
            log.warning("took over from a worker that died", extra={"operations": count})
        await self.muster.strike_off()

    async def _sweep(self) -> None:
        await asyncio.to_thread(self._engine.sweep)

    async def _tick(self) -> None:
        """Begin what is due by the clock; a server does so, too, and each time is begun once."""
        await self._timetable.tick(self._installation.ports, time.time())

    async def _reconcile(self) -> None:
        """Queue what is open here and unknown or ended there; tell attempts of what they missed."""
        found = await open_operations(self.store)
        for row in found:
            running = self._attempts.get(row.address.id)
            if running is not None and row.spec["metadata"]["state"] == "cancelling":
                running.cancelled.set()
        ids = [row.address.id for row in found if row.address.id not in self._attempts]
        if ids:
            await asyncio.to_thread(self._engine.forget_ended, ids)
            await self._queue([f"{row.address.workspace} {row.address.id}" for row in found])

    # In the threads of the engine.

    def _operate(self, workspace: str, own_id: str) -> None:
        """Run one operation to its end, or until this worker ends."""
        attempt = self._attempts[own_id] = Attempt(self, workspace, own_id)
        try:
            attempt.work()
        finally:
            self._attempts.pop(own_id, None)
        if self.stopping.is_set():
            threading.Event().wait()  # the engine must not take it for done

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the worker's loop, from another thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()


def _runner(settings: Settings, home: Path) -> tuple[Machine, Runner]:
    """Where jobs run, and what there is for them. Raises OSError where that cannot be reached."""
    own = partial(world, settings, home)
    address = settings.jobs.ray_address
    if address is None:
        processes = Processes(own, PRELOAD)
        processes.warm()
        return this_machine(), processes
    try:
        from modelyard.jobs.on_ray import OnRay
    except ImportError as error:
        text = "jobs.ray_address is set, but Ray is not installed: pip install 'modelyard[ray]'"
        raise OSError(text) from error
    cluster = OnRay(own, address)
    return cluster.connect(), cluster


def serve(
    settings: Settings, home: Path, *, attached: bool = False, concurrency: int | None = None
) -> NoReturn:
    """Work until SIGTERM, SIGINT or, ``attached`` to a server, the end of standard input."""
    if concurrency is not None:
        settings = replace(settings, jobs=replace(settings.jobs, concurrency=concurrency))
    logs.configure(settings.log_level, settings.log_format)

    async def main() -> None:
        loop, stopping = asyncio.get_running_loop(), asyncio.Event()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stopping.set)
        if attached:
            over = partial(loop.call_soon_threadsafe, stopping.set)
            threading.Thread(target=_until_end, args=(over,), daemon=True).start()
        else:
            running.hold(home)
        await Worker(settings, home).run(stopping)

    def work() -> int:
        asyncio.run(main())
        return 0

    leave(work)  # threads of the engine still wait


def _until_end(over: Callable[[], object]) -> None:
    while os.read(0, 4096):
        pass
    over()


def attached() -> NoReturn:
    """The worker of a server: the first line of standard input has its settings and its home."""
    os.setpgid(0, 0)  # Ctrl-C reaches the server alone
    os.nice(NICE)
    line = bytearray()
    while not line.endswith(b"\n"):
        part = os.read(0, 1)
        if not part:
            os._exit(0)
        line += part
    settings, home = greeted(bytes(line))
    serve(settings, home, attached=True)
