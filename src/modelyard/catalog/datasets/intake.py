"""From an uploaded file to a version, in a worker."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Struct, structs

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.analysis import analyzing
from modelyard.catalog.datasets.media.storing import stored
from modelyard.catalog.datasets.privacy.carrying import untold
from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.validating import enforcing
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs.job import Job
from modelyard.jobs.kinds import kind
from modelyard.jobs.schema import Compute
from modelyard.kernel.context import Item
from modelyard.kernel.fields import refers
from modelyard.protocol.errors import Failure

if TYPE_CHECKING:
    from modelyard.catalog.datasets.privacy.scanning import Found
    from modelyard.catalog.datasets.tables import Table

_READ, _STORED = 0.1, 0.9  # of the work is done when the file is here, and when it is read


class Intake(Struct, frozen=True, kw_only=True):
    """A file to read, and how. What is None is found out."""

    artifact: Annotated[str, refers("artifacts")]
    size: int
    name: str = ""
    version: str | None = None
    description: str = ""
    max_faults: int = 0
    format: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    header: bool | None = None
    analyze: bool = True
    compute: Compute | None = None


async def take_in(job: Job, item: Item[Dataset], ask: Intake) -> Item[Version]:
    """Read a file into a version."""
    with tempfile.TemporaryDirectory(prefix="modelyard-dataset-") as folder:
        file, target = Path(folder) / "original", Path(folder) / "table.parquet"
        try:
            return await _taken(job, item, ask, file, target)
        except OSError as error:
            raise Failure(
                "STORAGE_FULL",
                f"The file could not be read: {error.strerror or error}. Nothing was kept; make "
                f"room in {tempfile.gettempdir()} on the worker.",
            ) from error


async def _taken(
    job: Job, item: Item[Dataset], ask: Intake, file: Path, target: Path
) -> Item[Version]:
    table, found = await _read(job, ask, file, target)
    await enforcing.enforce(job, item, table.data)
    job.progress(_STORED, "storing the table")
    body = None if table.data == file else keeping.Kept(table.data)
    archive, index = await _files(job, ask, file, table)

    async def stage() -> Item[Version]:
        data, dataset = ask.artifact, await keeping.now(job.context, item)
        if body is not None:
            name = f"{Path(ask.name or 'table').stem}.parquet"
            data = await job.context.artifacts.put(body, name=name, media_type=keeping.PARQUET)
        spec = Version(
            description=ask.description,
            file_name=ask.name,
            size=ask.size,
            record_count=table.rows,
            schema=untold(table.schema, found.findings),
            null_values=table.null_values,
            dialect=table.dialect,
            faults=table.faults,
            original=ask.artifact,
            data=data,
            type=table.type,
            archive=archive,
            index=index,
            operation=job.name,
            privacy=found.privacy,
        )
        if not ask.analyze:
            return await keeping.add(job.context, dataset, spec, ask.version)
        return await analyzing.add(job.context, dataset, spec, ask.version)

    return await keeping.decided(job, stage)


async def _read(job: Job, ask: Intake, file: Path, target: Path) -> tuple[Table, Found]:
    """Fetch a file and read it; what is in it, and what of that is personal data."""
    from modelyard.catalog.datasets.privacy.scanning import sampled
    from modelyard.catalog.datasets.tables import read

    size = max(1, ask.size)

    def fetched(done: int) -> None:
        job.check()
        job.progress(_READ * done / size, "fetching the file")

    def told(done: int) -> None:
        job.check()
        share = min(1.0, done / size)
        of = f"of {ask.size:,} bytes" if done <= ask.size else "bytes, unpacked,"
        job.progress(_READ + (_STORED - _READ) * share, f"{done:,} {of} read")

    await keeping.fetch(job.context, ask.artifact, file, fetched)
    names = ("format", "encoding", "delimiter", "quote", "header")
    given: dict[str, Any] = {
        name: value for name in names if (value := getattr(ask, name)) is not None
    }
    table = await asyncio.to_thread(read, file, ask.name, given, target, told, ask.max_faults)
    _refuse(table.faults.count, ask, [structs.asdict(one) for one in table.faults.first])
    return table, await asyncio.to_thread(sampled, table.data)


async def _files(job: Job, ask: Intake, file: Path, table: Table) -> tuple[str | None, str | None]:
    """Where the files are that rows are of, and the index of them."""
    if table.archive is None or table.index is None:
        return None, None
    archive = ask.artifact
    if table.archive != file:
        archive = await stored(job, table.archive, "application/x-tar")
    return archive, await stored(job, table.index, "application/octet-stream")


def _refuse(count: int, ask: Intake, first: list[dict[str, Any]]) -> None:
    """Raise ``DATA_VALIDATION_FAILED`` for more unreadable rows than are allowed."""
    if count > ask.max_faults:
        one = first[0]
        raise Failure(
            "DATA_VALIDATION_FAILED",
            f"{count} rows cannot be read, and {ask.max_faults} may (maxFaults); row {one['row']}: "
            f"{one['reason']}. Nothing was kept: mend them, or allow more.",
            details={"field": "body", "faults": first, "faultCount": count},
        )


INTAKE = kind(
    "dataset.upload",
    take_in,
    resource=datasets,
    permission="dataset:upload",
    memory="memoryBytes",
)
