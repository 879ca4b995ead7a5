"""Every test that takes ``store`` runs over SQLite and over a real PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from modelyard.storage.driver import Driver
from modelyard.storage.postgres import Postgres
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store
from postgres import Server


@pytest.fixture(scope="session")
def template(postgresql: Server) -> str:
    """The name of a database that has the tables."""

    async def make() -> None:
        driver = Postgres(url)
        await driver.open()
        await driver.shut()

    url = postgresql.create()
    asyncio.run(make())
    return url.partition("@/")[2].partition("?")[0]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    """Where a new database is: a path, or a URL."""
    if request.param == "sqlite":
        return tmp_path / "a.db"
    server: Server = request.getfixturevalue("postgresql")
    return server.create(request.getfixturevalue("template"))


@pytest.fixture
async def opened(place: Path | str) -> AsyncIterator[Callable[[], object]]:
    """Opens one more driver on the same database, as another process would."""
    drivers: list[Driver] = []

    async def open_one() -> Store:
        if isinstance(place, str):
            driver: Driver = Postgres(place, connections=8)
            await driver.open()
        else:
            driver = Database(place)
        drivers.append(driver)
        return Store(driver)

    yield open_one
    for driver in drivers:
        await driver.shut()


@pytest.fixture
async def store(opened: Callable[[], AsyncIterator[Store]]) -> Store:
    return await opened()
