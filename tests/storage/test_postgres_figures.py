"""PostgreSQL's planner is told of a table as soon as it has grown."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from conformance.things import THINGS, put, thing
from modelyard.storage import homes, postgres
from modelyard.storage.postgres import Postgres
from modelyard.storage.postgres_figures import count
from modelyard.storage.store import Store
from patience import LONG
from postgres import Server

TABLE = homes.table(THINGS.kind)
MORE = (
    f"INSERT INTO {TABLE} SELECT kind, workspace, parent, id || g, uid, revision, created_at + g, "
    f"updated_at, created_by, updated_by, deleted_at, purge_at, labels, spec FROM {TABLE}, "
    "generate_series($1::int, $2::int) AS g WHERE id = 'a'"
)
FLUSH = "SELECT pg_stat_force_next_flush()"  # else what was written is known within a second
ROWS = f"SELECT reltuples FROM pg_class WHERE relname = '{TABLE}'"


async def fill(connection: Any, first: int, last: int) -> None:
    """Write things with these numbers."""
    await connection.execute(MORE, first, last)
    await connection.execute(FLUSH)


@pytest.fixture
async def database(postgresql: Server) -> AsyncIterator[tuple[str, Any]]:
    """The URL of one with one thing, whose table autovacuum leaves alone; and a connection."""
    url = await asyncio.to_thread(postgresql.create)
    store = Store(Postgres(url))
    await store.open()
    await store.declare([THINGS])
    await store.commit(put(thing("a")))
    await store.close()
    connection = await asyncpg.connect(url)
    await connection.execute(f"ALTER TABLE {TABLE} SET (autovacuum_enabled = off)")
    yield url, connection
    await connection.close()


async def test_a_table_is_counted_each_time_it_is_ten_times_as_large(
    database: tuple[str, Any],
) -> None:
    _, connection = database
    assert TABLE not in await count(connection), "a row needs no figures"
    for first, last in ((1, 100), (101, 2_000)):
        await fill(connection, first, last)
        assert TABLE in await count(connection)
        assert await connection.fetchval(ROWS) == last + 1
        assert TABLE not in await count(connection)
    for _ in range(12):
        await connection.execute(f"UPDATE {TABLE} SET revision = revision + 1")
    await connection.execute(FLUSH)
    assert TABLE not in await count(connection), "its rows are as many as before"


async def test_what_is_counted_before_it_is_committed_is_counted_again(
    database: tuple[str, Any],
) -> None:
    url, connection = database
    other = await asyncpg.connect(url)
    async with other.transaction():
        await other.execute(MORE, 1, 1_000)
        await connection.execute(f"ANALYZE {TABLE}")
        assert await connection.fetchval(ROWS) == 1
    await other.execute(FLUSH)
    await other.close()
    assert TABLE in await count(connection)
    assert await connection.fetchval(ROWS) == 1_001


async def test_who_writes_has_it_counted(
    database: tuple[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then a key is found by its own index: others begin like it, but lead along all rows."""
    url, connection = database
    counted = asyncio.Event()

    async def told(connection: Any) -> list[str]:
        found = await count(connection)
        counted.set()
        return found

    monkeypatch.setattr(postgres, "count", told)
    await fill(connection, 1, 1_000)
    store = Store(Postgres(url))
    await store.open()
    store.know([THINGS])
    key = "kind = ? AND workspace = ? AND parent = ? AND id = ?"
    explain = f"EXPLAIN SELECT 1 FROM {TABLE} WHERE {key}", (THINGS.kind, "w", "", "a")
    assert "declared_list" in str(await store.driver.fetch(*explain))
    await store.commit(put(thing("b")))
    async with asyncio.timeout(LONG):
        await counted.wait()
    assert f"{TABLE}_pkey" in str(await store.driver.fetch(*explain))
    await store.close()
