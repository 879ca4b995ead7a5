"""Splits: each part is a version of the same dataset, below the one that was divided."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.keeping import Kept
from modelyard.catalog.datasets.privacy.carrying import carried
from modelyard.catalog.datasets.schema import Dataset, SplitPart, SplitRequest, SplitResult
from modelyard.catalog.datasets.versions import versions
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs.job import Job
from modelyard.jobs.kinds import operation
from modelyard.jobs.schema import Compute
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address
from modelyard.protocol.errors import Failure

if TYPE_CHECKING:
    from modelyard.catalog.datasets.dividing import Divided

MOST_PARTS = 32
MEMORY = Compute(memory_bytes=2 << 30)  # the parts of 30 million rows, and their hashes
MOST_TEXTS = 10_000_000  # that are compared: on the disk, each takes 200 bytes and itself
_SUM = 1e-9  # by which fractions may miss 1


async def check(context: Context, item: Item[Dataset], ask: SplitRequest) -> None:
    """Refuse at the door what cannot be done."""
    version = await keeping.found(context, item, ask.version)
    known = [one.name for one in version.spec.schema.fields]
    if version.spec.part:
        raise Failure(
            "INVALID_REQUEST",
            f"'version' {version.id} is a part of a split. Split {version.spec.parent} into more "
            "parts.",
            details={"field": "version", "rule": "whole"},
        )
    if (ask.column is None) != (ask.method == "random"):
        raise Failure(
            "INVALID_REQUEST",
            f"'column' is {'needed' if ask.column is None else 'not used'} by the method "
            f"'{ask.method}'.",
            details={"field": "column", "rule": "method", "allowed": known},
        )
    named = (
        ("column", ask.column),
        ("leakColumn", ask.leak_column),
        ("textColumn", ask.text_column),
    )
    for field, name in named:
        if name is not None and name not in known:
            raise Failure(
                "INVALID_REQUEST",
                f"'{field}': there is no column '{name}' in {version.id}.",
                details={"field": field, "rule": "column", "allowed": known},
            )
    _comparable(version, ask)
    shares = ask.fractions.values()
    wrong = not 2 <= len(shares) <= MOST_PARTS or any(not 0 < one < 1 for one in shares)
    if wrong or abs(sum(shares) - 1) > _SUM:
        raise Failure(
            "INVALID_REQUEST",
            f"'fractions' are of 2 to {MOST_PARTS} parts, each between 0 and 1, and add up to 1.",
            details={"field": "fractions", "rule": "sum", "found": sum(shares)},
        )


def _comparable(version: Item[Version], ask: SplitRequest) -> None:
    """Raise ``INVALID_REQUEST`` for a column whose texts are not to be compared."""
    if ask.text_column is None:
        return
    types = {one.name: one.type for one in version.spec.schema.fields}
    if types[ask.text_column] != "string":
        raise Failure(
            "INVALID_REQUEST",
            f"'textColumn': '{ask.text_column}' holds no texts.",
            details={
                "field": "textColumn",
                "rule": "type",
                "allowed": [name for name, type_ in types.items() if type_ == "string"],
            },
        )
    if version.spec.record_count > MOST_TEXTS:
        raise Failure(
            "INVALID_REQUEST",
            f"'textColumn' is for at most {MOST_TEXTS:,} rows. Split without it, or a sample.",
            details={"field": "textColumn", "rule": "rows", "allowed": MOST_TEXTS},
        )


@operation(
    datasets,
    "split",
    check=check,
    compute=MEMORY,
    errors=("DATASET_NOT_FOUND",),
    examples={"request": {"method": "stratified", "column": "Exited", "seed": 7}},
)
async def split(job: Job, item: Item[Dataset], ask: SplitRequest) -> SplitResult:
    """Split a version reproducibly.

    Each part becomes a version, such as `1.0.0-train`. The same seed gives the same parts on every
    machine. What the parts share is reported.
    """
    from modelyard.catalog.datasets.dividing import divide

    source = await keeping.found(job.context, item, ask.version)
    with tempfile.TemporaryDirectory(prefix="modelyard-split-") as folder:
        data = Path(folder) / "table.parquet"
        await keeping.fetch(job.context, source.spec.data, data)
        job.progress(0.2, "dividing")
        made = await asyncio.to_thread(divide, data, ask, Path(folder))
        job.progress(0.8, "storing the parts")
        refs = [await _stored(job, file) for file in made.files]

        async def stage() -> list[Item[Version]]:
            return await _staged(job, item, ask, source, made, refs)

        parts = await keeping.decided(job, stage)
    return SplitResult(
        version=source.id,
        seed=ask.seed,
        parts=[
            SplitPart(name=name, version=part.id, record_count=part.spec.record_count)
            for name, part in zip(ask.fractions, parts, strict=True)
        ],
        leakage=made.leakage,
    )


async def _stored(job: Job, file: Path) -> str:
    """Keep a part's table. Without a version that refers to it, it goes again."""
    body = Kept(file)

    async def stage() -> str:
        return await job.context.artifacts.put(body, name=file.name, media_type=keeping.PARQUET)

    return await keeping.decided(job, stage)


async def _staged(
    job: Job,
    item: Item[Dataset],
    ask: SplitRequest,
    source: Item[Version],
    made: Divided,
    refs: list[str],
) -> list[Item[Version]]:
    context, parts = job.context, []
    for at, (name, data) in enumerate(zip(ask.fractions, refs, strict=True)):
        own_id = "-".join(one for one in (source.id, ask.name, name) if one)
        spec = Version(
            description=f"{name}: {ask.fractions[name]:g} of {source.id}, {ask.method}, seed "
            f"{ask.seed}",
            origin="split",
            size=await context.artifacts.size(data),
            record_count=made.rows[at],
            schema=source.spec.schema,
            null_values=source.spec.null_values,
            data=data,
            type=source.spec.type,
            archive=source.spec.archive,
            index=source.spec.index,
            parent=source.id,
            part=name,
            operation=job.name,
            privacy=source.spec.privacy,
        )
        spec, _ = await carried(context, item.spec.privacy, spec)
        parts.append(await _part(context, source, own_id, spec))
    now = await keeping.now(context, item)
    await context.update(
        now, structs.replace(now.spec, splits=ask.fractions), verb="split", unchecked=True
    )
    return parts


async def _part(
    context: Context, source: Item[Version], own_id: str, spec: Version
) -> Item[Version]:
    """Stage a part, unless it is there. Raises ``CONFLICT`` where it is another."""
    above = source.row.address
    row = await context.ports.store.get(
        Address(versions.kind, above.workspace, above.parent, own_id)
    )
    if row is None:
        made = await context.create(
            versions, spec, own_id=own_id, parent=above.parent, unchecked=True
        )
        context.edge(made.name, "wasDerivedFrom", source.name)
        return made
    before = Item(versions, row)
    if before.spec.data != spec.data:
        raise Failure(
            "CONFLICT",
            f"There is a version {own_id} with other rows, of another split. Give this split a "
            "'name' of its own.",
            details={"field": "name", "resource": before.name},
        )
    return before
