"""A commit as one statement for PostgreSQL: one way there and back instead of one for each part.

It takes the commits that are made most: at most one row that is there is changed or referred to, so
that locks need no order, and nothing is removed. Each part is a WITH query; if a row is not as the
commit expects it, the last one divides by zero, and nothing is kept. Then, as for all others, the
transaction of ``commits`` finds out what was in the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from modelyard.kernel.ports import Address, Commit, Row, Write
from modelyard.storage import commits, declared, idempotency
from modelyard.storage.declared import Ready
from modelyard.storage.driver import Statement, Values

_TYPES = {"at": "float8", "created_at": "float8", "before": "json", "after": "json"}
_FEW = 4  # rows; each number of them is a statement more that connections keep prepared
_EVENT = "id at workspace actor verb kind resource request_id before after"
_EDGE = "workspace source relation target_workspace target detail event at"
_TERM = "kind workspace parent id field key value created_at"


def statement(commit: Commit, ready: Callable[[str], Ready]) -> Statement | None:
    """The whole commit; None where it needs a transaction. Its row is there or it fails."""
    if not commit.writes or not all(map(_plain, commit.writes)):
        return None
    changed = {write.row.address for write in commit.writes if write.expected is not None}
    above = {parent for write in commit.writes if (parent := _above(write)) is not None}
    known = commits.recalled(commit)
    if known is not None:
        above.add(known.address)
    made = {write.row.address for write in commit.writes} - changed
    if len(changed | above) > 1 or above & made:
        return None
    parts = [_changed(write, ready(write.row.address.kind)) for write in commit.writes]
    parts += [_lives(one, ready(one.kind), known) for one in above - changed]
    needed = len(parts)
    for write in commit.writes:
        more = _found_by(write, ready(write.row.address.kind))
        if more is None:
            return None
        parts += more
    parts += _trail(commit)
    sql = _joined(tuple([sql for sql, _ in parts]), needed)
    return Statement(sql, [value for _, values in parts for value in values])


@lru_cache(maxsize=4096)
def _joined(parts: tuple[str, ...], needed: int) -> str:
    """One statement of all: it divides by zero unless the first ``needed`` each find a row."""
    named = ", ".join(f"p{number} AS ({sql})" for number, sql in enumerate(parts))
    there = " AND ".join(f"EXISTS (SELECT 1 FROM p{number})" for number in range(needed))
    return f"WITH {named} SELECT 1 / (CASE WHEN {there} THEN 1 ELSE 0 END)"


def stale(commit: Commit) -> Address | None:
    """Whose revision it must be that was not there; None where a resource above may be missing."""
    changed = [write.row.address for write in commit.writes if write.expected is not None]
    above = [_above(write) for write in commit.writes]
    if commits.recalled(commit) is not None:
        return None
    if any(one is not None and one not in changed for one in above):
        return None
    return next(iter(changed), None)


def _plain(write: Write) -> bool:
    if write.remove or write.guard or write.references or write.row.deleted_at is not None:
        return False
    return write.expected is None or (write.before is not None and write.before.deleted_at is None)


def _above(write: Write) -> Any:
    return commits.above(write.row.address) if write.expected is None else None


def _changed(write: Write, made: Ready) -> tuple[str, Values]:
    one = commits.change(write, made)
    return (one.sql if one.sql.endswith(" RETURNING 1") else f"{one.sql} RETURNING 1"), one.values


def _lives(address: Address, made: Ready, known: Row | None) -> tuple[str, Values]:
    one = commits.lives(address, made, known, " FOR SHARE")
    return one.sql, one.values


def _found_by(write: Write, made: Ready) -> list[tuple[str, Values]] | None:
    """References, terms and words; None where some are gone."""
    row, before = write.row, write.before
    old: Sequence[Any] = declared.terms(before, made) if before is not None else ()
    new = declared.terms(row, made)
    if set(old) - set(new):
        return None
    parts: list[tuple[str, Values]] = []
    if write.expected is not None and made.refers:
        parts.append((commits.UNREFER, (row.address.workspace, row.address.name)))
    if fresh := [one for one in new if one not in old]:
        parts.append(_many("term", _TERM, fresh))
    if _told_anew(before, row, made):
        parts.append((declared.DUE, commits.place(row.address)))
    return parts


def _told_anew(before: Row | None, row: Row, made: Ready) -> bool:
    return bool(made.searchable) and (before is None or made.told(before) != made.told(row))


def _trail(commit: Commit) -> Iterator[tuple[str, Values]]:
    if commit.edges:
        sql, values = _many("edge", _EDGE, [commits.edge(one) for one in commit.edges])
        # An arrow of an event is new: only the others may be there, for which the key is looked at.
        new = all(one.event for one in commit.edges)
        yield (sql if new else f"{sql} ON CONFLICT DO NOTHING"), values
    if commit.events:
        yield _many("event", _EVENT, [commits.event(one) for one in commit.events])
    if commit.replay is not None:
        kept = idempotency.keep(commit.replay)
        yield kept.sql, kept.values


def _many(table: str, columns: str, rows: Sequence[tuple[Any, ...]]) -> tuple[str, Values]:
    """Rows of a table: few as they are, many as arrays, for any number of which there is a text.

    An array costs more to write, to read and to go along than the single values of some rows.
    """
    if len(rows) <= _FEW:
        return _listed(table, columns, len(rows)), [value for row in rows for value in row]
    return _unnested(table, columns), list(map(list, zip(*rows, strict=True)))


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
