"""Previews: a recipe is tried on the first rows, of which no more than needed is read."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Mapping
from pathlib import Path

from modelyard.catalog.datasets import keeping, trying
from modelyard.catalog.datasets.transforming.requests import (
    PreviewColumn,
    PreviewRequest,
    PreviewResult,
    Transformation,
)
from modelyard.catalog.datasets.trying import Question
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.context import Context, Item
from modelyard.ml import footer
from modelyard.storage import files

_WHOLE = 4 * 1024 * 1024  # bytes of a table that is fetched as it is


async def sampled(
    context: Context,
    source: Item[Version],
    tables: Mapping[str, Item[Version]],
    made: Transformation,
    ask: PreviewRequest,
) -> PreviewResult:
    """What the recipe makes of the first rows. Raises ``INVALID_REQUEST`` for a step that fails."""
    temporary = Path(tempfile.gettempdir())
    with trying.place(), files.own_folder(temporary, "modelyard-preview-") as folder:
        data = folder / "table.parquet"
        most = await _head(context, source.spec.data, data, ask.sample)
        joined = {}
        for number, (name, version) in enumerate(tables.items()):
            file = folder / f"joined-{number}.parquet"
            await keeping.fetch(context, version.spec.data, file)
            joined[name] = trying.of_file(file)
        question = Question(
            source=trying.of_file(data, most),
            tables=joined,
            steps=made.steps,
            learnt=made.learnt,
            shown=ask.rows,
        )
        found = await trying.answered(question)
    return PreviewResult(
        version=source.id,
        columns=[PreviewColumn(name=name, type=kind) for name, kind in found.columns.items()],
        rows=found.rows,
        sampled=found.sampled,
        made=found.made,
    )


async def _head(context: Context, ref: str, target: Path, rows: int) -> int:
    """Write a file of which the first ``rows`` rows can be read; how many of them there are.

    What is behind them is a hole, but for the footer.
    """
    size = await context.artifacts.size(ref)
    if size <= _WHOLE:
        await keeping.fetch(context, ref, target)
        return rows
    try:
        tail = await _part(context, ref, size - footer.TAIL, size)
        begin = max(0, size - footer.TAIL - footer.length(tail))
        told = await _part(context, ref, begin, size - footer.TAIL)
        end, seen = _end(await asyncio.to_thread(footer.groups, told), rows)
    except footer.BadFooter:
        await keeping.fetch(context, ref, target)
        return rows
    with target.open("wb") as stream:
        async for part in context.artifacts.open(ref, 0, end):
            stream.write(part)
        stream.seek(begin)
        stream.write(told + tail)
    return min(rows, seen)


def _end(groups: list[footer.Group], rows: int) -> tuple[int, int]:
    """Where the row groups of the first rows end in the file, and how many rows they have."""
    end = seen = 0
    for group in groups:
        seen += group.rows
        end = max([end, *(chunk.end for chunk in group.chunks)])
        if seen >= rows:
            break
    return end, seen


async def _part(context: Context, ref: str, begin: int, end: int) -> bytes:
    return b"".join([part async for part in context.artifacts.open(ref, begin, end)])
