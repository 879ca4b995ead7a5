"""A commit as one statement for PostgreSQL: one way there and back instead of one for each part.

It takes the commits that are made most: at most one row that is there is changed or referred to, so
that locks need no order, and nothing is removed. Each part is a WITH query; if a row is not as the
commit expects it, the last one divides by zero, and nothing is kept. Then, as for all others, the
transaction of ``commits`` finds out what was in the way.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from modelyard.kernel.ports import Address, Commit, Row, Write
from modelyard.storage import commits, declared, idempotency
from modelyard.storage.declared import Ready
from modelyard.storage.driver import Statement

_TYPES = {"at": "float8", "created_at": "float8", "before": "json", "after": "json"}
_FEW = 4  # rows; each number of them is a statement more that connections keep prepared
_EVENT = "id at workspace actor verb kind resource request_id before after"
_EDGE = "workspace source relation target_workspace target detail event at"
_TERM = "kind workspace parent id field key value created_at"


class _Parts:
    """The parts of a statement, and their values in the order of the parts."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.values: list[Any] = []

    def add(self, one: Statement) -> None:
        """One more part."""
        self.texts.append(one.sql)
        self.values.extend(one.values)

    def rows(self, table: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        """Rows of a table: few as they are, many as arrays, whose number does not change the text.

        An array costs more to write, to read and to go along than the single values of some rows.
        """
        if len(rows) > _FEW:
            self.texts.append(_unnested(table, columns))
            self.values.extend(map(list, zip(*rows, strict=True)))
            return
        self.texts.append(_listed(table, columns, len(rows)))
        for row in rows:
            self.values.extend(row)


def statement(commit: Commit, ready: Callable[[str], Ready]) -> Statement | None:
    """The whole commit; None where it needs a transaction. Its row is there or it fails."""
    if not commit.writes or not all(_plain(write) for write in commit.writes):
        return None
    needed = _needed(commit)
    if needed is None:
        return None
    parts = _Parts()
    for write in commit.writes:
        if write.expected is not None:
            parts.add(commits.change(write, ready(write.row.address.kind)))
        if (still := commits.shown(write, ready)) is not None:
            parts.add(still)
    for address in needed:
        known = commits.recalled(commit)
        parts.add(commits.lives(address, ready(address.kind), known, " FOR SHARE"))
    there = len(parts.texts)
    for write in commit.writes:
        made = ready(write.row.address.kind)
        if write.expected is None:
            parts.add(commits.change(write, made))
        if not _found_by(write, made, parts):
            return None
    _trail(commit, parts)
    return Statement(_joined(tuple(parts.texts), there), parts.values)


def _needed(commit: Commit) -> list[Address] | None:
    """What must live that the commit does not change; None where there are too many to lock."""
    changed: list[Address] = []
    made: list[Address] = []
    above: list[Address] = []
    known = commits.recalled(commit)
    if known is not None:
        above.append(known.address)
    for write in commit.writes:
        address = write.row.address
        if write.expected is not None:
            changed.append(address)
            continue
        made.append(address)
        parent = commits.above(address)
        if parent is not None and parent not in above:
            above.append(parent)
    outside = [one for one in above if one not in changed]
    if len(changed) + len(outside) > 1 or any(one in made for one in above):
        return None
    return outside


@lru_cache(maxsize=4096)
def _joined(parts: tuple[str, ...], needed: int) -> str:
    """One statement of all: it divides by zero unless the first ``needed`` each find a row."""
    named = ", ".join(f"p{number} AS ({sql})" for number, sql in enumerate(parts))
    there = " AND ".join(f"EXISTS (SELECT 1 FROM p{number})" for number in range(needed))
    return f"WITH {named} SELECT 1 / (CASE WHEN {there or 'true'} THEN 1 ELSE 0 END)"


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


def _found_by(write: Write, made: Ready, parts: _Parts) -> bool:
    """References, terms and words; False where some are gone."""
    row, before = write.row, write.before
    new: list[tuple[Any, ...]] = []
    if before is None or not declared.found_alike(before, row, made):
        new = declared.terms(row, made)
        old = [] if before is None else declared.terms(before, made)
        if set(old) - set(new):
            return False
        new = [one for one in new if one not in old]
    if write.expected is not None and made.refers:
        parts.add(Statement(commits.UNREFER, (row.address.workspace, row.address.name)))
    if new:
        parts.rows("term", _TERM, new)
    if _told_anew(before, row, made):
        parts.add(Statement(declared.DUE, commits.place(row.address)))
    return True


def _told_anew(before: Row | None, row: Row, made: Ready) -> bool:
    return bool(made.searchable) and (before is None or made.told(before) != made.told(row))


def _trail(commit: Commit, parts: _Parts) -> None:
    if commit.edges:
        parts.rows("edge", _EDGE, [commits.edge(one) for one in commit.edges])
        # An arrow of an event is new: only the others may be there, for which the key is looked at.
        if not all(one.event for one in commit.edges):
            parts.texts[-1] += " ON CONFLICT DO NOTHING"
    if commit.events:
        parts.rows("event", _EVENT, [commits.event(one) for one in commit.events])
    if commit.replay is not None:
        parts.add(idempotency.keep(commit.replay))


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
