"""The newest of what lies below resources, read together with them.

A model shows its newest version. Kept in the model's own document, each new version would change
the model, too: a second row, a second event, and a copy that is wrong once the version is changed
or deleted. The index of the list below has it in one step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from msgspec import structs

from modelyard.kernel.ports import Address, Row
from modelyard.storage.dialect import literal
from modelyard.storage.driver import Driver, Rows
from modelyard.storage.paging import COLUMNS, FACTS, KNOWN
from modelyard.storage.rows import placed, read

BY_KEY = (
    " WHERE resource.kind = ? || '' AND resource.workspace = ? AND resource.parent = ? "
    "AND resource.id = ?"
)
_MANY = len(FACTS.split(", "))
_NEWEST = ", ".join(f"newest.{name}" for name in COLUMNS.split(", "))
_BESIDE = ", ".join(f"newest.{name}" for name in ("id", *FACTS.split(", ")))
_LIVES = "AND n.deleted_at IS NULL"
_ORDER = f"{_LIVES} ORDER BY n.created_at DESC, n.id DESC LIMIT 1"
_BELOW = "FROM {} AS n WHERE n.workspace = ? AND n.parent = ?"
NONE = f"SELECT 1 WHERE NOT EXISTS (SELECT 1 {_BELOW} {_LIVES})"
SAME = (
    f"SELECT 1 FROM (SELECT n.uid, n.revision {_BELOW} {_ORDER}) AS newest "
    "WHERE uid = ? AND revision = ?"
)


def one(kind: str, table: str, below: str, dialect: str) -> str:
    """The statement that finds a resource by its key, with the newest row of the table ``below``.

    ``dialect`` is its database's name. Its columns are the facts of the resource, then the id and
    the facts of the newest, NULL where nothing is below.
    """
    top, plural = literal(kind), literal(kind.rpartition("/")[2])
    own = f"CASE resource.parent WHEN '' THEN {top} ELSE resource.parent || '/' || {plural} END"
    joined = _joined(below, dialect, "resource.workspace", f"({own}) || '/' || resource.id")
    return f"SELECT {KNOWN}, {_BESIDE} FROM {table} AS resource LEFT JOIN {joined}{BY_KEY}"


def both(address: Address, below: str, values: Sequence[Any]) -> Row:
    """What ``one`` found at an address. ``below`` is the kind of the newest."""
    newest, own = None, values[_MANY]
    if own is not None:
        place = Address(below, address.workspace, address.name, own)
        newest = placed(place, values[_MANY + 1 :])
    return placed(address, values[:_MANY], newest)


async def of(rows: list[Row], kind: str, table: str, driver: Driver) -> list[Row]:
    """The rows of a page, each with the newest of a kind, whose table that is, below it."""
    if not rows:
        return rows
    names = driver.dialect.texts([row.address.name for row in rows])
    sql = some(table, driver.dialect.name)
    made: Rows = await driver.fetch(sql, (names, rows[0].address.workspace))
    newest = {values[1]: read(kind, values) for values in made}
    return [structs.replace(row, newest=newest.get(row.address.name)) for row in rows]


@lru_cache(maxsize=1024)
def some(below: str, dialect: str) -> str:
    """The statement that finds the newest row below each of some names in a workspace."""
    if dialect == "sqlite":
        source, name = "json_each(?) AS asked", "asked.value"
    else:
        source, name = "unnest(?::text[]) AS asked (name)", "asked.name"
    return f"SELECT {_NEWEST} FROM {source} JOIN {_joined(below, dialect, '?', name)}"


def _joined(below: str, dialect: str, workspace: str, parent: str) -> str:
    """The newest row as a table to join: SQLite knows no LATERAL."""
    chosen = f"FROM {below} AS n WHERE n.workspace = {workspace} AND n.parent = {parent} {_ORDER}"
    if dialect == "sqlite":
        return f"{below} AS newest ON newest.rowid = (SELECT n.rowid {chosen})"
    return f"LATERAL (SELECT n.* {chosen}) AS newest ON true"
