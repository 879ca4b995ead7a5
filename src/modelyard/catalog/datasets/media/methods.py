"""One file of a version, read from within its archive: nothing else of it is unpacked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.downloading import disposition
from modelyard.catalog.datasets.media.archives import STORED, Torn, Unpacking
from modelyard.catalog.datasets.media.index import Entry, find
from modelyard.catalog.datasets.media.schema import FileQuery
from modelyard.catalog.datasets.schema import Dataset
from modelyard.kernel.context import Context, Item
from modelyard.kernel.route import Raw
from modelyard.protocol import ranges
from modelyard.protocol.asgi import Stream
from modelyard.protocol.errors import Failure

_RANGES = {"Range": "`bytes=0-1023`: a part of the file, answered with 206."}


@datasets.get(
    "file",
    response=str,
    produces="application/octet-stream",
    headers=_RANGES,
    errors=("DATASET_NOT_FOUND", "RANGE_NOT_SATISFIABLE"),
)
async def file(context: Context, item: Item[Dataset], query: FileQuery) -> Stream | Raw:
    """Download one picture or sound of a version, by the `path` of its row."""
    version = await keeping.found(context, item, query.version)
    archive, index = version.spec.archive, version.spec.index
    entry = None
    if archive and index:
        entry = await find(lambda start, end: context.artifacts.open(index, start, end), query.path)
    if entry is None or not archive:
        raise Failure(
            "DATASET_NOT_FOUND",
            f"{version.name} has no file '{query.path}'. Its column 'path' has all of them.",
            details={"field": "path", "resource": version.name},
        )
    return _sent(context, archive, entry)


def _sent(context: Context, archive: str, entry: Entry) -> Stream:
    tag = f'"{entry.sha256}"'
    asked = ranges.wanted(context.header(b"range"), context.header(b"if-range"), tag, entry.size)
    start, end = asked or (0, entry.size)
    headers = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Length": str(end - start),
        "Content-Disposition": disposition(entry.path.rpartition("/")[2]),
        "X-Content-Type-Options": "nosniff",
    }
    if asked:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{entry.size}"
    parts = _bytes(context, archive, entry, start, end)
    return Stream(parts, entry.media_type, 206 if asked else 200, headers)


async def _bytes(
    context: Context, archive: str, entry: Entry, start: int, end: int
) -> AsyncGenerator[bytes, None]:
    """A part of a file. What is deflated is unpacked from its beginning, and not kept."""
    first = entry.offset + (start if entry.method == STORED else 0)
    last = entry.offset + (end if entry.method == STORED else entry.stored)
    unpack, at = Unpacking(entry.method), start if entry.method == STORED else 0
    async with aclosing(context.artifacts.open(archive, first, last)) as stored:
        async for data in stored:
            try:
                for part in unpack.parts(data):
                    await asyncio.sleep(0)  # a MiB of zeros is a KiB: others have their turn
                    wanted = part[max(0, start - at) : max(0, end - at)]
                    at += len(part)
                    if wanted:
                        yield wanted
                    if at >= end:
                        return
            except Torn as error:
                raise RuntimeError(f"{entry.path} of {archive}: {error}") from error
