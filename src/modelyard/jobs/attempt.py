"""One operation in a worker: its attempts, one after the other, until it has ended."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Literal, Protocol, TypeVar

from msgspec import structs

from modelyard.jobs import engine
from modelyard.jobs.child import Task
from modelyard.jobs.compute import Pool, lacking, machine_of
from modelyard.jobs.memory import too_little
from modelyard.jobs.muster import Muster
from modelyard.jobs.record import Lost, Record
from modelyard.jobs.runner import Outcome, Runner
from modelyard.jobs.schema import Operation, Progress, Step
from modelyard.kernel.ports import Store
from modelyard.protocol.errors import timestamp

T = TypeVar("T")

log = logging.getLogger("modelyard.worker")
TELL_SECONDS = 0.5  # between two states of progress that are stored
FAIR_SECONDS = 2.0  # of progress, before its pace tells how long the rest takes
PAUSE_SECONDS = 0.5  # before an attempt after one that died, times the number of those


class Host(Protocol):
    """The worker that an attempt runs in."""

    pool: Pool
    muster: Muster
    nice: int
    most: int
    stopping: threading.Event

    @property
    def store(self) -> Store:
        """Where operations are kept."""

    @property
    def runner(self) -> Runner:
        """What runs them."""

    def wait_for(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the worker's loop."""


class Attempt:
    """Works at one operation; all in the thread of its workflow. Implements ``Watcher``."""

    def __init__(self, host: Host, workspace: str, own_id: str) -> None:
        self.cancelled = threading.Event()
        self._host = host
        self._at = (workspace, own_id)
        self._record = self.record(host.store, workspace, own_id)
        self._history: list[tuple[str, str]] = []  # steps since this worker took it up
        self._next = 0
        self._lost = False
        self._begin_telling()

    @staticmethod
    def record(store: Store, workspace: str, own_id: str) -> Record:
        """The record of an operation, before any attempt."""
        return Record(store, workspace, own_id)

    def work(self) -> None:
        """Attempt it until it has ended, or the worker stops."""
        while not self._host.stopping.is_set():
            spec = self._host.wait_for(self._record.read())
            if spec is None or spec.done or not self._possible(spec):
                return
            wanted = spec.metadata.compute
            with self._host.pool.share(wanted, self._given_up()) as share:
                begun = None
                if not self._host.stopping.is_set():
                    begun = self._host.wait_for(self._begin())
                if begun is None:
                    return
                assert share is not None
                workspace, own_id = self._at
                task = Task(
                    workspace=workspace,
                    id=own_id,
                    attempt=self._record.attempt,
                    compute=wanted,
                    share=share,
                    nice=self._host.nice,
                )
                outcome = self._host.runner.run(task, self)
            if self._over(outcome, begun):
                return

    def _given_up(self) -> threading.Event:
        """Set once there is no need to wait for room."""
        return self._host.stopping

    async def _begin(self) -> Operation | None:
        self._begin_telling()
        try:
            return await self._record.begin(self._host.muster.name, self._host.most)
        except Lost:
            return None

    def _begin_telling(self) -> None:
        self._next = 0
        self._progress, self._steps = Progress(), list[Step]()
        self._alive, self._dirty, self._told_at = False, False, 0.0
        self._first: tuple[float, float] | None = None  # time and fraction

    def _possible(self, spec: Operation) -> bool:
        """Whether this machine has what is asked for; where none has, it has failed."""
        wanted, host = spec.metadata.compute, self._host
        if not host.pool.machine.lacks(wanted):
            return True
        known = [machine_of(row.spec) for row in host.wait_for(host.muster.machines())]
        if all(one.lacks(wanted) for one in known):
            self._record.attempt = spec.metadata.attempts
            self._ended(self._record.fail(lacking(wanted, known)))
        else:
            host.stopping.wait(1.0)  # another worker finds it open, and may have more
        return False

    def _over(self, outcome: Outcome, begun: Operation) -> bool:
        """Keep what came of an attempt; whether it was the last one here."""
        if outcome == "cancelled":
            self._ended(self._record.cancel())
        elif outcome == "stopped":
            self._ended(self._record.release())
        elif outcome == "memory":
            about = begun.metadata
            failure = too_little(about.kind, about.compute.memory_bytes)
            self._ended(self._record.fail(failure))
        elif outcome == "died":
            told = {"operation": self._record.address.name, "attempt": self._record.attempt}
            log.error("an attempt ended its process; it is tried again", extra=told)
            self._host.stopping.wait(PAUSE_SECONDS * begun.crashes)
            return False
        return True

    def _ended(self, work: Coroutine[Any, Any, None]) -> None:
        async def keep() -> None:
            try:
                await work
            except Lost:
                log.info("an operation was not this worker's any more")

        self._host.wait_for(keep())

    # What the runner asks and tells.

    def recorded(self, name: str, work: Callable[[], str]) -> str:
        """What the next step gave."""
        began, at = timestamp(), self._next
        self._steps.append(Step(name=name, started_at=began))
        self._dirty = True
        if at < len(self._history):
            known, value = self._history[at]
            if known != name:
                raise RuntimeError(f"step {at + 1} was {known!r} before, and now is {name!r}")
        else:
            value = engine.step(name, work)
            self._history.append((name, value))
            self._alive = True
        self._next = at + 1
        self._steps[-1] = structs.replace(self._steps[-1], finished_at=timestamp())
        self._tell()
        return value

    def progress(self, fraction: float, message: str) -> None:
        """How far it is; stored now and then."""
        now = time.monotonic()
        if self._first is None or fraction < self._first[1]:
            self._first = (now, fraction)
        since, began = self._first
        left = None
        if fraction > began and now >= since + FAIR_SECONDS:
            left = round((now - since) * (1.0 - fraction) / (fraction - began), 1)
        self._progress = Progress(
            percent=round(fraction * 100, 2), message=message, eta_seconds=left
        )
        self._dirty = True

    def wish(self) -> Literal["", "cancel", "stop"]:
        """Whether it is to end."""
        if self._dirty and time.monotonic() >= self._told_at + TELL_SECONDS:
            self._tell()
        if self._host.stopping.is_set() or self._lost:
            return "stop"
        return "cancel" if self.cancelled.is_set() else ""

    def _tell(self) -> None:
        self._dirty, self._told_at = False, time.monotonic()
        alive, self._alive = self._alive, False
        try:
            self._host.wait_for(self._record.tell(self._progress, self._steps, alive=alive))
        except Lost:
            self._lost = True
