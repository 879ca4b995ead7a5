"""One world on SQLite and one on PostgreSQL; each test works in workspaces of its own."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from conformance.resources.world import World
from modelyard.storage.driver import Driver
from modelyard.storage.postgres import Postgres
from modelyard.storage.sqlite import Database
from modelyard.storage.store import Store


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def residence(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path | str]:
    """A home, and where its database is."""
    home = tmp_path_factory.mktemp("world")
    if request.param == "sqlite":
        return home, home / "modelyard.db"
    server = request.getfixturevalue("postgresql")
    return home, str(server.create(request.getfixturevalue("template")))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def world(residence: tuple[Path, Path | str]) -> AsyncIterator[World]:
    home, place = residence
    driver: Driver
    if isinstance(place, str):
        driver = Postgres(place, connections=8)
        await driver.open()
    else:
        driver = Database(place)
    made = World(home, Store(driver))
    await made.open()
    yield made
    await made.installation.close()
