"""Differences of versions: asked for, and worked out in a worker."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.comparing.schema import DiffRequest, DiffResult
from modelyard.catalog.datasets.referring import referred
from modelyard.catalog.datasets.versions import versions
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs.job import Job
from modelyard.jobs.kinds import operation
from modelyard.jobs.schema import Compute
from modelyard.kernel.context import Context, Item
from modelyard.protocol.errors import Failure

MEMORY = Compute(memory_bytes=1 << 30)


async def _both(
    context: Context, item: Item[Version], ask: DiffRequest
) -> tuple[Item[Version], Item[Version]]:
    """The base and the version, if the caller may use both."""
    own_id = item.row.address.parent.rpartition("/")[2]
    dataset = await context.get(datasets, own_id)
    base = await referred(context, dataset, ask.base)
    return base, await keeping.found(context, dataset, item.id)


async def check(context: Context, item: Item[Version], ask: DiffRequest) -> None:
    """Refuse at the door a key that is not in both."""
    base, version = await _both(context, item, ask)
    old, new = (
        {each.name: each.type for each in one.spec.schema.fields} for one in (base, version)
    )
    shared = [name for name in new if old.get(name) == new[name]]
    for at, name in enumerate(ask.key):
        if name not in shared:
            raise Failure(
                "INVALID_REQUEST",
                f"'key': the column '{name}' is not in both versions with one type.",
                details={"field": f"key[{at}]", "rule": "column", "allowed": shared},
            )
    if not shared:
        raise Failure(
            "INVALID_REQUEST",
            f"'base': {base.name} has no column of the same name and type as {version.name}.",
            details={"field": "base", "rule": "columns", "found": list(old)},
        )


@operation(
    versions,
    "diff",
    check=check,
    permission="dataset:diff",
    compute=MEMORY,
    errors=("DATASET_NOT_FOUND",),
    examples={"request": {"base": {"version": "1.0.0"}, "key": ["CustomerId"]}},
)
async def diff(job: Job, item: Item[Version], ask: DiffRequest) -> DiffResult:
    """Compare a version with another: rows added, removed and changed, columns, figures."""
    from modelyard.catalog.datasets.comparing.counting import compare

    base, version = await _both(job.context, item, ask)

    def told(share: float, message: str) -> None:
        job.check()
        job.progress(share, message)

    with tempfile.TemporaryDirectory(prefix="modelyard-diff-") as folder:
        old, new = Path(folder) / "old.parquet", Path(folder) / "new.parquet"
        told(0.0, "fetching the versions")
        await keeping.fetch(job.context, base.spec.data, old)
        await keeping.fetch(job.context, version.spec.data, new)
        found, shifts = await asyncio.to_thread(compare, old, new, ask, told)
    return DiffResult(base=base.name, version=version.name, difference=found, statistics=shifts)
