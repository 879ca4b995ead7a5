"""Where a ledger's database is: in a file, and on a PostgreSQL server."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

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


@pytest.fixture(autouse=True)
def loaders_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test leaves open is closed after it: files, and connections with their threads."""
    made: list[Loader] = []
    begin = Loader.__init__

    def note(loader: Loader, *args: Any, **named: Any) -> None:
        begin(loader, *args, **named)
        made.append(loader)

    monkeypatch.setattr(Loader, "__init__", note)
    yield
    for loader in made:
        with suppress(RuntimeError):  # it is closed
            loader.close()
