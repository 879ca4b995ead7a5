"""Where a ledger's database is: in a file, and on a PostgreSQL server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.storage.ledger.loading import Loader
from postgres import Server


@pytest.fixture(scope="session")
def template(postgresql: Server) -> str:
    """The name of a database that has the ledger's tables."""
    url = postgresql.create()
    Loader(url).close()
    return url.partition("@/")[2].partition("?")[0]


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path | str]:
    """Where a new database is: a path, or a URL."""
    if request.param == "sqlite":
        yield tmp_path / "l.db"
        return
    server: Server = request.getfixturevalue("postgresql")
    yield server.create(request.getfixturevalue("template"))
