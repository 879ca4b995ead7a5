"""What is asked often is kept prepared on a connection: it shows in nothing but time."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from modelyard.storage import postgres
from modelyard.storage.postgres import Postgres
from postgres import Server


@pytest.fixture
async def driver(postgresql: Server) -> AsyncIterator[Postgres]:
    one = Postgres(await asyncio.to_thread(postgresql.create), connections=1)
    await one.open()
    yield one
    await one.shut()


async def asked(driver: Postgres, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await driver._asked(sql, values, often=True)]


async def test_a_table_that_was_changed_meanwhile_is_asked_anew(driver: Postgres) -> None:
    for sql in ("CREATE TABLE thing (a INTEGER)", "INSERT INTO thing VALUES (1)"):
        await driver.fetch(sql)
    assert await asked(driver, "SELECT a FROM thing") == [(1,)]
    await driver.fetch("ALTER TABLE thing ALTER COLUMN a TYPE TEXT USING a || '!'")
    for _ in range(2):
        assert await asked(driver, "SELECT a FROM thing") == [("1!",)]
    await driver.fetch("DROP TABLE thing")
    await driver.fetch("CREATE TABLE thing (b INTEGER, a INTEGER)")
    await driver.fetch("INSERT INTO thing VALUES (2, 3)")
    for _ in range(2):
        assert await asked(driver, "SELECT a FROM thing") == [(3,)]


async def test_few_statements_are_kept(driver: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_READY", 3)
    for turn in range(3):
        for number in range(10):
            sql = f"SELECT ?::bigint + {number}"
            assert await asked(driver, sql, turn) == [(turn + number,)]
    listed = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%bigint +%'"
    assert await asked(driver, listed) == [(3,)]


async def test_a_connection_that_was_lost_is_replaced(driver: Postgres) -> None:
    assert await asked(driver, "SELECT ?::text", "before") == [("before",)]
    ((pid,),) = await asked(driver, "SELECT pg_backend_pid()")
    with pytest.raises(Exception, match="reached"):
        await driver.transact(lambda: _end(pid))
    assert await asked(driver, "SELECT ?::text", "after") == [("after",)]
    assert await asked(driver, "SELECT pg_backend_pid()") != [(pid,)]


def _end(pid: int) -> Any:
    yield postgres.Statement("SELECT pg_terminate_backend(?)", (pid,))
    yield postgres.Statement("SELECT 1")
