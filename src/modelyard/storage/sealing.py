"""Sealing: committed events get their places in the chain, a few at a time."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from modelyard.kernel.events import BEGINNING
from modelyard.storage.driver import Driver, Rows, Statement, Unmet, Work

EVENTS = "audit/events"  # the kind under which the words of events are kept
PIECE = 32  # events sealed at once: who writes waits for as long
_TURN = 4  # events chained at once: whoever asks for anything waits for as long
NEWEST = (
    "SELECT sequence, digest FROM event WHERE sequence IS NOT NULL ORDER BY sequence DESC LIMIT 1"
)
COLUMNS = "id, at, workspace, actor, verb, kind, resource, request_id, before, after"
_WAITING = f"SELECT {COLUMNS} FROM event WHERE sequence IS NULL ORDER BY at, id LIMIT ?"
_PLACE = "UPDATE event SET sequence = ?, digest = ? WHERE id = ?"
_NEXT = (
    f"SELECT {COLUMNS}, n.newest, n.digest FROM event AS e LEFT JOIN "
    f"({NEWEST.replace('sequence,', 'sequence AS newest,', 1)}) AS n ON true "
    "WHERE e.sequence IS NULL ORDER BY at, id LIMIT ?"
)
# Another process that seals the same makes the numbers exist twice, or leaves fewer to be placed.
# The lock is for those of older versions, who read within a transaction.
_WHOLE = (
    "WITH placed AS (UPDATE event SET sequence = made.sequence, digest = made.digest "
    "FROM (SELECT pg_advisory_xact_lock(hashtext('modelyard sealer'))) AS held, "
    "unnest(?::bigint[], ?::bytea[], ?::text[]) AS made (sequence, digest, id) "
    "WHERE event.id = made.id AND event.sequence IS NULL RETURNING 1), due AS ({}) "
    "SELECT 1 / (CASE WHEN (SELECT count(*) FROM placed) = ? THEN 1 ELSE 0 END)"
)
# Of a range of events: the first and the last number are where a resource has its place.
_DUE = "INSERT INTO words_due (kind, workspace, parent, id) VALUES (?, '', ?, ?)"

Places = list[tuple[int, bytes, str]]  # sequence number, digest and id of each event


def _as_stored(number: str | float) -> msgspec.Raw:
    return msgspec.Raw(repr(float(number)).encode())


_decode = msgspec.json.Decoder(float_hook=_as_stored).decode
_sorted = msgspec.json.Encoder(order="sorted").encode


def link(previous: bytes, sequence: int, stored: Sequence[Any]) -> bytes:
    """As ``kernel.events.link``, of an event's row (``COLUMNS``), and seven times as fast."""
    *told, before, after = stored
    told[1] = _as_stored(stored[1])
    told.append(None if before is None else _decode(before))
    told.append(None if after is None else _decode(after))
    return hashlib.sha256(previous + _sorted([sequence, *told])).digest()


async def chained(newest: Rows, found: Rows, many: bool) -> Places:
    """The places of stored events behind the newest sealed one.

    Others are served meanwhile, unless so ``many`` wait that they would get more and more.
    """
    sequence, digest = (int(newest[0][0]), bytes(newest[0][1])) if newest else (0, BEGINNING)
    places: Places = []
    for number, stored in enumerate(found, sequence + 1):
        if not many and len(places) % _TURN == 0:
            await asyncio.sleep(0)
        digest = link(digest, number, stored)
        places.append((number, digest, str(stored[0])))
    return places


async def beside(driver: Driver, *, many: bool = False) -> int | None:
    """Seal some on SQLite; how many. They are chained before the writers have to wait.

    None where another process was faster, and it is to be tried again. For ``many`` see
    ``chained``.
    """
    newest = await driver.fetch(NEWEST)
    found = await driver.fetch(_WAITING, (PIECE,))
    if not found:
        return 0
    places = await chained(newest, found, many)
    return await driver.transact(lambda: _place(newest, places))


def _place(newest: Rows, places: Places) -> Work[int | None]:
    now = yield Statement(NEWEST)
    if now != newest:
        return None
    yield Statement(_PLACE, places, many=True)
    yield _due(places)
    return len(places)


async def whole(driver: Driver, *, many: bool = False) -> int | None:
    """Seal some on PostgreSQL by one statement; how many. As ``beside``."""
    rows = await driver.fetch(_NEXT, (PIECE,))
    if not rows:
        return 0
    newest = [] if rows[0][-2] is None else [rows[0][-2:]]
    places = await chained(newest, [row[:-2] for row in rows], many)
    numbers, digests, ids = zip(*places, strict=True)
    due = _due(places)
    values = [list(numbers), list(digests), list(ids), *due.values, len(places)]
    try:
        made = await driver.attempt(Statement(_WHOLE.format(due.sql), values))
    except Unmet:
        return None
    return len(places) if made else None


def _due(places: Places) -> Statement:
    """Nobody needs an event's words at once: they are made once it is quiet, or are asked for."""
    return Statement(_DUE, (EVENTS, str(places[0][0]), str(places[-1][0])))
