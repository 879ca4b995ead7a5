"""The audit trail: verifying its chain, and reading what is sealed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec
from msgspec import Struct, structs

from modelyard.kernel.events import BEGINNING, Event, link
from modelyard.kernel.ports import Chain, EventPart, EventQuery, Sealed
from modelyard.protocol.filtering import And, Compare, Filter, Not, Or, Text
from modelyard.storage import sealing
from modelyard.storage.dialect import Dialect
from modelyard.storage.driver import Driver, Statement, Work
from modelyard.storage.filters import ALL, LAST, NONE, Clause, compare, joined
from modelyard.storage.words import document, query, texts

EVENTS = sealing.EVENTS
BATCH = 100  # events read at once
_COLUMNS = sealing.COLUMNS
_FILTERED = frozenset(["id", "at", "workspace", "actor", "verb", "kind", "resource", "request_id"])
# Two processes may have begun with the same ones.
_TELL = (
    "INSERT INTO search (kind, workspace, parent, id, words) VALUES (?, ?, ?, ?, ?) "
    "ON CONFLICT DO NOTHING"
)


class Break(Struct, frozen=True):
    """The first place where the chain does not hold.

    "changed": the event is not what was sealed, or stands where another stood; "missing": no
    event has the sequence number.
    """

    sequence: int
    id: str
    reason: Literal["changed", "missing"]


def tell(first: int, last: int) -> Work[None]:
    """Make the words of the sealed events with these numbers."""
    sql = f"SELECT {_COLUMNS} FROM event WHERE sequence BETWEEN ? AND ?"
    found = yield Statement(sql, (first, last))
    yield _told([_event(values) for values in found])


def _told(events: list[Event]) -> Statement:
    words = [(EVENTS, event.workspace, "", event.id, _words(event)) for event in events]
    return Statement(_TELL, words, many=True)


async def verify(driver: Driver, anchor: tuple[int, bytes] | None = None) -> Break | None:
    """The first place where the whole chain does not hold, or None; see ``examine``."""
    found = await examine(driver, anchor=anchor)
    if not found.broken_at:
        return None
    return Break(found.broken_at, found.event, "missing" if not found.event else "changed")


async def examine(
    driver: Driver,
    *,
    after: int = 0,
    most: int | None = None,
    anchor: tuple[int, bytes] | None = None,
    tell: Callable[[int], None] | None = None,
) -> Chain:
    """Recompute the chain behind the event number ``after``, up to the first fault.

    An ``anchor`` is a sequence number and its digest as they were once noted elsewhere: with it a
    chain that was cut off or made anew is found, too. ``tell`` hears now and then how far it is.
    """
    digest, last = await _digest(driver, after), after
    end = None if most is None else after + most
    noted = dict([anchor] if anchor else [])

    def broken(reason: Literal["changed", "missing"], event: str) -> Chain:
        return Chain(after + 1, last, digest, last + 1, reason, event)

    async for one in _chain(driver, after, end):
        if one.sequence != last + 1:
            return broken("missing", "")
        following = link(digest, one.sequence, one.event)
        moved = noted.get(one.sequence, following) != following
        if following != one.digest or moved:
            return broken("changed", one.event.id)
        digest, last = following, one.sequence
        if tell is not None and last % BATCH == 0:
            tell(last)
    if anchor is not None and anchor[0] > last:
        return broken("missing", "")
    return Chain(after + 1, last, digest)


async def _digest(driver: Driver, sequence: int) -> bytes:
    """The digest that is stored with an event."""
    rows = await driver.fetch("SELECT digest FROM event WHERE sequence = ?", (sequence,))
    return bytes(rows[0][0]) if rows else BEGINNING


async def _chain(driver: Driver, after: int, end: int | None) -> AsyncIterator[Sealed]:
    sql = (
        f"SELECT sequence, digest, {_COLUMNS} FROM event WHERE sequence > ? AND sequence <= ? "
        "ORDER BY sequence LIMIT ?"
    )
    full, last = True, 2**62 if end is None else end
    while full:
        rows = await driver.fetch(sql, (after, last, BATCH))
        for row in rows:
            yield _sealed(row)
        full = len(rows) == BATCH
        after = rows[-1][0] if rows else after
        await asyncio.sleep(0)  # others are served meanwhile


async def events(driver: Driver, query: EventQuery) -> list[Sealed]:
    """A part of the sealed trail."""
    sql, values = statement(query, driver.dialect)
    return [_sealed(row) for row in await driver.fetch(sql, values)]


async def news(driver: Driver, after: int, size: int, kinds: Sequence[str]) -> list[Sealed]:
    """The sealed events behind a number, the oldest first: what changed only of these ``kinds``.

    Who follows the trail reads each event; of most, what it holds would be read for nothing.
    """
    *told, before, changed = _COLUMNS.split(", ")
    of = f"CASE WHEN kind IN ({', '.join('?' for _ in kinds)}) THEN {{}} END"
    sql = (
        f"SELECT sequence, digest, {', '.join(told)}, {of.format(before)}, {of.format(changed)} "
        "FROM event WHERE sequence IS NOT NULL AND sequence > ? ORDER BY sequence LIMIT ?"
    )
    rows = await driver.fetch(sql, (*kinds, *kinds, after, size))
    return [_sealed(row) for row in rows]


async def unsealed(driver: Driver) -> int:
    """How many committed events have no place yet."""
    rows = await driver.fetch("SELECT count(*) FROM event WHERE sequence IS NULL")
    return int(rows[0][0])


async def newest(driver: Driver) -> int:
    """The sequence number of the newest sealed event; 0 when there is none."""
    rows = await driver.fetch(sealing.NEWEST)
    return int(rows[0][0]) if rows else 0


def statement(asked: EventQuery, dialect: Dialect) -> Clause:
    """The statement that reads a part of the sealed trail."""
    conditions, values = _where(asked, dialect)
    way = "" if asked.ascending else " DESC"
    sql = (
        f"SELECT sequence, digest, {_COLUMNS} FROM event WHERE {conditions} "
        f"ORDER BY sequence{way} LIMIT ?"
    )
    return sql, [*values, asked.size]


async def tally(driver: Driver, asked: EventQuery, by: EventPart) -> list[tuple[str, int]]:
    """How many of the events are of each actor, say; the most first."""
    conditions, values = _where(structs.replace(asked, after=None), driver.dialect)
    sql = (
        f"SELECT {by}, count(*) FROM event WHERE {conditions} GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT ?"
    )
    return [(str(name), int(n)) for name, n in await driver.fetch(sql, [*values, asked.size])]


def _where(asked: EventQuery, dialect: Dialect) -> Clause:
    clauses = [("sequence IS NOT NULL", list[Any]()), *_conditions(asked)]
    if asked.workspace is not None:
        # Without the sign SQLite would go along the whole trail for the few that are named.
        sign = "+" if dialect.name == "sqlite" and _named(asked) else ""
        clauses.append((f"{sign}workspace = ?", [asked.workspace]))
    clauses.append(_spoken(asked.words, asked, dialect))
    if asked.ids is not None:
        clauses.append((dialect.among.format("id"), [dialect.texts(asked.ids)]))
    if asked.filter is not None:
        clauses.append(_compiled(asked.filter, asked, dialect))
    return joined(" AND ", clauses, ALL)


def _named(asked: EventQuery) -> bool:
    """Whether ids say which events are meant, or words together with something else."""
    several = asked.filter.parts if isinstance(asked.filter, And) else ()
    return asked.ids is not None or any(isinstance(one, Text) for one in several)


def _spoken(words: str, asked: EventQuery, dialect: Dialect) -> Clause:
    """The events that hold all words."""
    wanted = query(words, EVENTS, "", dialect.name)
    if wanted is None:
        return ALL
    source = f"SELECT search.id FROM {dialect.matching} AND search.kind = '{EVENTS}'"
    return f"event.id IN ({source})", [wanted]


def _compiled(wanted: Filter, asked: EventQuery, dialect: Dialect) -> Clause:
    """The condition on ``event`` that a filter means."""
    match wanted:
        case And(parts):
            return joined(" AND ", [_compiled(one, asked, dialect) for one in parts], ALL)
        case Or(parts):
            return joined(" OR ", [_compiled(one, asked, dialect) for one in parts], NONE)
        case Not(inner):
            sql, values = _compiled(inner, asked, dialect)
            return f"({sql}) IS NOT TRUE", values
        case Text(words):
            return _spoken(words, asked, dialect)
        case Compare(field) if field.column in _FILTERED:
            return compare(wanted, field.column, dialect)
    raise ValueError(f"{wanted} is nothing to filter events by")


def _conditions(asked: EventQuery) -> Iterator[Clause]:
    if asked.resource and asked.below:
        first, beyond = f"{asked.resource}/", f"{asked.resource}0"  # "0" comes after "/"
        # One range for both, along one index; what sorts between them is left out.
        sql = "resource >= ? AND resource < ? AND (resource = ? OR resource >= ?)"
        yield sql, [asked.resource, beyond, asked.resource, first]
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


def _sealed(row: Sequence[Any]) -> Sealed:
    return Sealed(row[0], bytes(row[1] or b""), _event(row[2:]))


def _event(values: Sequence[Any]) -> Event:
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
    """Those of the verb, the resource and what was changed."""
    before, after = event.before, event.after
    if isinstance(before, dict) and isinstance(after, dict):
        same = {name for name, value in before.items() if after.get(name, before) == value}
        before = {name: value for name, value in before.items() if name not in same}
        after = {name: value for name, value in after.items() if name not in same}
    said = [event.verb, event.resource, *texts(before), *texts(after)]
    return document(said, EVENTS, "")  # an operator asks of all workspaces
