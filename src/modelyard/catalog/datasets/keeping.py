"""What is written of versions: all of it in one commit, decided anew where others came between."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from msgspec import structs

from modelyard.catalog.datasets import datasets, numbering
from modelyard.catalog.datasets.privacy import rules
from modelyard.catalog.datasets.privacy.carrying import carried
from modelyard.catalog.datasets.schema import (
    Dataset,
    DatasetStatistics,
)
from modelyard.catalog.datasets.sharing.keeping import inherited
from modelyard.catalog.datasets.versions import versions
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs.job import Job
from modelyard.kernel import names
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Address, Query, Refused
from modelyard.protocol.asgi import Inflow
from modelyard.protocol.errors import Failure
from modelyard.protocol.filtering import And, Compare

T = TypeVar("T")
PARQUET = "application/vnd.apache.parquet"
_TRIES = 9  # to decide anew what another changed meanwhile
_CHUNK = 1024 * 1024


class Kept(Inflow):
    """A file on its way into the artifacts: sent once, however often it is decided."""

    def __init__(self, path: Path) -> None:
        super().__init__({}, None)
        self.path = path

    async def __aiter__(self) -> AsyncGenerator[bytes, None]:
        """Its parts."""
        with self.path.open("rb") as stream:
            while part := stream.read(_CHUNK):
                yield part


async def fetch(
    context: Context, ref: str, target: Path, told: Callable[[int], None] | None = None
) -> None:
    """Write an artifact to a file; ``told`` is told how many bytes there are until now."""
    done = 0
    with target.open("wb") as stream:
        async for part in context.artifacts.open(ref):
            stream.write(part)
            done += len(part)
            if told is not None:
                told(done)


async def decided(job: Job, stage: Callable[[], Awaitable[T]]) -> T:
    """Stage and commit; anew where another change came between."""
    for attempt in range(_TRIES):
        try:
            made = await stage()
            await inherited(job.context)
            for write in job.context.commit.writes:
                if write.expected is None and write.row.address.kind == versions.kind:
                    job.context.edge(write.row.address.name, "wasGeneratedBy", job.name)
            await job.commit()
        except Refused as refused:
            if refused.reason not in ("stale", "exists") or attempt == _TRIES - 1:
                raise
            job.context.forget()
            continue
        return made
    raise AssertionError("unreachable")


async def found(
    context: Context, dataset: Item[Dataset], own_id: str | None, *, use: bool = True
) -> Item[Version]:
    """A version, the newest where none is named; to ``use`` its data, or only to tell of it.

    Raises ``DATASET_NOT_FOUND``, ``DATA_PRIVACY_VIOLATION``.
    """
    wanted = own_id or dataset.spec.version
    if wanted is None:
        raise Failure(
            "DATASET_NOT_FOUND",
            f"{dataset.name} has no version yet. Upload a file to it.",
            details={"field": "version", "resource": dataset.name},
        )
    address = Address(versions.kind, dataset.row.address.workspace, dataset.name, wanted)
    row = await context.ports.store.get(address)
    if row is None or row.deleted_at is not None:
        raise Failure(
            "DATASET_NOT_FOUND",
            f"{dataset.name} has no version {wanted}. GET /v1/{dataset.name}/versions lists them.",
            details={"field": "version", "resource": address.name},
        )
    version = Item(versions, row)
    if use:
        rules.check(context, dataset, version)
    return version


async def now(context: Context, dataset: Item[Dataset]) -> Item[Dataset]:
    """The dataset as it is at this moment. Raises ``NOT_FOUND``."""
    row = await context.ports.store.get(dataset.row.address)
    if row is None or row.deleted_at is not None:
        raise names.missing(dataset.row.address)
    return Item(datasets, row)


async def like(context: Context, dataset: Item[Dataset], data: str) -> Item[Version] | None:
    """The version with the same table, that is no part of another."""
    same = Compare(versions.filterable["data"], "=", data)
    whole = Compare(versions.filterable["part"], "=", "")
    query = Query(
        kind=versions.kind,
        workspace=dataset.row.address.workspace,
        parent=dataset.name,
        filter=And((same, whole)),
        size=1,
    )
    rows = await context.ports.store.page(query)
    return Item(versions, rows[0]) if rows else None


async def add(
    context: Context, dataset: Item[Dataset], spec: Version, wanted: str | None
) -> Item[Version]:
    """Stage a version, and what the dataset tells of it; the same table is the same version."""
    before = await like(context, dataset, spec.data)
    if before is not None:
        return before
    head = dataset.spec
    spec, privacy = await carried(context, head.privacy, spec)
    if wanted is None:
        number = numbering.following(head.version, head.schema, spec.schema)
    else:
        number = numbering.check(wanted, head.version)
    made = await context.create(versions, spec, own_id=number, parent=dataset.name, unchecked=True)
    if spec.original:
        context.edge(made.name, "wasDerivedFrom", f"artifacts/{spec.original}")
    after = structs.replace(
        head,
        type=spec.type or head.type,
        format=spec.dialect.format if spec.dialect else None,
        size=spec.size,
        record_count=spec.record_count,
        version=number,
        status="available",
        schema=spec.schema,
        statistics=DatasetStatistics(null_values=spec.null_values),
        quality=None,
        privacy=privacy,
        storage=structs.replace(head.storage, location=f"artifacts/{spec.data}"),
    )
    await context.update(dataset, after, verb="upload", unchecked=True)
    return made
