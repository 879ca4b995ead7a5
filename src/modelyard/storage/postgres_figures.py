"""Figures for PostgreSQL's planner, counted as soon as a table has grown from nothing.

Without any it takes each index that begins like a key for as good as the key's own, and may go
along all rows of a list for one of them (PostgreSQL 18 skips columns), until autovacuum comes: a
minute later, or never where it is off.
"""

from __future__ import annotations

from typing import Any

from modelyard.storage import homes

_GROWN = (
    "SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n "
    "ON n.oid = c.relnamespace WHERE n.nspname = current_schema() AND c.relkind = 'r' "
    f"AND (c.relname = ANY($1) OR c.relname ~ '{homes.NAMES}') "
    "AND pg_stat_get_live_tuples(c.oid) >= greatest(50, 10 * c.reltuples)"
)
_OTHERS = [homes.SHARED, "term", "search", "event", "edge"]


async def count(connection: Any) -> list[str]:
    """Count what is in the tables that have ten times the rows of when they were counted last.

    Those of less than 50 are not. Answers with their names; where another process counts one, or
    autovacuum does, it is left to them.
    """
    grown = [str(name) for (name,) in await connection.fetch(_GROWN, _OTHERS)]
    for name in grown:
        await connection.execute(f"ANALYZE (SKIP_LOCKED) {name}")
    return grown
