"""A commit as one transaction: what it expects to find, and what it writes.

On PostgreSQL the rows that it changes or refers to are locked first, in the order of their
addresses, and what stands in the way of a deletion is looked for last. So of a deletion and a new
reference at the same time, the second to come finds what the first did, and no two commits wait
for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

import msgspec

from modelyard.kernel.events import Event
from modelyard.kernel.ports import Address, Commit, Edge, Reference, Refused, Row, Write
from modelyard.storage import declared, homes, newest
from modelyard.storage.declared import Ready
from modelyard.storage.dialect import Dialect
from modelyard.storage.driver import Duplicate, Statement, Work
from modelyard.storage.idempotency import keep
from modelyard.storage.paging import AT, COLUMNS
from modelyard.storage.rows import changed, edited, inserted, read

REFERS = "refersTo"
_MOST_NAMES = 10

_AT = AT
_FIND = f"SELECT 1 FROM {{}} WHERE {_AT}"
_LIVES = f"{_FIND} AND deleted_at IS NULL"
_AS_KNOWN = f"{_LIVES} AND uid = ? AND revision = ?"  # an id may be used again
_AS_EXPECTED = f"{_AT} AND uid = ? AND revision = ?"
_INSERT = f"INSERT INTO {{}} (kind, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE = (
    "UPDATE {} SET revision = ?, created_at = ?, updated_at = ?, created_by = ?, "
    "updated_by = ?, deleted_at = ?, purge_at = ?, labels = ?, spec = ? "
    f"WHERE {_AS_EXPECTED} RETURNING 1"
)
# An index is written anew where a statement names one of its columns, changed or not. A database
# that lost its last commits may have the same revision with another content: hence the time.
_UPDATE_SAME = (
    "UPDATE {} SET revision = ?, updated_at = ?, updated_by = ?, labels = ?, spec = ? "
    f"WHERE {_AS_EXPECTED} AND updated_at = ? RETURNING 1"
)
_DELETE = f"DELETE FROM {{}} WHERE {_AS_EXPECTED} RETURNING 1"
UNREFER = f"DELETE FROM edge WHERE workspace = ? AND source = ? AND relation = '{REFERS}'"
_EDGE = (
    "INSERT INTO edge (workspace, source, relation, target_workspace, target, detail, event, at) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_REFERRING = (
    "SELECT DISTINCT source FROM edge WHERE target_workspace = ? AND target = ? "
    f"AND relation = '{REFERS}' AND NOT (workspace = ? AND source = ?) ORDER BY source LIMIT ?"
)
_BELOW = (
    "SELECT kind, id FROM {} WHERE workspace = ? AND parent = ? AND deleted_at IS NULL "
    "ORDER BY kind, id LIMIT ?"
)
_EVENT = (
    "INSERT INTO event (id, at, workspace, actor, verb, kind, resource, request_id, before, after) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def above(address: Address) -> Address | None:
    """The resource that one lies below."""
    if not address.parent:
        return None
    kind = address.kind.rpartition("/")[0]
    rest, _, id = address.parent.rpartition("/")  # noqa: A001
    grandparent = "" if rest == kind else rest.rpartition("/")[0]
    return Address(kind, address.workspace, grandparent, id)


def work(commit: Commit, ready: Callable[[str], Ready], dialect: Dialect) -> Work[None]:
    """The whole transaction. Raises ``Refused``."""
    later = yield from _lock(commit, ready, dialect)
    for write in commit.writes:
        yield from _as_shown(write, ready)
    for write in commit.writes:
        yield from _write(write, ready(write.row.address.kind))
    for address, target, field in later:
        yield from _must_live(address, target, field, ready(target.kind))
    for write in commit.writes:
        if write.guard:
            yield from _guard(write.row.address, ready(write.row.address.kind), dialect)
    if commit.edges:
        yield Statement(_EDGE, [edge(one) for one in commit.edges], many=True)
    if commit.events:
        yield Statement(_EVENT, [event(one) for one in commit.events], many=True)
    if commit.replay is not None:
        yield keep(commit.replay)


Needed = tuple[Address, Address, str]  # who needs what to live, by which field


def _lock(commit: Commit, ready: Callable[[str], Ready], dialect: Dialect) -> Work[list[Needed]]:
    """Lock what is referred to and what is changed, in one order; refuse what is missing.

    Returns what this commit itself changes, to be looked at once it is changed.
    """
    written = {write.row.address: write for write in commit.writes}
    needed = [one for write in commit.writes for one in _needed(write)]
    outside = {target: (address, field) for address, target, field in needed}
    if known := recalled(commit):
        outside[known.address] = known.address, ""
    locked = set[Address]()
    if dialect.update:
        locked.update(at for at, write in written.items() if write.expected is not None)
    single = len(locked) + len(outside.keys() - written.keys()) == 1
    for target in sorted(locked | (outside.keys() - written.keys())):
        made = ready(target.kind)
        if target not in written:
            as_was = known if known is not None and known.address == target else None
            yield from _must_live(*_who(outside, target), made, dialect.share, as_was)
        elif not single:
            yield Statement(made.sql(_FIND) + dialect.update, place(target))
    return [one for one in needed if one[1] in written and _ends(written[one[1]])]


def _as_shown(write: Write, ready: Callable[[str], Ready]) -> Work[None]:
    still = shown(write, ready)
    if still is not None and not (yield still):
        raise Refused("stale", write.row.address)


def shown(write: Write, ready: Callable[[str], Ready]) -> Statement | None:
    """Find what is shown with a row that is changed, where that was remembered and not read."""
    below, known = ready(write.row.address.kind).newest, write.before
    if not below or known is None or not known.recalled:
        return None
    at, made = (known.address.workspace, known.address.name), ready(below)
    if known.newest is None:
        return Statement(made.sql(newest.NONE), at)
    return Statement(made.sql(newest.SAME), (*at, known.newest.uid, known.newest.revision))


def _ends(write: Write) -> bool:
    """Whether what is written does not live then; what is found as expected and kept, does."""
    return write.remove or write.row.deleted_at is not None


def _who(outside: dict[Address, tuple[Address, str]], target: Address) -> Needed:
    address, field = outside[target]
    return address, target, field


def _needed(write: Write) -> Iterable[Needed]:
    """What must live for a write: its references, and for a new row its parent."""
    row = write.row
    if _ends(write):
        return
    if write.expected is None and (parent := above(row.address)) is not None:
        yield row.address, parent, "parent"
    for one in write.references:
        if one.target.workspace not in ("", row.address.workspace):
            raise Refused("missing", row.address, one.field, [one.target.name])
        yield row.address, one.target, one.field


def _must_live(
    address: Address,
    target: Address,
    field: str,
    made: Ready,
    lock: str = "",
    known: Row | None = None,
) -> Work[None]:
    rows = yield lives(target, made, known, lock)
    if not rows:
        raise Refused("missing" if known is None else "stale", address, field, [target.name])


def _write(write: Write, ready: Ready) -> Work[None]:
    row, before = write.row, write.before
    if before is None and write.expected is not None:
        before = yield from _stored(row.address, ready)
    try:
        rows = yield change(write, ready)
    except Duplicate as error:
        raise Refused("exists", row.address, ready.unique.get(error.index, "")) from error
    if write.expected is not None:
        if not rows:
            raise Refused("stale", row.address)
        if ready.refers or _ends(write):
            yield Statement(UNREFER, (row.address.workspace, row.address.name))
    yield from declared.change(before, None if write.remove else row, ready)
    if write.remove:
        return
    if write.references and row.deleted_at is None:
        yield Statement(_EDGE, [_reference(write, one) for one in write.references], many=True)


def _stored(address: Address, made: Ready) -> Work[Row | None]:
    rows = yield Statement(f"SELECT {COLUMNS} FROM {made.table} WHERE {_AT}", place(address))
    return read(address.kind, rows[0]) if rows else None


def lives(target: Address, made: Ready, known: Row | None, lock: str = "") -> Statement:
    """Find a row that is not deleted, and still is as it is ``known``."""
    sql = made.sql(_found(known is not None, lock))
    if known is None:
        return Statement(sql, place(target))
    return Statement(sql, (*place(target), known.uid, known.revision))


@lru_cache
def _found(known: bool, lock: str) -> str:
    return (_AS_KNOWN if known else _LIVES) + lock


def recalled(commit: Commit) -> Row | None:
    """What must be stored as it was when it was remembered."""
    return commit.above if commit.above is not None and commit.above.recalled else None


def change(write: Write, made: Ready) -> Statement:
    """Write the row, if it is as it is expected."""
    if write.expected is None:
        return Statement(made.sql(_INSERT), inserted(write.row))
    known = (*place(write.row.address), write.row.uid, write.expected)
    if write.remove:
        return Statement(made.sql(_DELETE), known)
    if write.before is not None and _kept(write.row) == _kept(write.before):
        values = (*edited(write.row), *known, write.before.updated_at)
        return Statement(made.sql(_UPDATE_SAME), values)
    return Statement(made.sql(_UPDATE), (*changed(write.row), *known))


def _kept(row: Row) -> tuple[Any, ...]:
    """What most changes leave as it was."""
    return row.created_at, row.created_by, row.deleted_at, row.purge_at


def _reference(write: Write, one: Reference) -> tuple[Any, ...]:
    row, target = write.row, one.target
    return (
        row.address.workspace,
        row.address.name,
        REFERS,
        target.workspace,
        target.name,
        one.field,
        "",
        row.updated_at,
    )


def _guard(address: Address, made: Ready, dialect: Dialect) -> Work[None]:
    at = (address.workspace, address.name)
    rows = yield Statement(_REFERRING, (*at, *at, _MOST_NAMES))
    names = [str(name) for (name,) in rows]
    existing = yield Statement(homes.OWN[dialect.name])
    strange = sorted({str(name) for (name,) in existing} - made.known)  # of a plugin, say
    for table in (*made.below, *strange):
        below = yield Statement(_BELOW.format(table), (*at, _MOST_NAMES))
        names += [Address(kind, at[0], at[1], one).name for kind, one in below]
    if names:
        raise Refused("in use", address, names=names[:_MOST_NAMES])


def edge(edge: Edge) -> tuple[Any, ...]:
    """The values of an edge's row."""
    return (
        edge.workspace,
        edge.source,
        edge.relation,
        edge.workspace,
        edge.target,
        edge.detail,
        edge.event,
        edge.at,
    )


def event(event: Event) -> tuple[Any, ...]:
    """The values of an event's row."""
    return (
        event.id,
        event.at,
        event.workspace,
        event.actor,
        event.verb,
        event.kind,
        event.resource,
        event.request_id,
        _json(event.before),
        _json(event.after),
    )


def _json(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()


def place(address: Address) -> tuple[str, str, str, str]:
    """The values of the key of a resource."""
    return address.kind, address.workspace, address.parent, address.id
