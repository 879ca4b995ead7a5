"""Some rows of a version, wherever they are: only the bytes that hold them are read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import msgspec

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.downloading import converted, known_columns
from modelyard.catalog.datasets.paging.schema import Rows, RowsQuery
from modelyard.catalog.datasets.schema import Dataset
from modelyard.kernel.context import Context, Item
from modelyard.kernel.route import Raw
from modelyard.ml import footer
from modelyard.protocol.errors import Failure

MOST_BYTES = 32 * 1024 * 1024  # of a page
_JSON = "application/json"


@datasets.get(
    "rows",
    response=Rows,
    errors=("DATASET_NOT_FOUND", "SYSTEM_OVERLOADED", "INSUFFICIENT_RESOURCES"),
)
async def rows(context: Context, item: Item[Dataset], query: RowsQuery) -> Raw:
    """Get a page of rows of a version, from `offset` on.

    Of a large table only the row groups and columns are read that have them.
    """
    version = await keeping.found(context, item, query.version)
    columns = known_columns(version.spec, query.columns)
    lines = b""
    if query.offset < version.spec.record_count:
        wanted = {
            "form": "jsonl",
            "columns": columns,
            "offset": query.offset,
            "limit": query.limit,
        }

        async def fetch(target: Path) -> None:
            await _fetch(context, version.spec.data, target, query, set(columns))

        lines = await _all(converted(fetch, wanted))
    page = Rows(
        version=version.id,
        offset=query.offset,
        record_count=version.spec.record_count,
        rows=[],
    )
    head = msgspec.json.encode(page).removesuffix(b"]}")
    body = b",".join(lines.splitlines())
    return Raw(head + body + b"]}", _JSON, headers={"Cache-Control": "private, no-cache"})


async def _all(parts: AsyncGenerator[bytes, None]) -> bytes:
    found = bytearray()
    async with aclosing(parts):
        async for part in parts:
            found += part
            if len(found) > MOST_BYTES:
                break
        else:
            return bytes(found)
    raise Failure(
        "INVALID_REQUEST",
        f"These rows have more than {MOST_BYTES} bytes. Ask for fewer ('limit'), or for fewer "
        "'columns'.",
        details={"field": "limit", "rule": "bytes", "allowed": MOST_BYTES},
    )


async def _fetch(
    context: Context, ref: str, target: Path, query: RowsQuery, columns: set[str]
) -> None:
    """Write the parts of a table that are needed to a file, each at its place."""
    size = await context.artifacts.size(ref)
    try:
        tail = await _read(context, ref, size - footer.TAIL, size)
        begin = size - footer.TAIL - footer.length(tail)
        data = await _read(context, ref, begin, size)
        found = await asyncio.to_thread(footer.groups, data)
    except footer.BadFooter:  # what another program wrote in its own way is read as a whole
        await keeping.fetch(context, ref, target)
        return
    with target.open("wb") as out:
        out.write(b"PAR1")
        out.seek(begin)
        out.write(data)
        for start, end in footer.wanted(found, query.offset, query.limit, columns):
            out.seek(start)
            async for part in context.artifacts.open(ref, start, end):
                out.write(part)


async def _read(context: Context, ref: str, start: int, end: int) -> bytes:
    return b"".join([part async for part in context.artifacts.open(ref, start, end)])
