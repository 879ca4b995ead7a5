"""The tables on PostgreSQL, however they came to be."""

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from modelyard.storage import postgres
from modelyard.storage.ledger.loading import Loader
from modelyard.storage.ledger.tables import LEDGER
from modelyard.storage.migrate import UnusableDatabase
from modelyard.storage.migrations.apply import apply_remote
from modelyard.storage.postgres import Postgres
from modelyard.storage.schema import CONTROL
from postgres import Server
from storage.test_schema import FOLLOWING, NEXT, later

DESCRIBE = """
SELECT table_name, column_name, data_type, is_nullable, column_default, collation_name,
    generation_expression FROM information_schema.columns
WHERE table_schema = '{0}' ORDER BY table_name, ordinal_position
"""


async def rows(url: str, sql: str) -> list[Any]:
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()


async def describe(url: str, schema: str = "public") -> list[Any]:
    indexes = f"SELECT indexdef FROM pg_indexes WHERE schemaname = '{schema}' ORDER BY 1"
    columns = await rows(url, DESCRIBE.format(schema))
    return [columns, await rows(url, indexes), await revision(url, schema)]


async def revision(url: str, schema: str = "public") -> list[Any]:
    return await rows(url, f"SELECT * FROM {schema}.alembic_version")


async def opened(url: str) -> None:
    driver = Postgres(url)
    await driver.open()
    await driver.shut()


async def test_a_new_database_is_what_the_migrations_make(postgresql: Server) -> None:
    first, second = [await asyncio.to_thread(postgresql.create) for _ in range(2)]
    await opened(first)
    await apply_remote(second, CONTROL.versions)
    made = await describe(first)
    assert made == await describe(second)
    assert made[2] == [(CONTROL.head,)]


async def test_a_new_ledger_is_what_the_migrations_make(postgresql: Server) -> None:
    first, second = [await asyncio.to_thread(postgresql.create) for _ in range(2)]
    loader = await asyncio.to_thread(Loader, first)
    await asyncio.to_thread(loader.close)
    await rows(second, "CREATE SCHEMA ledger")
    await apply_remote(f"{second}&search_path=ledger", LEDGER.versions)
    made = await describe(first, "ledger")
    assert made == await describe(second, "ledger")
    assert made[2] == [(LEDGER.head,)]


async def test_processes_that_start_together_make_one_schema(postgresql: Server) -> None:
    url = await asyncio.to_thread(postgresql.create)
    await asyncio.gather(*(opened(url) for _ in range(5)))
    assert await revision(url) == [(CONTROL.head,)]


async def test_an_older_database_is_upgraded_and_a_newer_one_refused(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await asyncio.to_thread(postgresql.create)
    await opened(url)
    insert = "INSERT INTO idempotency VALUES ('a', 'w', 'f', 1.5, 200, 'b') RETURNING 1"
    await rows(url, insert)
    monkeypatch.setattr(postgres, "CONTROL", later(tmp_path))
    await asyncio.gather(*(opened(url) for _ in range(3)))
    assert await revision(url) == [(FOLLOWING,)]
    assert await rows(url, "SELECT key, colour FROM idempotency") == [(b"a", "blue")]
    monkeypatch.setattr(postgres, "CONTROL", CONTROL)
    with pytest.raises(UnusableDatabase, match=rf"newer version.*{FOLLOWING}.*{CONTROL.head}"):
        await opened(url)


async def test_a_failed_upgrade_changes_nothing(
    postgresql: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = await asyncio.to_thread(postgresql.create)
    await opened(url)
    before = await describe(url)
    broken = later(tmp_path, NEXT + '    op.execute("SELECT nonsense FROM nowhere")\n')
    monkeypatch.setattr(postgres, "CONTROL", replace(broken))
    with pytest.raises(UnusableDatabase, match="nowhere"):
        await opened(url)
    assert await describe(url) == before
