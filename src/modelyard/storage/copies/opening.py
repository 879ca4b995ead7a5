"""An installation's databases, by the settings, to be copied."""

from pathlib import Path

from modelyard.storage.copies.databases import Databases, FileSource, FileTarget
from modelyard.storage.ledger.tables import LEDGER
from modelyard.storage.opening import LEDGER_FILE, file_of, remote
from modelyard.storage.schema import CONTROL


def open_source(url: str | None, home: Path) -> Databases:
    """An installation to read."""
    if remote(url):
        return _postgres(str(url), writing=False, replace=False)
    return FileSource({CONTROL.name: file_of(url, home), LEDGER.name: home / LEDGER_FILE})


def open_target(url: str | None, home: Path, *, replace: bool = False) -> Databases:
    """An installation to write. ``UnusableDatabase`` where it holds something, but ``replace``."""
    if remote(url):
        return _postgres(str(url), writing=True, replace=replace)
    return FileTarget({CONTROL: file_of(url, home), LEDGER: home / LEDGER_FILE}, replace)


async def connected(url: str | None) -> int:
    """How many connections servers and workers have to a PostgreSQL database, on any machine.

    0 for a file, and where PostgreSQL cannot be asked.
    """
    if not remote(url):
        return 0
    from modelyard.storage.copies.postgres import connections

    return await connections(str(url))


def _postgres(url: str, *, writing: bool, replace: bool) -> Databases:
    from modelyard.storage.copies.postgres import Remote  # its library only where it is needed

    return Remote(url, writing=writing, replace=replace)
