"""The schema of a PostgreSQL database: made at once when new, upgraded when older."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from modelyard.storage.migrate import UnusableDatabase
from modelyard.storage.schema import Schema

_LOCK = "SELECT pg_advisory_{}(hashtext('modelyard schema'))"


async def prepare(connection: Any, schema: Schema, sql: Path) -> None:
    """Make the database behind an asyncpg connection one of ``schema``, which ``sql`` makes.

    Several processes may do so at once. Raises ``UnusableDatabase``.
    """
    await connection.execute(_LOCK.format("lock"))
    try:
        if await connection.fetchval("SELECT to_regclass('alembic_version')") is None:
            async with connection.transaction():
                script = await asyncio.to_thread(sql.read_text, "utf-8")
                await connection.execute(script)
        found = str(await connection.fetchval("SELECT version_num FROM alembic_version"))
    finally:
        await connection.execute(_LOCK.format("unlock"))
    if found > schema.head:
        raise UnusableDatabase(
            f"the database was written by a newer version of Modelyard (schema {found}, this "
            f"version knows {schema.head}). Start the newer version, or restore a backup."
        )
