"""Connections that are lent: to whom they go, and what becomes of those that are lost."""

import asyncio
from collections.abc import AsyncIterator, Callable
from inspect import isawaitable
from typing import Any

import asyncpg
import pytest

from modelyard.storage.postgres_pool import Pool
from postgres import Server


@pytest.fixture
async def url(postgresql: Server) -> str:
    return await asyncio.to_thread(postgresql.create)


@pytest.fixture
async def pool(url: str) -> AsyncIterator[Pool]:
    pool = Pool(lambda: asyncpg.connect(url), most=2)
    yield pool
    await pool.close()


async def number(connection: Any) -> int:
    return int(await connection.fetchval("SELECT pg_backend_pid()"))


async def test_the_last_used_connection_is_lent_first(pool: Pool) -> None:
    first, second = await pool.lend(), await pool.lend()
    pool.give_back(first)
    pool.give_back(second)
    assert await pool.lend() is second
    assert await pool.lend() is first
    pool.give_back(first)
    pool.give_back(second)


async def test_who_waits_gets_what_is_given_back_in_turn(pool: Pool) -> None:
    lent = [await pool.lend(), await pool.lend()]
    waiting = [asyncio.create_task(pool.lend()) for _ in range(2)]
    await asyncio.sleep(0)
    for connection in lent:
        pool.give_back(connection)
    assert await asyncio.gather(*waiting) == lent
    for connection in lent:
        pool.give_back(connection)


async def test_nobody_waits_for_longer_than_is_allowed(url: str) -> None:
    pool = Pool(lambda: asyncpg.connect(url), most=1, seconds=0.01)
    connection = await pool.lend()
    with pytest.raises(TimeoutError):
        await pool.lend()
    pool.give_back(connection)
    assert await pool.lend() is connection
    pool.give_back(connection)
    await pool.close()


async def test_one_who_left_does_not_keep_what_was_handed_to_it(pool: Pool) -> None:
    lent = [await pool.lend(), await pool.lend()]
    leaves, stays = [asyncio.create_task(pool.lend()) for _ in range(2)]
    await asyncio.sleep(0)
    pool.give_back(lent[0])
    leaves.cancel()  # handed to it in this turn of the loop
    assert await stays is lent[0]
    assert leaves.cancelled()
    for connection in lent:
        pool.give_back(connection)


async def test_lost_connections_are_replaced(pool: Pool, url: str) -> None:
    idle, lent = await pool.lend(), await pool.lend()
    waits = asyncio.create_task(pool.lend())
    numbers = [await number(idle), await number(lent)]
    pool.give_back(idle)
    assert await waits is idle
    pool.give_back(idle)
    other = await asyncpg.connect(url)
    for one in numbers:
        await other.fetchval("SELECT pg_terminate_backend($1)", one)
    await other.close()
    await _until(idle.is_closed)
    await _until(lent.is_closed)
    pool.give_back(lent)
    fresh = [await pool.lend(), await pool.lend()]
    assert not {await number(one) for one in fresh} & set(numbers)
    for connection in fresh:
        pool.give_back(connection)


async def test_a_statement_that_was_given_up_ends_at_the_server(pool: Pool, url: str) -> None:
    other = await asyncpg.connect(url)
    async with pool.loan() as connection:
        named = await number(connection)

    async def wait_long() -> None:
        async with pool.loan() as connection:
            await connection.execute("SELECT pg_sleep(3600)")

    async def sleeps() -> bool:
        sql = "SELECT query FROM pg_stat_activity WHERE pid = $1 AND state = 'active'"
        return "3600" in str(await other.fetchval(sql, named))

    async def gone() -> bool:
        return await other.fetchval("SELECT 1 FROM pg_stat_activity WHERE pid = $1", named) is None

    task = asyncio.create_task(wait_long())
    await _until(sleeps)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await _until(gone)
    async with pool.loan() as connection:
        assert await number(connection) != named
    await other.close()


async def test_what_is_lent_while_the_pool_closes_is_closed_when_it_comes_back(url: str) -> None:
    pool = Pool(lambda: asyncpg.connect(url), most=1)
    async with pool.loan() as connection:
        waits = asyncio.create_task(pool.lend())
        await asyncio.sleep(0)
        closing = asyncio.create_task(pool.close())
        with pytest.raises(asyncpg.InterfaceError):
            await waits
        assert await connection.fetchval("SELECT 1") == 1
        assert not closing.done()
    await closing
    assert connection.is_closed()


async def test_who_never_gives_it_back_does_not_keep_the_pool_from_closing(url: str) -> None:
    pool = Pool(lambda: asyncpg.connect(url), most=1, seconds=0.05)
    async with pool.loan() as connection:
        await pool.close()
        assert await connection.fetchval("SELECT 1") == 1
    await _until(connection.is_closed)


async def _until(condition: Callable[[], Any]) -> None:
    for _ in range(6000):
        found = condition()
        if await found if isawaitable(found) else found:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not come to that within a minute")
