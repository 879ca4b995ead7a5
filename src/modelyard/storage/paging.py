"""Lists as SQL: keyset pages in any order, each part of them read along an index."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelyard.kernel.ports import EventQuery, Query, sorting
from modelyard.protocol.filtering import And, Filter, Has, Not, Or, Order, Text
from modelyard.storage import homes, narrowing
from modelyard.storage.dialect import Dialect, literal, value
from modelyard.storage.filters import ALL, Clause, Scope, compiled, joined, term

FACTS = (  # all but the address
    "uid, revision, created_at, updated_at, created_by, updated_by, deleted_at, purge_at, labels, "
    "spec"
)
COLUMNS = f"workspace, parent, id, {FACTS}"
# One resource. SQLite prepares a statement anew for each value of a bare ``kind = ?``, as a partial
# index may fit the value; an expression keeps the plan.
AT = "kind = ? || '' AND workspace = ? AND parent = ? AND id = ?"
ROW = ", ".join(f"resource.{name}" for name in COLUMNS.split(", "))
KNOWN = ", ".join(f"resource.{name}" for name in FACTS.split(", "))  # of a known address
_JOIN = (
    "term JOIN {} ON resource.kind = term.kind AND resource.workspace = term.workspace "
    "AND resource.parent = term.parent AND resource.id = term.id"
)
_NOT_NULL = frozenset(
    ("created_at", "updated_at", "created_by", "updated_by", "id", "parent", "uid", "revision")
)


def asks_for_words(query: Query | EventQuery) -> bool:
    """Whether a list is restricted by words, anywhere in its filter."""
    return query.filter is not None and _spoken(query.filter)


def _spoken(tree: Filter) -> bool:
    match tree:
        case And(parts) | Or(parts):
            return any(_spoken(one) for one in parts)
        case Not(inner):
            return _spoken(inner)
    return isinstance(tree, Text)


def counted(query: Query, dialect: Dialect, table: str = "") -> Clause:
    """The statement that counts a list; see ``parts``."""
    scope = _scope(query, dialect)
    live, values = _live(query, scope)
    more, others = ALL if query.filter is None else compiled(query.filter, scope)
    sql = f"SELECT count(*) FROM {_rows(query, table)} WHERE {live} AND ({more})"
    return sql, values + others


def _rows(query: Query, table: str) -> str:
    if table == homes.SHARED:
        table = f"(SELECT * FROM {table} WHERE kind = {literal(query.kind)})"
    return f"{table or homes.table(query.kind)} AS resource"


def parts(
    query: Query, dialect: Dialect, table: str = "", few: Filter | None = None
) -> Iterator[Clause]:
    """The statements that read on from ``after``, to run until a page is full.

    ``table`` has the rows; without it, it is that of a declared kind.

    ``few``, as ``narrowing.fewest`` gives it, is what is read and sorted instead of the list.
    Each is one range of an index: after (a, b), first what is equal to a and beyond b, then what
    is beyond a. A statement's last values are how many rows to read and to skip.
    """
    order = sorting(query)
    source, before, main = _source(query, dialect, table, few)
    rest = [one for one in narrowing.restrictions(query) if one is not main]
    conditions = _conditions(query, dialect, rest, few or main)
    along = main if isinstance(main, Has) and not before else None
    if along is not None:
        conditions.insert(0, term(along, _scope(query, dialect)))
    names = [_sorted_by(one, dialect, along) for one in order]
    for equal, beyond in _ranges(order, names, query.after):
        sql, values = joined(" AND ", [*conditions, *beyond], ALL)
        # SQLite sees that the rest is in order already only so, PostgreSQL only otherwise.
        at = equal if dialect.name == "sqlite" else 0
        ordered = _ordered(order[at:], names[at:], dialect)
        sql = f"SELECT {ROW} FROM {source} WHERE {sql} {ordered} LIMIT ? OFFSET ?"
        yield sql, [*before, *values]


def _source(
    query: Query, dialect: Dialect, table: str, few: Filter | None
) -> tuple[str, list[Any], Filter | None]:
    """Where to read from, the values of that, and the restriction that it stands for."""
    rows = _rows(query, table)
    if few is not None and not dialect.figures:
        return *narrowing.source(few, query, dialect, table or homes.table(query.kind)), few
    for one in narrowing.restrictions(query) if few is None else (few,):
        # Few rows have a rare one and many a common one: along its index both are found fast.
        if isinstance(one, Has) and narrowing.in_order(one, query):
            return _JOIN.format(rows), [], one
    return rows, [], None


def _ordered(order: tuple[Order, ...], names: list[str], dialect: Dialect) -> str:
    parts = []
    for one, name in zip(order, names, strict=True):
        way = dialect.descending if one.descending else dialect.ascending
        if one.field.column in _NOT_NULL:
            way = "DESC" if one.descending else "ASC"
        parts.append(f"{name} {way}")
    return f"ORDER BY {', '.join(parts)}" if parts else ""


def _scope(query: Query, dialect: Dialect, *, each: bool = False) -> Scope:
    return Scope(dialect, query.kind, query.workspace, query.parent, each)


def _conditions(
    query: Query, dialect: Dialect, rest: list[Filter], main: Filter | None
) -> list[Clause]:
    """What each row must fulfil beside ``main``."""
    each = narrowing.decides(query, dialect)
    found = [_live(query, _scope(query, dialect))]
    for one in rest:
        sql, values = compiled(one, _scope(query, dialect, each=each and one is not main))
        if not dialect.figures:
            if main is None and narrowing.leads(one, query):
                main = one
            else:  # its index would be read and sorted, however many rows it has
                sql = f"({sql}) IS TRUE"
        found.append((sql, values))
    return found


def _live(query: Query, scope: Scope) -> Clause:
    sql, values = scope.rows("resource")
    return (sql if query.deleted else f"{sql} AND resource.deleted_at IS NULL"), values


def _sorted_by(order: Order, dialect: Dialect, main: Filter | None) -> str:
    return value(dialect, order.field, "term." if isinstance(main, Has) else "resource.")


def _ranges(
    order: tuple[Order, ...], names: list[str], after: tuple[Any, ...] | None
) -> Iterator[tuple[int, list[Clause]]]:
    """How many of the first fields are equal in a range, and its conditions."""
    if after is None:
        yield 0, []
        return
    if len(after) != len(order):
        raise ValueError(f"a position has {len(after)} values, the order {len(order)} fields")
    plain = _plain(order)
    for number in range(plain, -1, -1):
        equal = [_same(names[at], after[at]) for at in range(number)]
        if number == plain:
            beyond = _row_beyond(order[number:], names[number:], after[number:])
            yield number, [*equal, beyond]
            continue
        for same, beyond in _beyond(order[number], names[number], after[number]):
            yield number + same, [*equal, beyond]


def _plain(order: tuple[Order, ...]) -> int:
    """Where the tail begins whose fields are never absent and have one direction."""
    number = len(order) - 1
    while (
        number
        and order[number - 1].field.column in _NOT_NULL
        and order[number - 1].descending == order[-1].descending
    ):
        number -= 1
    return number


def _row_beyond(order: tuple[Order, ...], names: list[str], after: tuple[Any, ...]) -> Clause:
    sign = "<" if order[0].descending else ">"
    marks = ", ".join("?" for _ in names)
    return f"({', '.join(names)}) {sign} ({marks})", list(after)


def _same(name: str, wanted: Any) -> Clause:
    return (f"{name} IS NULL", []) if wanted is None else (f"{name} = ?", [wanted])


def _beyond(order: Order, name: str, wanted: Any) -> Iterator[tuple[bool, Clause]]:
    """What follows a value, and whether it is all the same: absent values are the lowest."""
    if wanted is None:
        if not order.descending:
            yield False, (f"{name} IS NOT NULL", [])
        return
    yield False, (f"{name} {'<' if order.descending else '>'} ?", [wanted])
    if order.descending and order.field.column not in _NOT_NULL:
        yield True, (f"{name} IS NULL", [])
