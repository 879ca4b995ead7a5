"""Both databases of an installation on PostgreSQL, opened to be copied."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg

from modelyard.storage import homes
from modelyard.storage.copies.databases import BATCH, Databases, check_revision, select, source
from modelyard.storage.copies.tables import TABLES, Table
from modelyard.storage.ledger.tables import LEDGER
from modelyard.storage.postgres_schema import prepare, revision
from modelyard.storage.schema import CONTROL, Schema, UnusableDatabase

_CONNECT_SECONDS = 5.0
_LINGER_SECONDS = 2.0  # a connection is listed for a moment after its process has ended
_LOOK_SECONDS = 0.05
_OURS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
AND pid <> pg_backend_pid() AND application_name IN ('modelyard', 'modelyard-ledger')
"""


class Remote:
    """See ``databases.Databases``: one transaction over both; a kill leaves nothing behind."""

    def __init__(self, url: str, *, writing: bool, replace: bool) -> None:
        self._url = url
        self._writing = writing
        self._replace = replace
        self._open: dict[str, Any] = {}

    async def __aenter__(self) -> Databases:
        try:
            await self._connect()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError) as error:
            await self._close()
            raise UnusableDatabase(f"PostgreSQL cannot be used: {error}.") from error
        except UnusableDatabase:
            await self._close()
            raise
        return self

    async def __aexit__(self, kind: object, error: object, at: object) -> None:
        await self._close()

    async def rows(self, table: Table) -> AsyncIterator[list[tuple[Any, ...]]]:
        """See ``Databases``."""
        cursor = await self._connection.cursor(select(table, await self._source(table)))
        while batch := await cursor.fetch(BATCH):
            yield [tuple(row) for row in batch]

    async def count(self, table: Table) -> int:
        """See ``Databases``."""
        sql = f"SELECT count(*) FROM {await self._source(table)}"
        return int(await self._connection.fetchval(sql))

    async def write(self, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
        """See ``Databases``."""
        await self._connection.copy_records_to_table(
            table.name, schema_name=_schema(table), columns=table.all, records=rows
        )

    async def keep(self) -> None:
        """See ``Databases``."""
        last = "SELECT setval(pg_get_serial_sequence('ledger.request', 'number'), max(number)) "
        await self._connection.execute(f"{last} FROM ledger.request HAVING max(number) > 0")
        await self._connection.execute("COMMIT")
        await self._connection.execute("ANALYZE")

    async def changed(self) -> bool:
        """See ``Databases``: not seen here."""
        return False

    async def _connect(self) -> None:
        url = self._url
        self._connection: Any = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
        for schema, namespace in ((CONTROL, ""), (LEDGER, "ledger")):
            await self._schema(schema, namespace)
        if not self._writing:
            await self._connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return
        await self._connection.execute("BEGIN")
        for table in TABLES:
            name = _name(table)
            await self._connection.execute(f"LOCK TABLE {name} IN EXCLUSIVE MODE")
            if self._replace:
                await self._connection.execute(f"TRUNCATE {name}")
            elif await self._connection.fetchval(
                f"SELECT EXISTS (SELECT FROM {await self._source(table)})"
            ):
                raise UnusableDatabase(f"the table {name} of the target is not empty.")
        for name in await self._own():  # made anew when a server declares its kinds
            await self._connection.execute(f"DROP TABLE {name}")
        await self._connection.execute("DELETE FROM declaration")

    async def _own(self) -> list[str]:
        """The tables of the kinds of resources."""
        return [str(name) for (name,) in await self._connection.fetch(homes.OWN["postgresql"])]

    async def _source(self, table: Table) -> str:
        return source(table, await self._own(), _name(table))

    async def _schema(self, schema: Schema, namespace: str) -> None:
        """Make the tables in a target; look at their revision in a source."""
        url = self._url
        if namespace:
            url += f"{'&' if '?' in url else '?'}search_path={namespace}"
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
        try:
            if self._writing:
                sql = schema.sql.with_name("schema.postgresql.sql")
                await prepare(connection, url, schema, sql, namespace)
            check_revision(schema.name, await revision(connection))
        finally:
            await connection.close()

    async def _close(self) -> None:
        if hasattr(self, "_connection"):
            self._connection.terminate()


async def connections(url: str) -> int:
    """How many servers and workers have; 0 where the database cannot be asked."""
    try:
        connection = await asyncpg.connect(url, timeout=_CONNECT_SECONDS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, ValueError):
        return 0
    try:
        ends = time.monotonic() + _LINGER_SECONDS
        while count := int(await connection.fetchval(_OURS)):
            if time.monotonic() > ends:
                return count
            await asyncio.sleep(_LOOK_SECONDS)
        return 0
    finally:
        await connection.close()


def _schema(table: Table) -> str | None:
    return "ledger" if table.schema is LEDGER else None


def _name(table: Table) -> str:
    return f"ledger.{table.name}" if table.schema is LEDGER else table.name
