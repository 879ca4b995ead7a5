"""Runs the revisions: ``python -m modelyard.storage.migrations.apply DATABASE VERSIONS``."""

import sys
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, event


def apply(path: Path, versions: Path, revision: str = "head") -> None:
    """Bring the SQLite database at ``path`` to ``revision``, in one transaction."""
    config = Config()
    config.set_main_option("script_location", _plain(Path(__file__).parent))
    config.set_main_option("version_locations", _plain(versions))
    config.set_main_option("path_separator", "newline")
    engine = create_engine(URL.create("sqlite", database=str(path)))
    event.listen(engine, "connect", _no_implicit_begin)
    event.listen(engine, "begin", _begin)
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def _plain(path: Path) -> str:
    return str(path.resolve()).replace("%", "%%")  # configparser interpolates


def _no_implicit_begin(connection: Any, _: Any) -> None:
    connection.isolation_level = None


def _begin(connection: Connection) -> None:
    """Lock before the revision is read: of two upgrades at once, the second finds it done."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


if __name__ == "__main__":
    apply(Path(sys.argv[1]), Path(sys.argv[2]))
