"""When a change is on PostgreSQL's disk: as its own settings say, unless the operator does."""

import asyncio
from pathlib import Path

import pytest

from modelyard.storage.opening import When, driver
from postgres import Server


@pytest.mark.parametrize("own", ["off", "on", "remote_apply"])
async def test_the_servers_setting_holds_unless_there_is_one(
    postgresql: Server, tmp_path: Path, own: str
) -> None:
    url = await asyncio.to_thread(postgresql.create)
    name = url.split("@/")[1].partition("?")[0]
    change = f"ALTER DATABASE {name} SET synchronous_commit = '{own}'"
    await asyncio.to_thread(postgresql.execute, "postgres", change)
    stricter = "on" if own == "off" else own  # a replica that is waited for still is
    expected: dict[When, str] = {"auto": own, "second": "off", "commit": stricter}
    for sync, found in expected.items():
        opened = driver(url, tmp_path, sync)
        await opened.open()
        told = await asyncio.gather(*(opened.fetch("SHOW synchronous_commit") for _ in range(3)))
        await opened.shut()
        assert {str(rows[0][0]) for rows in told} == {found}, sync
