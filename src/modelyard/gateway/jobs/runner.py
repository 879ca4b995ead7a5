"""Runs inference jobs in the serving processes: they wait for models, which takes no worker.

A job is an operation. The process that takes it on begins it; whichever process begins it first
has it, by the number of its attempt. While it runs, its record is touched every few seconds: one
that nobody touched for ``LEASE`` seconds of this process's clock belonged to a process that died,
and is begun anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
import os
import socket
import sqlite3
import time
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import structs

from modelyard.gateway.jobs import bodies
from modelyard.gateway.jobs.failures import PATIENT, decoded, failure, wait
from modelyard.gateway.jobs.inside import Inside, Reply
from modelyard.gateway.jobs.schema import KIND, Asked
from modelyard.gateway.jobs.submission import named
from modelyard.jobs.operations import operations
from modelyard.jobs.record import Cancelled, Lost, Record
from modelyard.jobs.schema import Operation, Progress
from modelyard.kernel.context import WORKSPACES, Context, Ports
from modelyard.kernel.ports import Commit, Query, Refused, Row, Sealed, Store
from modelyard.kernel.principal import Principal
from modelyard.protocol.errors import Failure, timestamp
from modelyard.protocol.filtering import And, Compare, Order

log = logging.getLogger(__name__)

LEASE = 20.0  # seconds without a touch after which a running job is another's
BEAT = 5.0  # seconds between two touches
LOOK = 5.0  # seconds between looks for what nobody has begun
MOST_DEATHS = 3  # attempts that ended with their process; then the job has failed
TRIES = 8  # of one attempt, where the provider or a limit asks for patience
LONGEST = 120.0  # seconds of patience before a try: other jobs wait behind this one
_TROUBLE = (Failure, OSError, sqlite3.Error)  # of the database: it is asked again
Today = Callable[[Store, Principal], Awaitable[Principal]]


class Runner:
    """The inference jobs of one process. ``most`` run at the same time, the urgent ones first."""

    FOLLOWED = frozenset[str]()

    def __init__(
        self, inside: Inside, today: Today, most: int, keep_seconds: float, most_bytes: int
    ) -> None:
        self.most_bytes = most_bytes  # of a submission, as of a request that is answered at once
        self._inside = inside
        self._today = today
        self._most = most
        self._keep = keep_seconds
        self._name = f"{socket.gethostname()}-{os.getpid()}"
        self._ports: Ports | None = None
        # urgency, since, workspace, id, and how many attempts there were
        self._waiting: list[tuple[int, float, str, str, int]] = []
        self._taken: set[str] = set()  # ids of those that wait
        self._seen: dict[str, tuple[int, float]] = {}  # revisions of what is open, since when
        self._running: dict[str, asyncio.Task[None]] = {}
        self._begun: set[str] = set()  # running jobs whose attempt is stored
        self._unwanted: set[str] = set()  # running jobs that are to be cancelled
        self._stopped = False

    async def load(self, store: Store) -> None:
        """There is nothing that it keeps of the store."""

    def stand_on(self, ports: Ports) -> None:
        """What jobs are run over."""
        self._ports = ports

    def submit(self, row: Row) -> None:
        """Take on a job that is stored."""
        own_id, known = row.address.id, row.spec["metadata"]
        if self._stopped or own_id in self._running or own_id in self._taken:
            return
        self._taken.add(own_id)
        urgency, attempts = -int(known["priority"]), int(known["attempts"])
        one = (urgency, row.created_at, row.address.workspace, own_id, attempts)
        heapq.heappush(self._waiting, one)
        self._fill()

    def follow(self, found: list[Sealed]) -> None:
        """End what was cancelled, whichever process was told."""
        for one in found:
            if one.event.verb == "operation.cancel" and one.event.kind == operations.kind:
                own_id = one.event.resource.rpartition("/")[2]
                if own_id in self._running:
                    self._unwanted.add(own_id)
                if own_id in self._begun:  # else it is seen once it has begun
                    self._running[own_id].cancel()

    async def run(self) -> None:
        """Take on what no process has, until cancelled. One process of a server does so."""
        while True:
            try:
                await self._look(time.monotonic())
            except _TROUBLE as error:
                log.warning("inference jobs wait", extra={"error": error})
            await asyncio.sleep(LOOK)

    async def stop(self) -> None:
        """Give back what runs: it is begun anew, here after a restart or elsewhere."""
        self._stopped = True
        self._waiting.clear()
        tasks = [*self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _fill(self) -> None:
        waiting = self._waiting
        while waiting and len(self._running) < self._most:
            _, _, workspace, own_id, attempts = heapq.heappop(waiting)
            self._taken.discard(own_id)
            task = asyncio.create_task(self._safely(workspace, own_id, attempts))
            self._running[own_id] = task

    async def _look(self, now: float) -> None:
        """Jobs that were given back, or whose process died."""
        ports = self._ports
        if ports is None:
            return
        before, self._seen = self._seen, {}
        oldest = (Order(operations.sortable["created_at"], descending=False),)
        fields = operations.filterable
        kind = Compare(fields["metadata.kind"], "=", KIND)
        open_ = Compare(fields["done"], "=", value=False)
        for workspace in await ports.store.everywhere(WORKSPACES):
            query = Query(
                kind=operations.kind,
                workspace=workspace.address.id,
                filter=And((kind, open_)),
                order=oldest,
                size=1000,
            )
            for row in await ports.store.page(query):
                own_id, free = row.address.id, row.spec["metadata"]["state"] == "queued"
                revision, since = before.get(own_id, (0, now))
                since = since if revision == row.revision else now
                self._seen[own_id] = row.revision, since
                if now - since >= (LOOK if free else LEASE) - 0.5:
                    self.submit(row)

    async def _safely(self, workspace: str, own_id: str, attempts: int) -> None:
        try:
            await self._work(workspace, own_id, attempts)
        except asyncio.CancelledError:
            pass  # it was given back
        except (*_TROUBLE, EOFError, Refused) as error:  # its lease ends, then once more
            log.error("an inference job waits", extra={"operation": own_id, "error": error})
        finally:
            self._running.pop(own_id, None)
            self._begun.discard(own_id)
            self._unwanted.discard(own_id)
            if not self._stopped:
                self._fill()

    async def _work(self, workspace: str, own_id: str, attempts: int) -> None:
        """One attempt, whatever becomes of it; none where another process was first."""
        assert self._ports is not None
        record = Record(self._ports.store, workspace, own_id)
        record.kept_seconds = min(record.kept_seconds, self._keep)
        try:
            spec = await record.begin(self._name, MOST_DEATHS, attempts)
            if spec is None:
                return
            beat = asyncio.create_task(self._beat(record, self._running[own_id]))
            self._begun.add(own_id)
            try:
                if own_id in self._unwanted:
                    raise Cancelled
                await self._answer(self._ports, record, spec)
            except Failure as told:
                await record.fail(told)
            except Cancelled:
                await record.cancel()
            except asyncio.CancelledError:
                if own_id not in self._unwanted:
                    await record.release()
                    raise
                await record.cancel()
            finally:
                beat.cancel()
            await bodies.forget(self._ports.store, workspace, own_id)
        except Lost:
            log.info("an inference job was not this process's any more")

    async def _beat(self, record: Record, work: asyncio.Task[None]) -> None:
        """Keep the job ours; once it is not, its call is closed."""
        began = time.monotonic()
        while True:
            await asyncio.sleep(BEAT)
            told = f"waiting for the model, {time.monotonic() - began:.0f} s"
            try:
                with contextlib.suppress(*_TROUBLE, Refused):
                    await record.tell(Progress(message=told), [], alive=False)
            except Lost:
                work.cancel()
                return

    async def _answer(self, ports: Ports, record: Record, spec: Operation) -> None:
        """Ask until there is a result, and keep it. Raises ``Failure``."""
        asked = msgspec.convert(spec.asked, Asked)
        assert spec.caller is not None
        address = record.address
        body = await bodies.read(ports.store, address.workspace, address.id, asked)
        caller, reply = await self._patiently(ports.store, spec.caller, asked, body, record)
        if not 200 <= reply.status < 300:
            raise failure(reply)
        response = decoded(reply)
        context = Context(caller, spec.request_id, ports)
        context.workspace, context.verb = record.address.workspace, "inference.create"
        model = named(asked.surface, msgspec.json.decode(body))
        await self._store(context, record, asked.surface, model, reply, response)
        await record.succeed(response, context.commit)

    async def _patiently(
        self, store: Store, asker: Principal, asked: Asked, body: str, record: Record
    ) -> tuple[Principal, Reply]:
        """The answer, and the caller with the rights it had when it was asked for."""
        tries = 0
        while True:
            caller = await self._today(store, asker)
            request_id = f"{record.address.id}-{record.attempt}-{tries + 1}"
            reply = await self._inside.post(caller, asked, body, request_id)
            tries += 1
            seconds = wait(reply, tries)
            if reply.status not in PATIENT or tries == TRIES or seconds > LONGEST:
                return caller, reply
            await asyncio.sleep(seconds)

    async def _store(
        self,
        context: Context,
        record: Record,
        surface: str,
        model: str | None,
        reply: Reply,
        response: object,
    ) -> None:
        """Stage the prediction, which goes by itself when its time is over."""
        one = context.ports.resources["predictions"]
        ends = time.time() + self._keep
        spec = one.fit(
            {
                "model": model,
                "surface": surface.partition("?")[0],
                "operation": record.address.name,
                "request_id": reply.fields.get("x-request-id", ""),
                "response": response,
                "expires_at": timestamp(ends),
            }
        )
        own_id = prediction_of(record.address.id)
        await context.create(one, spec, own_id=own_id, unchecked=True)
        context.edge(f"{one.kind}/{own_id}", "wasGeneratedBy", record.address.name)
        expire(context.commit, ends)


def prediction_of(job: str) -> str:
    """The id of a job's prediction."""
    return "pred_" + job.partition("_")[2]


def expire(commit: Commit, at: float) -> None:
    """The resource that was staged last is purged then."""
    last = commit.writes[-1]
    commit.writes[-1] = structs.replace(last, row=structs.replace(last.row, purge_at=at))
