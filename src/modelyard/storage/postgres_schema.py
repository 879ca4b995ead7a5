"""The schema of a PostgreSQL database: made at once when new, upgraded when older."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg

from modelyard.storage import migrate
from modelyard.storage.migrate import UnusableDatabase
from modelyard.storage.schema import Schema

_LOCK = "SELECT pg_advisory_{}(hashtext('modelyard schema'))"


async def prepare(
    connection: Any, url: str, schema: Schema, sql: Path, namespace: str = ""
) -> None:
    """Make the database at ``url``, here connected, one of ``schema``, which ``sql`` makes.

    ``namespace`` is PostgreSQL's own word for schema: where the tables are, made if missing; the
    connection's search path leads there. Several processes may do so at once. Raises
    ``UnusableDatabase``.
    """
    await connection.execute(_LOCK.format("lock"))
    try:
        if namespace:
            await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {namespace}")
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            async with connection.transaction():
                script = await asyncio.to_thread(sql.read_text, "utf-8")
                await connection.execute(script)
        found = await revision(connection)
    finally:
        await connection.execute(_LOCK.format("unlock"))
    if found > schema.head:
        raise UnusableDatabase(
            f"the database was written by a newer version of Modelyard (schema {found}, this "
            f"version knows {schema.head}). Start the newer version, or restore a backup."
        )
    if found < schema.head:
        await asyncio.to_thread(migrate.upgrade, url, schema.versions)


async def found_revision(url: str, seconds: float) -> str | None:
    """The revision of the database at ``url``, None where it has no tables of ours.

    Nothing is made or upgraded. Raises ``UnusableDatabase``, and OSError where it is not there.
    """
    try:
        connection = await asyncpg.connect(url, timeout=seconds)
        try:
            there = await connection.fetchval("SELECT to_regclass('alembic_version')")
            return None if there is None else await revision(connection)
        finally:
            await connection.close(timeout=seconds)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, ValueError) as error:
        raise UnusableDatabase(f"the database cannot be opened: {error}.") from error


async def revision(connection: Any) -> str:
    """The revision that a database is stamped with."""
    return str(await connection.fetchval("SELECT version_num FROM alembic_version"))
