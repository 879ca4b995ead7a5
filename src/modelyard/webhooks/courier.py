"""Brings events to webhooks: makes a delivery of each, and sends them until they have arrived.

A delivery is made in the same commit that moves the cursor along the sealed trail: each event once,
whichever process does it and wherever one is killed. Sending is at least once: an attempt claims
its delivery for a minute, after which another process may try it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Container, Coroutine
from typing import Any

from msgspec import Struct, structs

from modelyard.auth.sealed import Unsealable
from modelyard.kernel import names
from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, EventQuery, Refused, Row, Store, Write
from modelyard.kernel.purge import ACTOR
from modelyard.protocol.errors import Failure, timestamp
from modelyard.webhooks import webhooks
from modelyard.webhooks.deliveries import deliveries, records
from modelyard.webhooks.deliveries.schema import Attempt, Delivery
from modelyard.webhooks.limits import Limits
from modelyard.webhooks.messages import TEST, headers, payload
from modelyard.webhooks.schema import Webhook, asks_for
from modelyard.webhooks.sender import Send

log = logging.getLogger(__name__)

CURSOR = Address("webhooks/cursor", "", "", "trail")
AT_ONCE = 4  # attempts of one webhook at the same time: a slow one delays no other
POLL = 1.0  # seconds between looks for what is due
TRIM = 60.0  # seconds between looks for what is old
CLAIM = 60.0  # seconds beyond an attempt's own time
UNSEALED = 1.0  # seconds until an event that was only just committed is in the trail
GONE = 410  # Standard Webhooks: the receiver wants no more
_BATCH = 500  # deliveries of one commit, or events where few webhooks are on
_TRIMS = 100  # batches of old deliveries at a time


class Subscriber(Struct, frozen=True):
    """A webhook that is on."""

    row: Row
    spec: Webhook

    def wants(self, event: Event, shared: Container[str]) -> bool:
        """Whether it is told of an event: of its workspace, and since it was turned on.

        Of ``shared`` kinds, which are the same in every workspace, only what it names.
        """
        if event.at * 1000 < self.spec.since:
            return False
        if event.workspace == self.row.address.workspace:
            return asks_for(self.spec, event.verb)
        named = event.kind in shared and not event.workspace
        return named and asks_for(self.spec, event.verb, every=False)


class Courier:
    """One of a server's processes runs it; several servers may."""

    FOLLOWED = frozenset((webhooks.kind,))

    def __init__(
        self, send: Send, unseal: Callable[[str], str], limits: Limits, shared: Container[str]
    ) -> None:
        self._send = send
        self._shared = shared
        self._unseal = unseal
        self._limits = limits
        self._store: Store | None = None
        self._found: list[Subscriber] = []
        self._every: list[Address] = []  # also of those that are off
        self._running: dict[str, set[asyncio.Task[None]]] = {}  # by the webhook's uid
        self._wake = asyncio.Event()
        self._trim_at = 0.0

    async def load(self, store: Store) -> None:
        """Take in the webhooks that are on now."""
        self._store = store
        rows = [(row, webhooks.load(row)) for row in await store.everywhere(webhooks.kind)]
        self._found = [Subscriber(row, spec) for row, spec in rows if spec.enabled]
        self._every = [row.address for row, _ in rows]
        self._wake.set()

    def follow(self, _: object) -> None:
        """Something happened: look at once."""
        self._wake.set()

    async def run(self) -> None:
        """Work until cancelled; what fails is tried again."""
        try:
            while True:
                try:
                    await self.turn(time.time())
                except (Failure, OSError) as error:
                    log.warning("events wait to be sent", extra={"error": error})
                except Exception:
                    log.exception("events wait to be sent")
                self._wake.clear()
                try:
                    async with asyncio.timeout(POLL):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            await self.stop()

    async def stop(self) -> None:
        """Give up what is being sent: it is tried again after its claim is over."""
        tasks = [task for running in self._running.values() for task in running]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def turn(self, now: float) -> None:
        """Make deliveries of what happened, begin what is due, drop what is old."""
        store = self._store
        if store is None:
            return
        while self._found and await self._enqueue(store, now):
            pass
        for one in self._found:
            await self._begin(store, one, now)
        if now >= self._trim_at:
            self._trim_at = now + TRIM
            await self._trim(store, now - self._limits.keep)

    async def _trim(self, store: Store, before: float) -> None:
        for address in self._every:
            for _ in range(_TRIMS):
                if await records.trim(store, address, before) < records.BATCH:
                    break

    async def _enqueue(self, store: Store, now: float) -> bool:
        """Deliveries of the next events of the trail; whether there may be more."""
        kept = await store.get(CURSOR)
        since = min(one.spec.since for one in self._found) / 1000
        after = int(kept.spec["sequence"]) if kept else 0
        size = max(1, _BATCH // len(self._found))
        query = EventQuery(workspace=None, after=after, since=since, ascending=True, size=size)
        found = await store.events(query)
        if not found:
            return False
        rows = [
            records.new(one.row.address, sealed.event, now)
            for sealed in found
            if sealed.event.kind != deliveries.kind and sealed.event.verb != TEST
            for one in self._found
            if one.wants(sealed.event, self._shared)
        ]
        writes = [Write(row=row) for row in rows] + [_moved(kept, found[-1].sequence, now)]
        try:
            await store.commit(Commit(writes=writes))
        except Refused:  # another process was first, or a webhook has just gone
            await self.load(store)
            return False
        return len(found) == size

    async def _begin(self, store: Store, one: Subscriber, now: float) -> None:
        """Claim what is due, and send each in a task of its own."""
        running = self._running.setdefault(one.row.uid, set())
        free = AT_ONCE - len(running)
        if free <= 0:
            return
        for row in await records.due(store, one.row.address, now, free):
            until = timestamp(now + self._limits.timeout + CLAIM)
            spec = structs.replace(deliveries.load(row), next_attempt_at=until)
            claimed = await records.change(store, row, spec, now)
            if claimed is None:
                continue
            task = asyncio.create_task(self._safely(self._attempt(store, one, claimed, spec)))
            running.add(task)
            task.add_done_callback(running.discard)
            task.add_done_callback(self.follow)
        if not running:
            del self._running[one.row.uid]

    async def _safely(self, attempt: Coroutine[Any, Any, None]) -> None:
        try:
            await attempt
        except (Failure, OSError) as error:  # its claim ends, then it is tried again
            log.warning("an attempt could not be recorded", extra={"error": error})
        except Exception:
            log.exception("an attempt ended without a result")

    async def _attempt(self, store: Store, one: Subscriber, row: Row, spec: Delivery) -> None:
        now = time.time()
        if spec.event_type != TEST and not asks_for(one.spec, spec.event_type):
            await records.change(store, row, _unwanted(spec, now), now)
            return
        found = await store.events(EventQuery(workspace=None, ids=(spec.event_id,), size=1))
        if not found:  # it is sealed in a moment
            spec = structs.replace(spec, next_attempt_at=timestamp(now + UNSEALED))
            await records.change(store, row, spec, now)
            return
        body = payload(found[0].event)
        try:
            keys = self._keys(one.spec, now)
        except Unsealable:
            error = "its secret cannot be opened here: this host has another pepper"
            attempt = Attempt(at=timestamp(now), seconds=0.0, error=error)
        else:
            fields = headers(spec.event_id, body, keys, now)
            attempt = await self._send(one.spec.url, fields, body)
        after = settled(spec, attempt, self._limits.retry, time.time())
        if await records.change(store, row, after, time.time()) is None:
            return  # it was removed
        if attempt.status == GONE:
            await self._turn_off(store, one, "The address answered 410: it is gone.")
        elif after.state == "failed" and not await records.any_since(
            store, one.row.address, row.created_at
        ):
            tries = len(after.attempts)
            reason = f"{tries} attempts at {spec.event_id} failed, and nothing else arrived."
            await self._turn_off(store, one, reason)

    def _keys(self, spec: Webhook, now: float) -> list[str]:
        keys = [self._unseal(spec.sealed)]
        if spec.previous_sealed and str(spec.previous_expires_at) > timestamp(now):
            keys.append(self._unseal(spec.previous_sealed))
        return keys

    async def _turn_off(self, store: Store, one: Subscriber, reason: str) -> None:
        """Send nothing more to a webhook until somebody turns it on again."""
        row = await store.get(one.row.address)
        if row is None or row.uid != one.row.uid or not webhooks.load(row).enabled:
            return
        spec = structs.replace(webhooks.load(row), enabled=False, disabled_reason=reason)
        after = structs.replace(
            row,
            revision=row.revision + 1,
            updated_at=time.time(),
            updated_by=ACTOR,
            spec=webhooks.document(spec),
        )
        event = Event(
            workspace=row.address.workspace,
            actor=ACTOR,
            verb=f"{webhooks.area}.disable",
            kind=webhooks.kind,
            resource=row.address.name,
            request_id="",
            before=webhooks.show(row),
            after=webhooks.show(after),
        )
        write = Write(row=after, expected=row.revision, before=row)
        try:
            await store.commit(Commit(writes=[write], events=[event]))
        except Refused:  # it was changed meanwhile: the next failure tells
            return
        log.warning("a webhook was turned off", extra={"webhook": row.address.id, "why": reason})
        await self.load(store)


def _unwanted(spec: Delivery, now: float) -> Delivery:
    """A delivery of a type that its webhook was registered for, and is not any more."""
    attempt = Attempt(at=timestamp(now), seconds=0.0, error="the webhook does not ask for this now")
    attempts = [*spec.attempts, attempt]
    over = timestamp(now)
    return structs.replace(
        spec, attempts=attempts, state="failed", next_attempt_at=None, finished_at=over
    )


def settled(spec: Delivery, attempt: Attempt, retry: tuple[float, ...], now: float) -> Delivery:
    """A delivery after an attempt: arrived, waiting for the next one, or failed."""
    attempts = [*spec.attempts, attempt]
    arrived = attempt.status is not None and 200 <= attempt.status < 300
    tries = len(attempts)
    if arrived or attempt.status == GONE or tries > len(retry):
        return structs.replace(
            spec,
            attempts=attempts,
            state="succeeded" if arrived else "failed",
            next_attempt_at=None,
            finished_at=timestamp(now),
        )
    wait = retry[tries - 1] * random.uniform(0.9, 1.1)  # noqa: S311 (jitter)
    return structs.replace(spec, attempts=attempts, next_attempt_at=timestamp(now + wait))


def _moved(kept: Row | None, sequence: int, now: float) -> Write:
    spec = {"sequence": sequence}
    if kept is not None:
        moved = structs.replace(kept, revision=kept.revision + 1, updated_at=now, spec=spec)
        return Write(row=moved, expected=kept.revision)
    made = Row(
        address=CURSOR,
        uid=names.new_uid(),
        created_at=now,
        updated_at=now,
        created_by=ACTOR,
        updated_by=ACTOR,
        spec=spec,
    )
    return Write(row=made)
