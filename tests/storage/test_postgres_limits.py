"""How long a statement may take: a minute, but what makes a database ready takes what it needs."""

import asyncio
from typing import Any

import pytest

from modelyard.protocol.errors import Failure
from modelyard.storage import postgres
from modelyard.storage.driver import Statement, Work
from modelyard.storage.postgres import Postgres
from postgres import Server

SHOW = "SHOW statement_timeout"
DAY = 86_400.0


def asked(sql: str) -> Work[list[Any]]:
    """What it answers."""
    rows = yield Statement(sql)
    yield Statement("UPDATE a SET b = ?", [(1,)], many=True)
    yield Statement("UPDATE a SET b = ?", [(1,), (2,)], many=True)
    return [tuple(row) for row in rows]


class Noting:
    """In a connection's place: notes what it is asked, and how long that may take."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, float | None]] = []

    def transaction(self) -> "Noting":
        return self

    async def start(self) -> None:
        pass

    commit = start

    async def execute(self, text: str, *_: Any, **limit: float | None) -> None:
        self.asked.append((text, limit.get("timeout")))

    executemany = execute

    async def fetch(self, text: str, *_: Any, **limit: float | None) -> list[Any]:
        self.asked.append((text, limit.get("timeout")))
        return []


async def test_what_takes_long_may_take_days() -> None:
    long, short = Noting(), Noting()
    await postgres._run(long, asked(SHOW), dry=False, long=True)
    await postgres._run(short, asked(SHOW), dry=False, long=False)
    (first, _), *others = long.asked
    assert first == "SET LOCAL statement_timeout = 0"
    assert len(others) == 3
    assert all(seconds is not None and seconds > DAY for _, seconds in others)
    assert short.asked == [(text, None) for text, _ in others]  # None: as the connection has it


async def test_a_limit_of_the_operator_is_for_what_is_short(postgresql: Server) -> None:
    url = await asyncio.to_thread(postgresql.create)
    name = url.split("@/")[1].partition("?")[0]
    limit = f"ALTER DATABASE {name} SET statement_timeout = '70s'"
    await asyncio.to_thread(postgresql.execute, "postgres", limit)
    driver = Postgres(url)
    await driver.open()

    def shown() -> Work[str]:
        rows = yield Statement(SHOW)
        return str(rows[0][0])

    told = [await driver.transact(shown, long=long) for long in (False, True, False)]
    await driver.shut()
    assert told[0] != "0"
    assert told == [told[0], "0", told[0]]


async def test_a_limit_that_is_over_is_told_as_such(postgresql: Server) -> None:
    driver = Postgres(await asyncio.to_thread(postgresql.create))
    await driver.open()

    def slow() -> Work[None]:
        yield Statement("SET LOCAL statement_timeout = 1")
        yield Statement("SELECT pg_sleep(60)")

    with pytest.raises(Failure, match="statement_timeout is over") as told:
        await driver.transact(slow)
    await driver.shut()
    assert (told.value.code.symbol, told.value.code.status) == ("SYSTEM_OVERLOADED", 503)
