"""Versions on their way out: stored bytes by range, other forms as a process writes them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote

from modelyard.catalog.datasets import keeping
from modelyard.catalog.datasets.schema import DownloadQuery
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.context import Context, Item
from modelyard.protocol import ranges
from modelyard.protocol.asgi import Stream
from modelyard.protocol.errors import Failure

MOST = 4  # conversions at a time in a process: each is a process of its own
_CHUNK = 256 * 1024
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": keeping.PARQUET,
    "original": "application/octet-stream",
}
_running: set[str] = set()


async def answer(context: Context, version: Item[Version], query: DownloadQuery) -> Stream:
    """What is downloaded. Raises ``INVALID_REQUEST``, ``RANGE_NOT_SATISFIABLE``."""
    columns = _columns(version.spec, query.columns)
    stored = version.spec.data
    if query.format == "original":
        stored = version.spec.original or stored
        if columns:
            raise Failure(
                "INVALID_REQUEST",
                "'columns' needs another 'format': the original is sent as it is.",
                details={"field": "columns", "allowed": ["csv", "jsonl", "parquet"]},
            )
    if query.format in ("original", "parquet") and not columns:
        return await _stored(context, version, stored, query.format)
    if len(_running) >= MOST:
        raise Failure(
            "SYSTEM_OVERLOADED",
            f"{MOST} versions are being converted. Try again in a moment, or ask for 'parquet'.",
            retry_after=5,
        )
    parts = _converted(context, stored, query.format, columns)
    first = await anext(parts)  # what fails until then is told by the status
    name = _name(version, query.format)
    headers = {"Content-Disposition": disposition(name)}
    return Stream(_joined(first, parts), _TYPES[query.format], 200, headers)


async def _joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for part in rest:
            yield part


def _columns(spec: Version, wanted: str) -> list[str]:
    known = [one.name for one in spec.schema.fields]
    names = [one for one in wanted.split(",") if one]
    for name in names:
        if name not in known:
            raise Failure(
                "INVALID_REQUEST",
                f"'columns': there is no column '{name}'.",
                details={"field": "columns", "rule": "column", "allowed": known},
            )
    return list(dict.fromkeys(names))


async def _stored(context: Context, version: Item[Version], ref: str, form: str) -> Stream:
    size, tag = await context.artifacts.size(ref), f'"{ref}"'
    asked = ranges.wanted(context.header(b"range"), context.header(b"if-range"), tag, size)
    start, end = asked or (0, size)
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Length": str(end - start),
        "Content-Disposition": disposition(_name(version, form)),
    }
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    parts = context.artifacts.open(ref, start, end)
    return Stream(parts, _TYPES[form], 206 if asked else 200, headers)


async def _converted(
    context: Context, ref: str, form: str, columns: list[str]
) -> AsyncGenerator[bytes, None]:
    """The output of a process that reads a copy of the table; it ends with who listens."""
    with tempfile.TemporaryDirectory(prefix="modelyard-download-") as folder:
        _running.add(folder)
        process = None
        try:
            data = Path(folder) / "table.parquet"
            await keeping.fetch(context, ref, data)
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "modelyard.catalog.datasets.giving", str(data), form,
                *columns, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert process.stdout is not None
            while part := await process.stdout.read(_CHUNK):
                yield part
            if await process.wait():
                raise RuntimeError(f"the conversion of {ref} ended with {process.returncode}")
        finally:
            _running.discard(folder)
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()


def _name(version: Item[Version], form: str) -> str:
    own = version.spec.file_name or version.row.address.parent.rpartition("/")[2]
    if form == "original":
        return own if version.spec.original else f"{version.id}.parquet"
    return f"{own.partition('.')[0]}-{version.id}.{form}"


def disposition(name: str) -> str:
    """The header field by which a client keeps what it gets under a name (RFC 6266)."""
    ascii_name = "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "_" for c in name)
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"
