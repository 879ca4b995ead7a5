"""Which database is opened: what the setting ``database_url`` names."""

from pathlib import Path
from typing import Literal

from modelyard.storage.driver import Driver
from modelyard.storage.schema import revision
from modelyard.storage.sqlite import Database

_SQLITE = "sqlite:///"
FILE = "modelyard.db"  # in the home folder
LEDGER_FILE = "ledger.db"
_CONNECT_SECONDS = 5.0
When = Literal["auto", "second", "commit"]  # a change is on the disk


def remote(url: str | None) -> bool:
    """Whether a URL is of PostgreSQL."""
    return url is not None and not url.startswith(_SQLITE)


def file_of(url: str | None, home: Path) -> Path:
    """The file of a SQLite database; without a URL it is in ``home``."""
    return home / FILE if url is None else Path(url.removeprefix(_SQLITE))


def ledger_of(url: str | None, home: Path) -> Path | str:
    """Where the request log is: beside the resources on PostgreSQL, else in ``home``."""
    return str(url) if remote(url) else home / LEDGER_FILE


async def revision_of(url: str | None, home: Path) -> str | None:
    """The revision of a database, None where there is none; nothing is made or upgraded.

    Raises ``UnusableDatabase`` and OSError.
    """
    if not remote(url):
        file = file_of(url, home)
        return revision(file) if file.exists() else None
    from modelyard.storage.postgres_schema import found_revision

    return await found_revision(str(url), _CONNECT_SECONDS)


def driver(url: str | None, home: Path, sync: When = "auto") -> Driver:
    """The driver for a URL, not yet open. Raises ``UnusableDatabase``.

    ``sync`` is when changes are on the disk; "auto" is "second" for SQLite, and leaves it to
    PostgreSQL's own settings.
    """
    if not remote(url):
        return Database(file_of(url, home), sync="commit" if sync == "commit" else "second")
    from modelyard.storage.postgres import Postgres  # the library is loaded where it is needed

    return Postgres(str(url), sync=None if sync == "auto" else sync)
