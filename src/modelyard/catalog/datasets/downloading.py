"""Versions on their way out: stored bytes by range, other forms as a process writes them."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec

from modelyard.catalog.datasets import ends, keeping
from modelyard.catalog.datasets.schema import DownloadQuery
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs.memory import lacked
from modelyard.kernel.context import Context, Item
from modelyard.protocol import ranges
from modelyard.protocol.asgi import Stream
from modelyard.protocol.errors import Failure
from modelyard.storage import files

MOST = 4  # conversions at a time in a process: each is a process of its own
_CHUNK = 256 * 1024
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": keeping.PARQUET,
    "arrow": "application/vnd.apache.arrow.file",
    "original": "application/octet-stream",
}
_LOOK = 0.05  # seconds between looks for what more a conversion has written
_running: set[Path] = set()


async def answer(context: Context, version: Item[Version], query: DownloadQuery) -> Stream:
    """What is downloaded. Raises ``INVALID_REQUEST``, ``RANGE_NOT_SATISFIABLE``."""
    columns = known_columns(version.spec, query.columns)
    whole = not (columns or query.filter)
    if query.format == "original" and not whole:
        field = "columns" if columns else "filter"
        raise Failure(
            "INVALID_REQUEST",
            f"'{field}' needs another 'format': the original is sent as it is.",
            details={"field": field, "allowed": ["csv", "jsonl", "parquet", "arrow"]},
        )
    if query.format in ("original", "parquet") and whole:
        ref = version.spec.data
        if query.format == "original":
            ref = version.spec.original or ref
        return await _stored(context, version, ref, query.format)
    wanted = {"form": query.format, "columns": columns, "filter": query.filter}
    parts = converted(lambda target: keeping.fetch(context, version.spec.data, target), wanted)
    first = await anext(parts, b"")  # what fails until then is told by the status
    name = _name(version, query.format)
    headers = {"Content-Disposition": disposition(name)}
    return Stream(_joined(first, parts), _TYPES[query.format], 200, headers)


async def _joined(first: bytes, rest: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(rest):
        yield first
        async for part in rest:
            yield part


def known_columns(spec: Version, wanted: str) -> list[str]:
    """Those columns, each once. Raises ``INVALID_REQUEST`` for one that is not there."""
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


async def converted(
    fetch: Callable[[Path], Awaitable[None]], wanted: dict[str, Any]
) -> AsyncGenerator[bytes, None]:
    """What a process makes of the table that ``fetch`` writes; it ends with who listens.

    It writes to a file, so that its place is free once it is done, however slowly that is read.
    Raises ``SYSTEM_OVERLOADED``, ``INSUFFICIENT_RESOURCES``, ``STORAGE_FULL``, and
    ``INVALID_REQUEST`` for a filter that is none.
    """
    if len(_running) >= MOST:
        raise Failure(
            "SYSTEM_OVERLOADED",
            f"{MOST} versions are being converted. Try again in a moment, or ask for 'parquet'.",
            retry_after=5,
        )
    with files.own_folder(Path(tempfile.gettempdir()), "modelyard-download-") as folder:
        _running.add(folder)
        process = None
        try:
            data, made = folder / "table.parquet", folder / "made"
            await fetch(data)
            with made.open("wb") as out:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-m", "modelyard.catalog.datasets.giving", str(data),
                    msgspec.json.encode(wanted).decode(), stdin=asyncio.subprocess.DEVNULL,
                    stdout=out, stderr=asyncio.subprocess.PIPE,
                )  # fmt: skip
            ended = asyncio.ensure_future(process.wait())
            ended.add_done_callback(lambda _: _done(folder, data))
            with made.open("rb") as stream:
                async for part in _following(stream, ended):
                    yield part
                await _check(process)
                while part := stream.read(_CHUNK):
                    yield part
        finally:
            _running.discard(folder)
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()


def _done(folder: Path, data: Path) -> None:
    """Free the place, and the room of the table that was converted."""
    _running.discard(folder)
    data.unlink(missing_ok=True)


async def _following(stream: BinaryIO, ended: asyncio.Future[int]) -> AsyncGenerator[bytes, None]:
    """What a process has written to a file until now, as long as it runs."""
    while not ended.done():
        if part := stream.read(_CHUNK):
            yield part
        else:
            await asyncio.wait([ended], timeout=_LOOK)


async def _check(process: asyncio.subprocess.Process) -> None:
    """Raise for a process that did not do it all."""
    assert process.stderr is not None
    words = await process.stderr.read(4096)
    told = words.decode(errors="replace")
    status = process.returncode
    if status == ends.REFUSED:
        raise Failure(
            "INVALID_REQUEST",
            f"'filter' is no condition over the columns: {told}. "
            "docs/reference/expressions.md has the language.",
            details={"field": "filter", "rule": "expression", "reason": told},
        )
    if status == ends.FULL:
        raise Failure(
            "STORAGE_FULL",
            f"There is no room to convert it: {told}. Make room in {tempfile.gettempdir()} on the "
            "server, or ask for 'parquet' without 'columns' and 'filter'.",
        )
    if status and lacked(words):
        raise Failure(
            "INSUFFICIENT_RESOURCES",
            f"Converting it needs more than the {ends.MEMORY:,} bytes of memory that a "
            "conversion is given. Ask for fewer rows or 'columns', or for 'parquet' without them.",
            details={"field": "format", "given": ends.MEMORY},
        )
    if status:
        raise RuntimeError(f"the conversion ended with {status}: {told}")


def _name(version: Item[Version], form: str) -> str:
    own = version.spec.file_name or version.row.address.parent.rpartition("/")[2]
    if form == "original":
        return own if version.spec.original else f"{version.id}.parquet"
    return f"{own.partition('.')[0]}-{version.id}.{form}"


def disposition(name: str) -> str:
    """The header field by which a client keeps what it gets under a name (RFC 6266)."""
    ascii_name = "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "_" for c in name)
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"
