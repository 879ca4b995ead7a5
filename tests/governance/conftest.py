"""Every test that takes ``office`` runs over SQLite and over a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from governance.office import Office
from modelyard.storage.postgres import Postgres
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store
from postgres import Server


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture(params=["sqlite", "postgresql"])
async def office(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Office]:
    if request.param == "sqlite":
        store = Store(Database(tmp_path / "modelyard.db"))
    else:
        url = await asyncio.to_thread(request.getfixturevalue("server").create)
        store = Store(Postgres(url, connections=4))
    one = Office(tmp_path, store)
    await one.installation.open()
    yield one
    await one.installation.close()
