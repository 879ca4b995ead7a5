"""Operations that begin by the clock: a stored schedule, its next time, and what was missed.

The next time is moved and the operation begun in one commit that expects the schedule as it was
read: whoever is first of several servers and workers begins it, and it is begun once.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from modelyard.jobs import cron, kinds
from modelyard.jobs.kinds import KINDS, Kind
from modelyard.kernel import fields, names
from modelyard.kernel.context import Context, Ports
from modelyard.kernel.ports import Address, Commit, Refused, Row, Store, Write
from modelyard.kernel.principal import Principal
from modelyard.kernel.purge import ACTOR
from modelyard.protocol import errors
from modelyard.protocol.errors import Failure

log = logging.getLogger("modelyard.jobs")

SCHEDULES = "operations/schedules"  # the kind of their rows
LATE_SECONDS = 60.0  # what is later than this was missed
MOST_MISSED = 100  # that are made up for one by one
SYSTEM = Principal(id=ACTOR, workspace="default", scopes=("*:*",))

Missed = Literal["skip", "once", "each"]


class Schedule(Struct, frozen=True, kw_only=True):
    """When a kind of operation is begun, and with what.

    ``missed`` says what becomes of times at which nothing ran: "once" makes up for all of them by
    one operation, "each" by one for each (the last 100), "skip" by none.
    """

    kind: str
    cron: str
    zone: str = "UTC"
    missed: Missed = "once"
    ask: Any = None
    caller: Principal = SYSTEM
    next_at: float = 0.0


def set_schedule(
    context: Context,
    own_id: str,
    made: Kind,
    expression: str,
    *,
    ask: Any = None,
    zone: str = "UTC",
    missed: Missed = "once",
    before: Row | None = None,
) -> None:
    """Stage a schedule with the rights of the caller; ``before`` is the one it replaces.

    Raises ``INVALID_REQUEST`` for what is no cron expression.
    """
    try:
        first = cron.parse(expression, zone).after(errors.now())
    except ValueError as error:
        raise Failure(
            "INVALID_REQUEST",
            f"'cron' is wrong: {error}.",
            details={"field": "cron", "rule": "format", "allowed": "17 3 * * *"},
        ) from None
    spec = Schedule(
        kind=made.name,
        cron=expression,
        zone=zone,
        missed=missed,
        ask=fields.stored(ask),
        caller=kinds.plain(context.principal),
        next_at=first,
    )
    row = _row(context.workspace, own_id, spec, before)
    expected = None if before is None else before.revision
    context.commit.writes.append(Write(row=row, expected=expected, before=before))
    context.event(row.address.name, verb="schedule.set", kind=SCHEDULES, after=_shown(spec))


def remove_schedule(context: Context, before: Row) -> None:
    """Stage the end of a schedule."""
    gone = structs.replace(before, revision=before.revision + 1)
    context.commit.writes.append(Write(row=gone, expected=before.revision, remove=True))
    context.event(before.address.name, verb="schedule.remove", kind=SCHEDULES)


class Timetable:
    """The schedules as one process knows them. Implements ``installation.Book``."""

    FOLLOWED = frozenset((SCHEDULES,))

    def __init__(self) -> None:
        self._rows: dict[Address, Row] = {}
        self._next = float("inf")

    async def load(self, store: Store) -> None:
        """Take in what is stored now."""
        self._rows = {row.address: row for row in await store.everywhere(SCHEDULES)}
        self._look()

    async def tick(self, ports: Ports, now: float) -> int:
        """Begin what is due; how many operations. Microseconds where nothing is.

        Where the database does not answer, it is tried again by the next tick.
        """
        if now < self._next:
            return 0
        begun = 0
        try:
            for row in [*self._rows.values()]:
                if _next_at(row) <= now:
                    begun += await self._fire(ports, row, now)
        except (Failure, sqlite3.Error) as error:
            log.error("a schedule could not be looked at", extra={"error": error})
        self._look()
        return begun

    async def _fire(self, ports: Ports, row: Row, now: float) -> int:
        schedule = _load(row)
        kind = KINDS.get(schedule.kind)
        if kind is None:  # of another version, which runs beside this one
            self._rows.pop(row.address)
            return 0
        times, following = _due(schedule, now)
        context = Context(schedule.caller, "", ports)
        context.workspace = row.address.workspace
        for at in times:
            labels = {"schedule": row.address.id, "due": str(int(at))}
            try:
                await kinds.start(context, kind, schedule.ask, labels=labels)
            except Failure as failure:  # nobody has what it needs: the next time may be better
                log.error("a schedule could not begin its operation: %s", failure.message)
        after = structs.replace(schedule, next_at=following)
        changed = _row(row.address.workspace, row.address.id, after, row)
        commit = context.commit
        commit.writes.append(Write(row=changed, expected=row.revision, before=row))
        try:
            await ports.store.commit(commit)
        except Refused:  # another process was first, or it was set anew
            found = await ports.store.get(row.address)
            self._rows.pop(row.address)
            if found is not None:
                self._rows[row.address] = found
            return 0
        self._rows[row.address] = changed
        return len(times)

    def _look(self) -> None:
        self._next = min(map(_next_at, self._rows.values()), default=float("inf"))


async def declare(store: Store, own_id: str, made: Kind, expression: str | None) -> None:
    """Make a schedule of the installation's own what the settings say; None: there is none."""
    address = Address(SCHEDULES, SYSTEM.workspace, "", own_id)
    before = await store.get(address)
    if expression is None:
        if before is not None:
            await _try(store, _removal(before))
        return
    if before is not None and _load(before).cron == expression:
        return
    context = Context(SYSTEM, "")
    set_schedule(context, own_id, made, expression, before=before)
    await _try(store, context.commit)


def _removal(before: Row) -> Commit:
    context = Context(SYSTEM, "")
    remove_schedule(context, before)
    return context.commit


async def _try(store: Store, commit: Commit) -> None:
    try:
        await store.commit(commit)
    except Refused:
        log.info("another process has set the schedule")


def _due(schedule: Schedule, now: float) -> tuple[list[float], float]:
    """The times to make up for, and the next one after now."""
    expression = cron.parse(schedule.cron, schedule.zone)
    times, at = [], schedule.next_at
    while at <= now:
        times.append(at)
        at = expression.after(at)
        if len(times) > 10 * MOST_MISSED:  # years of minutes: the rest is not worth its counting
            at = expression.after(now)
    if schedule.missed == "skip":
        times = [one for one in times if now - one <= LATE_SECONDS][-1:]
    elif schedule.missed == "once":
        times = times[-1:]
    return times[-MOST_MISSED:], at


def _row(workspace: str, own_id: str, spec: Schedule, before: Row | None) -> Row:
    now = errors.now()
    if before is not None:
        document: dict[str, Any] = fields.stored(spec)
        return structs.replace(before, revision=before.revision + 1, updated_at=now, spec=document)
    return Row(
        address=Address(SCHEDULES, workspace, "", own_id),
        uid=names.new_uid(),
        created_at=now,
        updated_at=now,
        created_by=spec.caller.id,
        updated_by=spec.caller.id,
        spec=fields.stored(spec),
    )


def _load(row: Row) -> Schedule:
    return msgspec.convert(row.spec, Schedule)


def _next_at(row: Row) -> float:
    return float(row.spec["next_at"])


def _shown(spec: Schedule) -> dict[str, Any]:
    return {"kind": spec.kind, "cron": spec.cron, "zone": spec.zone, "missed": spec.missed}
