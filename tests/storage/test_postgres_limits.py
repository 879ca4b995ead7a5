"""How long a statement may take: a minute, but what makes a database ready takes what it needs."""

import asyncio
from typing import Any

import pytest

from modelyard.protocol.errors import Failure
from modelyard.storage import postgres
from modelyard.storage.driver import Statement, Work
from modelyard.storage.postgres import Postgres
from postgres import Server


def asked(*statements: str) -> Work[list[Any]]:
    """What the last of them answers."""
    rows: list[Any] = []
    for sql in statements:
        rows = yield Statement(sql)
    return [tuple(row) for row in rows]


async def test_what_takes_long_has_no_limit(
    postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_LONGEST_SECONDS", 2.0)
    url = await asyncio.to_thread(postgresql.create)
    name = url.split("@/")[1].partition("?")[0]
    limit = f"ALTER DATABASE {name} SET statement_timeout = '2s'"
    await asyncio.to_thread(postgresql.execute, "postgres", limit)
    driver = Postgres(url)
    await driver.open()
    show, wait = "SHOW statement_timeout", "SELECT pg_sleep(2.5)"
    assert await driver.transact(lambda: asked(wait, show), long=True) == [("0",)]
    assert await driver.transact(lambda: asked(show)) == [("2s",)]  # it held for that one alone
    with pytest.raises(Failure, match="cannot be reached"):
        await driver.transact(lambda: asked("SELECT pg_sleep(3600)"))
    await driver.shut()
