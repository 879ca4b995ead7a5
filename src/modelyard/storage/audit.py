"""The audit trail: sealing it into a chain, verifying the chain, and reading what is sealed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

from modelyard.kernel.events import BEGINNING, Event, link
from modelyard.kernel.ports import EventQuery, Sealed
from modelyard.storage.dialect import Dialect
from modelyard.storage.driver import Driver, Statement, Work
from modelyard.storage.filters import ALL, LAST, Clause, joined
from modelyard.storage.words import document, query, texts

EVENTS = "audit/events"  # the kind under which the words of events are kept
BATCH = 500
_COLUMNS = "id, at, workspace, actor, verb, kind, resource, request_id, before, after"
_NEWEST = (
    "SELECT sequence, digest FROM event WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1"
)


class Break(Struct, frozen=True):
    """The first place where the chain does not hold.

    "changed": the event is not what was sealed, or stands where another stood; "missing": no
    event has the sequence number.
    """

    sequence: int
    id: str
    reason: Literal["changed", "missing"]


def seal(size: int, dialect: Dialect) -> Work[int]:
    """Give at most ``size`` committed events their places; returns how many there were."""
    if dialect.name == "postgresql":  # on SQLite this transaction is the only one anyway
        yield Statement("SELECT pg_advisory_xact_lock(hashtext('modelyard sealer'))")
    newest = yield Statement(_NEWEST)
    sequence, digest = (newest[0][0], bytes(newest[0][1])) if newest else (0, BEGINNING)
    sql = f"SELECT {_COLUMNS} FROM event WHERE sequence IS NULL ORDER BY at, id LIMIT ?"
    found = yield Statement(sql, (size,))
    if not found:
        return 0
    places, words = [], []
    for event in (_event(values) for values in found):
        sequence += 1
        digest = link(digest, sequence, event)
        places.append((sequence, digest, event.id))
        words.append((EVENTS, event.workspace, "", event.id, _words(event)))
    yield Statement("UPDATE event SET sequence = ?, digest = ? WHERE id = ?", places, many=True)
    yield Statement(
        "INSERT INTO search (kind, workspace, parent, id, words) VALUES (?, ?, ?, ?, ?)",
        words,
        many=True,
    )
    return len(found)


async def verify(driver: Driver, anchor: tuple[int, bytes] | None = None) -> Break | None:
    """Recompute the whole chain; the first place where it does not hold, or None.

    An ``anchor`` is a sequence number and its digest as they were once noted elsewhere: with it a
    chain that was cut off or made anew is found, too.
    """
    digest, last = BEGINNING, 0
    async for one in _chain(driver):
        last += 1
        if one.sequence != last:
            return Break(last, "", "missing")
        digest = link(digest, last, one.event)
        moved = anchor is not None and anchor[0] == last and anchor[1] != digest
        if digest != one.digest or moved:
            return Break(last, one.event.id, "changed")
    if anchor is not None and anchor[0] > last:
        return Break(last + 1, "", "missing")
    return None


async def _chain(driver: Driver) -> AsyncIterator[Sealed]:
    sql = (
        f"SELECT sequence, digest, {_COLUMNS} FROM event WHERE sequence > ? "
        "ORDER BY sequence LIMIT ?"
    )
    after, full = 0, True
    while full:
        rows = await driver.fetch(sql, (after, BATCH))
        for row in rows:
            yield _sealed(row)
        full = len(rows) == BATCH
        after = rows[-1][0] if rows else after


async def events(driver: Driver, query: EventQuery) -> list[Sealed]:
    """A part of the sealed trail."""
    sql, values = statement(query, driver.dialect)
    return [_sealed(row) for row in await driver.fetch(sql, values)]


async def newest(driver: Driver) -> int:
    """The sequence number of the newest sealed event; 0 when there is none."""
    rows = await driver.fetch(_NEWEST)
    return int(rows[0][0]) if rows else 0


def statement(asked: EventQuery, dialect: Dialect) -> Clause:
    """The statement that reads a part of the sealed trail."""
    clauses = [("sequence IS NOT NULL", list[Any]()), *_conditions(asked)]
    words = query(asked.words, EVENTS, asked.workspace, dialect.name)
    if words is not None:
        source = f"SELECT search.id FROM {dialect.matching} AND search.kind = '{EVENTS}'"
        clauses.append((f"event.id IN ({source})", [words]))
    conditions, values = joined(" AND ", clauses, ALL)
    way = "" if asked.ascending else " DESC"
    sql = (
        f"SELECT sequence, digest, {_COLUMNS} FROM event WHERE {conditions} "
        f"ORDER BY sequence{way} LIMIT ?"
    )
    return sql, [*values, asked.size]


def _conditions(asked: EventQuery) -> Iterator[Clause]:
    if asked.workspace is not None:
        yield "workspace = ?", [asked.workspace]
    if asked.resource and asked.below:
        first, beyond = f"{asked.resource}/", f"{asked.resource}0"  # "0" comes after "/"
        sql = "resource = ? OR (resource >= ? AND resource < ?)"
        yield sql, [asked.resource, first, beyond]
    elif asked.resource:
        yield "resource = ?", [asked.resource]
    for column in ("kind", "actor", "request_id"):
        if wanted := getattr(asked, column):
            yield f"{column} = ?", [wanted]
    if asked.verb.endswith("*"):
        yield "verb >= ? AND verb < ?", [asked.verb[:-1], asked.verb[:-1] + LAST]
    elif asked.verb:
        yield "verb = ?", [asked.verb]
    if asked.since:
        yield "at >= ?", [asked.since]
    if asked.until is not None:
        yield "at < ?", [asked.until]
    if asked.after is not None:
        yield ("sequence > ?" if asked.ascending else "sequence < ?"), [asked.after]


def _sealed(row: tuple[Any, ...]) -> Sealed:
    return Sealed(row[0], bytes(row[1] or b""), _event(row[2:]))


def _event(values: tuple[Any, ...]) -> Event:
    id, at, workspace, actor, verb, kind, resource, request_id, before, after = values  # noqa: A001
    return Event(
        id=id,
        at=at,
        workspace=workspace,
        actor=actor,
        verb=verb,
        kind=kind,
        resource=resource,
        request_id=request_id,
        before=None if before is None else msgspec.json.decode(before),
        after=None if after is None else msgspec.json.decode(after),
    )


def _words(event: Event) -> str:
    said = [event.verb, event.resource, *texts(event.before), *texts(event.after)]
    return document(said, EVENTS, event.workspace)
