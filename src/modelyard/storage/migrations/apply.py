"""Runs the revisions: ``python -m modelyard.storage.migrations.apply VERSIONS``.

The database is a line on standard input, a path or the URL of one on PostgreSQL: passwords do not
belong into a list of processes.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

import asyncpg
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine


def apply(path: Path, versions: Path, revision: str = "head") -> None:
    """Bring the SQLite database at ``path`` to ``revision``, in one transaction."""
    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _no_implicit_begin)
    event.listen(engine, "begin", _begin)
    with engine.begin() as connection:
        _upgrade(connection, versions, revision)
    engine.dispose()


async def apply_remote(url: str, versions: Path, revision: str = "head") -> None:
    """Bring the PostgreSQL database at ``url`` to ``revision``, in one transaction."""
    engine = create_async_engine(
        "postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(url)
    )
    async with engine.begin() as connection:
        await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        await connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('modelyard'))")
        await connection.run_sync(_upgrade, versions, revision)
    await engine.dispose()


def _upgrade(connection: Connection, versions: Path, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", _plain(Path(__file__).parent))
    config.set_main_option("version_locations", _plain(versions))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _plain(path: Path) -> str:
    return str(path.resolve()).replace("%", "%%")  # configparser interpolates


def _no_implicit_begin(connection: Any, _: Any) -> None:
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    """Lock before the revision is read: of two upgrades at once, the second finds it done."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


if __name__ == "__main__":
    place = sys.stdin.readline().rstrip("\n")
    if place.startswith(("postgresql://", "postgres://")):
        asyncio.run(apply_remote(place, Path(sys.argv[1])))
    else:
        apply(Path(place), Path(sys.argv[1]))
