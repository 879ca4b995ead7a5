"""Along which restriction a list is read, where the database would not know it.

SQLite has no figures of what is in documents: it would read a million rows in their order to find
the twenty that match. So the matches of each restriction are counted along its index, up to a
bound: the fewest are read and sorted. Where all have more, the list is read in its order, and a
page is soon full.

PostgreSQL has figures, but a plan that it keeps does not know which words are asked for, nor how
many rows have one tag of many: there it is told, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isqrt

import msgspec

from modelyard.kernel.ports import Query, sorting
from modelyard.protocol.filtering import And, Compare, Filter, Has, Or, Text
from modelyard.storage import homes
from modelyard.storage.dialect import Dialect
from modelyard.storage.driver import Driver
from modelyard.storage.filters import Clause, Scope, compiled, spoken, term

FEW = 5_000  # matches that are read and sorted: in 20 to 40 ms
ENOUGH = 100  # matches among which nobody looks for fewer
_MOST = 20  # parts of an OR
# Matches of a word up to which PostgreSQL is not believed that they are many: of words that it
# has no figures of it expects 0.5 % of all rows, of 20 million as many as this.
_GUESSED = 100_000


def restrictions(query: Query) -> tuple[Filter, ...]:
    """What must all match."""
    return tuple(_flat(query.filter)) if query.filter is not None else ()


def _flat(tree: Filter) -> Iterator[Filter]:
    if isinstance(tree, And):
        for one in tree.parts:
            yield from _flat(one)
    else:
        yield tree


async def fewest(query: Query, driver: Driver, table: str) -> Filter | None:
    """The restriction that fewest rows match, where they are few; None: read in order.

    ``table`` has the kind's rows.
    """
    if table == homes.SHARED or not decides(query, driver.dialect):
        return None
    asked = [one for one in restrictions(query) if _indexed(one)]
    if not asked or (len(restrictions(query)) == 1 and leads(asked[0], query)):
        return None
    found, least = None, await _few(query, driver, table)
    for one in sorted(asked, key=_rank):
        count = await _count(one, query, driver, table, least)
        if count < least:
            found, least = one, count
        if least <= ENOUGH:
            break
    return found


def decides(query: Query, dialect: Dialect) -> bool:
    """Whether the way is chosen here, and not by the database."""
    if not dialect.figures:
        return True
    asked = restrictions(query)
    ordered = len(asked) > 1 and any(isinstance(one, Has) and in_order(one, query) for one in asked)
    return ordered or any(isinstance(one, Text) for one in asked)


async def _count(one: Filter, query: Query, driver: Driver, table: str, most: int) -> int:
    """How many rows match a restriction, up to ``most``; of words what the database expects."""
    sql, values = _counted(one, query, driver.dialect, table)
    if driver.dialect.figures and isinstance(one, Text):  # its index gives all matches or none
        rows = await driver.fetch(f"EXPLAIN (FORMAT JSON) {sql}", values)
        (explained,) = msgspec.json.decode(rows[0][0])
        expected = int(explained["Plan"]["Plan Rows"])
        if expected < most or expected > _GUESSED:
            return expected
    counting = f"SELECT count(*) FROM ({sql} LIMIT ?) AS found"
    return int((await driver.fetch(counting, [*values, most]))[0][0])


async def _few(query: Query, driver: Driver, table: str) -> int:
    """So many matches are sorted as fast as a page of so rare ones is found among all rows."""
    if driver.dialect.figures:
        return FEW
    rows = await driver.fetch(f"SELECT max(rowid) FROM {table}")
    return max(ENOUGH, min(FEW, isqrt(query.size * int(rows[0][0] or 0))))


def in_order(one: Filter, query: Query) -> bool:
    """Whether the index of a restriction has its matches in the order of the list."""
    if query.order and [each.field.column for each in query.order] != ["created_at"]:
        return False
    match one:
        case Compare(_, "=", wanted, wild):
            return wanted is not None and not wild
        case Has():
            return exact(one)
    return False


def leads(one: Filter, query: Query) -> bool:
    """Whether the list can be read in its order along the index of a restriction."""
    if in_order(one, query):
        return True
    return isinstance(one, Compare) and one.field.name == sorting(query)[0].field.name


def exact(one: Has) -> bool:
    """Whether it asks for one value, so that its terms are in the order of time."""
    return not one.wild and one.value != "*" and bool(one.key or one.field.kind != "labels")


def _indexed(one: Filter) -> bool:
    """Whether the matches of a restriction can be read along an index, and nothing else."""
    match one:
        case Compare(field, operator, wanted, wild):
            if field.kind in ("strings", "labels") or operator == "!=":
                return False
            return not wild or not str(wanted).startswith("*")
        case Has(wild=wild, value=wanted):
            return not wild or not wanted.startswith("*")
        case Text():
            return True
        case Or(parts):
            return 0 < len(parts) <= _MOST and all(_indexed(part) for part in parts)
    return False


def _rank(one: Filter) -> int:
    """What has few matches most often is counted first: then the others need not be counted far."""
    match one:
        case Has():
            return 0 if exact(one) else 4
        case Text():
            return 1
        case Compare(_, operator):
            return 2 if operator == "=" else 5
    return 3


def _counted(one: Filter, query: Query, dialect: Dialect, table: str) -> Clause:
    """The rows that match, or as many others."""
    found = list(_matches(one, query, dialect, table, joined=False))
    sql = " UNION ALL ".join(part for part, _ in found)
    return sql, [value for _, part in found for value in part]


def source(one: Filter, query: Query, dialect: Dialect, table: str) -> Clause:
    """Where to read the matches of a restriction from, each row once, as ``resource``."""
    found = list(_matches(one, query, dialect, table, joined=True))
    sql = " UNION ".join(part for part, _ in found)
    values = [value for _, part in found for value in part]
    # In this order: by itself SQLite reads the list and looks at each row whether it is there.
    sql = f"(SELECT DISTINCT place FROM ({sql})) AS few CROSS JOIN {table} AS resource"
    return f"{sql} ON resource.rowid = few.place", values


def _matches(
    one: Filter, query: Query, dialect: Dialect, table: str, *, joined: bool
) -> Iterator[Clause]:
    """Statements for the matches; unless ``joined``, for something that is as many."""
    if isinstance(one, Or):
        for part in one.parts:
            yield from _matches(part, query, dialect, table, joined=joined)
        return
    scope = Scope(dialect, query.kind, query.workspace, query.parent)
    rows = f"{table} AS resource"
    within, values = scope.rows("resource")
    if isinstance(one, Compare):
        condition, more = compiled(one, scope)
        at = f"SELECT {'resource.rowid' if joined else '1'} AS place FROM {rows}"
        yield f"{at} WHERE {within} AND {condition}", [*values, *more]
        return
    named, beside, found = "term", "term", None
    if isinstance(one, Has):
        found = term(one, scope)
    elif isinstance(one, Text):
        beside, found = "search", spoken(one.words, scope)
        named = "search_words CROSS JOIN search ON search.number = search_words.rowid"
        if found is not None and not joined:  # kind and workspace are part of each word
            yield f"SELECT 1 AS place FROM {dialect.matching}", found[1][:1]
            return
    if found is None:  # no word at all: everything matches
        place = "resource.rowid" if joined else "1"
        yield f"SELECT {place} AS place FROM {rows} WHERE {within}", values
        return
    if joined:
        named += (
            f" CROSS JOIN {rows} ON resource.workspace = {beside}.workspace "
            f"AND resource.parent = {beside}.parent AND resource.id = {beside}.id"
        )
    place = "resource.rowid" if joined else "1"
    yield f"SELECT {place} AS place FROM {named} WHERE {found[0]}", found[1]
