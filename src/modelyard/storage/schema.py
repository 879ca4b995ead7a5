"""A database's schema: made at once when new, upgraded when older, refused when newer."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from modelyard.storage import files, migrate
from modelyard.storage.migrate import UnusableDatabase as UnusableDatabase

_HERE = Path(__file__).parent


class Schema(Struct, frozen=True, kw_only=True):
    """What a database of this version looks like.

    ``sql`` makes a new one and stamps it with ``head``; the Alembic revisions in ``versions``
    lead there from any older one. Revisions are numbered ``0001``, ``0002`` …
    """

    name: str
    sql: Path
    versions: Path
    head: str


CONTROL = Schema(
    name="control",
    sql=_HERE / "schema.sql",
    versions=migrate.CONTROL_VERSIONS,
    head="0005",
)


def prepare(path: Path, schema: Schema) -> None:
    """Make ``path`` a database of ``schema``: create it, upgrade it, or find it right.

    Several processes may do so at once. Raises ``UnusableDatabase``.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.sweep(path.parent)
    if not path.exists():
        _create(path, schema)
    found = revision(path)
    if found == schema.head:
        return
    if found > schema.head:
        raise UnusableDatabase(
            f"{path} was written by a newer version of Modelyard (schema {found}, this version "
            f"knows {schema.head}). Start the newer version, or restore a backup."
        )
    migrate.upgrade(path, schema.versions)


def revision(path: Path) -> str:
    """The revision that a database is stamped with. Raises ``UnusableDatabase``."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    except sqlite3.DatabaseError as error:
        raise UnusableDatabase(f"{path} is not a database of Modelyard: {error}.") from error
    if len(rows) != 1:
        raise UnusableDatabase(f"{path} has {len(rows)} schema revisions instead of one.")
    return str(rows[0][0])


def _create(path: Path, schema: Schema) -> None:
    with files.unfinished(path) as place:
        os.close(os.open(place, os.O_CREAT | os.O_EXCL, files.PRIVATE))
        with closing(sqlite3.connect(place)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(schema.sql.read_text(encoding="utf-8"))
        files.publish(place, path)
