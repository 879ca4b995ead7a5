"""A commit as one statement for PostgreSQL: one way there and back instead of one for each part.

It takes the commits that are made most: at most one row that is there is changed or referred to, so
that locks need no order, and nothing is removed. Each part is a WITH query; if a row is not as the
commit expects it, the last one divides by zero, and nothing is kept. Then, as for all others, the
transaction of ``commits`` finds out what was in the way.

The parts repeat where a resource is, who changed it and when. A value costs more to send and to
read than to use, so in the columns of these each different one is sent once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from modelyard.kernel.ports import Address, Commit, Row, Write
from modelyard.storage import commits, declared, idempotency
from modelyard.storage.declared import Ready
from modelyard.storage.driver import Statement, Values
from modelyard.storage.paging import COLUMNS

_TYPES = {"at": "float8", "created_at": "float8", "before": "json", "after": "json"}
_FEW = 4  # rows; each number of them is a statement more that connections keep prepared
_EVENT = "id at workspace actor verb kind resource request_id before after"
_EDGE = "workspace source relation target_workspace target detail event at"
_EDGE_OF_ROW = _EDGE.replace(" at", " updated_at")  # it is as old as the change
_TERM = "kind workspace parent id field key value created_at"
_PLACE = "kind workspace parent id"
_OWN = "workspace source"
_NEW = f"kind {COLUMNS.replace(',', '')}"
_SAME = f"revision updated_at updated_by labels spec {_PLACE} expected"  # ``rows.edited``
_ANY = (  # ``rows.changed``
    "revision created_at updated_at created_by updated_by deleted_at purge_at labels spec "
    f"{_PLACE} expected"
)
# Each pattern of equal values is a statement that connections keep prepared: so none of what a
# client makes up (labels, words of a list), and no time that is rarely equal to another.
_REPEATED = frozenset(
    (
        "kind", "workspace", "parent", "id", "created_at", "updated_at", "created_by",
        "updated_by", "source", "target_workspace", "target", "event", "actor", "resource",
        "request_id",
    )
)  # fmt: skip

Part = tuple[str, Values, str]  # the text, its values, and the names of their columns


def statement(commit: Commit, ready: Callable[[str], Ready]) -> Statement | None:
    """The whole commit; None where it needs a transaction. Its row is there or it fails."""
    if not commit.writes or not all(map(_plain, commit.writes)):
        return None
    changed = {write.row.address for write in commit.writes if write.expected is not None}
    above = {parent for write in commit.writes if (parent := _above(write)) is not None}
    made = {write.row.address for write in commit.writes} - changed
    if len(changed | above) > 1 or above & made:
        return None
    parts = [_changed(write, ready(write.row.address.kind)) for write in commit.writes]
    parts += [_lives(one, ready(one.kind)) for one in above - changed]
    needed = len(parts)
    for write in commit.writes:
        more = _found_by(write, ready(write.row.address.kind))
        if more is None:
            return None
        parts += more
    parts += _trail(commit)
    return _whole(parts, needed)


def _whole(parts: list[Part], needed: int) -> Statement:
    """One statement of all, with each repeated value once."""
    sent: list[Any] = []
    known: dict[Any, int] = {}
    places: list[int] = []
    for _, values, columns in parts:
        for repeated, value in zip(_repeated(columns, len(values)), values, strict=True):
            place = known.get(value, 0) if repeated else 0
            if not place:
                sent.append(value)
                place = len(sent)
                if repeated:
                    known[value] = place
            places.append(place)
    return Statement(_joined(tuple([sql for sql, _, _ in parts]), needed, tuple(places)), sent)


@lru_cache(maxsize=1024)
def _repeated(columns: str, count: int) -> tuple[bool, ...]:
    """Of each of so many values of rows with these columns, whether it may be repeated."""
    of_row = [name in _REPEATED for name in columns.split()] or [False] * count
    return tuple(of_row * (count // len(of_row) if of_row else 0))


@lru_cache(maxsize=4096)
def _joined(parts: tuple[str, ...], needed: int, places: tuple[int, ...]) -> str:
    """One statement of all: it divides by zero unless the first ``needed`` each find a row.

    ``places`` has for each ``?`` the number of its value.
    """
    named = ", ".join(f"p{number} AS ({sql})" for number, sql in enumerate(parts))
    there = " AND ".join(f"EXISTS (SELECT 1 FROM p{number})" for number in range(needed))
    first, *others = named.split("?")
    numbered = first + "".join(
        f"${place}{text}" for place, text in zip(places, others, strict=True)
    )
    return f"WITH {numbered} SELECT 1 / (CASE WHEN {there} THEN 1 ELSE 0 END)"


def stale(commit: Commit) -> Address | None:
    """Whose revision it must be that was not there; None where a resource above may be missing."""
    changed = [write.row.address for write in commit.writes if write.expected is not None]
    above = [_above(write) for write in commit.writes]
    if any(one is not None and one not in changed for one in above):
        return None
    return next(iter(changed), None)


def _plain(write: Write) -> bool:
    if write.remove or write.guard or write.references or write.row.deleted_at is not None:
        return False
    return write.expected is None or (write.before is not None and write.before.deleted_at is None)


def _above(write: Write) -> Any:
    return commits.above(write.row.address) if write.expected is None else None


def _changed(write: Write, made: Ready) -> Part:
    one = commits.change(write, made)
    if write.expected is None:
        return f"{one.sql} RETURNING 1", one.values, _NEW
    return one.sql, one.values, _SAME if len(one.values) == len(_SAME.split()) else _ANY


def _lives(address: Address, made: Ready) -> Part:
    return commits.lives(made) + " FOR SHARE", commits.place(address), _PLACE


def _found_by(write: Write, made: Ready) -> list[Part] | None:
    """References, terms and words; None where some are gone."""
    row, before = write.row, write.before
    old: Sequence[Any] = declared.terms(before, made) if before is not None else ()
    new = declared.terms(row, made)
    if set(old) - set(new):
        return None
    parts: list[Part] = []
    if write.expected is not None and made.refers:
        parts.append((commits.UNREFER, (row.address.workspace, row.address.name), _OWN))
    if fresh := [one for one in new if one not in old]:
        parts.append(_many("term", _TERM, fresh))
    if _told_anew(before, row, made):
        parts.append((declared.DUE, commits.place(row.address), _PLACE))
    return parts


def _told_anew(before: Row | None, row: Row, made: Ready) -> bool:
    return bool(made.searchable) and (before is None or made.told(before) != made.told(row))


def _trail(commit: Commit) -> Iterator[Part]:
    if commit.edges:
        sql, values, columns = _many("edge", _EDGE, [commits.edge(one) for one in commit.edges])
        yield f"{sql} ON CONFLICT DO NOTHING", values, columns and _EDGE_OF_ROW
    if commit.events:
        yield _many("event", _EVENT, [commits.event(one) for one in commit.events])
    if commit.replay is not None:
        kept = idempotency.keep(commit.replay)
        yield kept.sql, kept.values, ""


def _many(table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> Part:
    """Rows of a table: few as they are, many as arrays, for any number of which there is a text.

    An array costs more to write, to read and to go along than the single values of some rows.
    """
    if len(rows) <= _FEW:
        values = [value for row in rows for value in row]
        return _listed(table, columns, len(rows)), values, columns
    return _unnested(table, columns), list(map(list, zip(*rows, strict=True))), ""


@lru_cache
def _listed(table: str, columns: str, rows: int) -> str:
    names = columns.split()
    row = f"({', '.join('?' for _ in names)})"
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES {', '.join([row] * rows)}"


@lru_cache
def _unnested(table: str, columns: str) -> str:
    names = columns.split()
    types = [_TYPES.get(name, "text") for name in names]
    arrays = ", ".join(f"?::{'text' if one == 'json' else one}[]" for one in types)
    shown = ", ".join(f"v{n}::{one}" for n, one in enumerate(types))
    listed = ", ".join(f"v{n}" for n in range(len(names)))
    sql = f"INSERT INTO {table} ({', '.join(names)}) SELECT {shown} "
    return f"{sql}FROM unnest({arrays}) AS made ({listed})"
