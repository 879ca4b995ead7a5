"""What can be done with datasets, beside reading about them and changing what is said of them."""

from __future__ import annotations

import codecs
from typing import Any

from msgspec import structs

import modelyard.catalog.datasets.analysis.telling
import modelyard.catalog.datasets.cards.methods
import modelyard.catalog.datasets.comparing.asking
import modelyard.catalog.datasets.media.methods
import modelyard.catalog.datasets.paging.methods
import modelyard.catalog.datasets.privacy.methods
import modelyard.catalog.datasets.sharing.methods
import modelyard.catalog.datasets.splitting
import modelyard.catalog.datasets.transforming.asking
import modelyard.catalog.datasets.validating.asking  # noqa: F401 (they declare methods)
from modelyard.catalog.datasets import datasets, downloading, keeping, numbering
from modelyard.catalog.datasets.intake import INTAKE, Intake
from modelyard.catalog.datasets.privacy import rules
from modelyard.catalog.datasets.schema import Dataset, DownloadQuery, UploadQuery
from modelyard.catalog.datasets.validating import validations
from modelyard.catalog.datasets.versions import versions
from modelyard.catalog.datasets.versions.schema import CreateVersion
from modelyard.jobs import kinds
from modelyard.jobs.kinds import Submit
from modelyard.jobs.operations import operations
from modelyard.jobs.schema import Compute
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Query, Row, Write, position
from modelyard.kernel.resource import CREATE, DELETE, KEPT_SECONDS, Resource
from modelyard.kernel.route import Raw
from modelyard.protocol import errors
from modelyard.protocol.asgi import Inflow, Stream
from modelyard.protocol.errors import Failure

_PAGE = 1000
_OPERATION = operations.types.view
_SENDING = ("PAYLOAD_TOO_LARGE", "STORAGE_FULL", "QUOTA_EXCEEDED", "SYSTEM_OVERLOADED")
_READING = ("format", "encoding", "delimiter", "quote", "header")
_RANGES = {
    "Range": "`bytes=0-1023`: a part of stored bytes, answered with 206.",
    "If-Range": "The ETag that the other parts had: else the whole is sent.",
}


@datasets.post(
    "upload", response=_OPERATION, status=202, inflow=True, errors=("CONFLICT", *_SENDING)
)
async def upload(
    context: Context, item: Item[Dataset], body: Inflow, query: UploadQuery
) -> dict[str, Any]:
    """Upload data: a file becomes a version.

    The body is a CSV, JSONL, Parquet or text file of any size, also packed by gzip; or there is
    none, and `artifact` names what was uploaded before. How it is written is found out and told in
    the version, or overruled by the query. A worker reads it; the operation answers the version.
    """
    _check(query.version, query.encoding, item)
    ref = query.artifact
    if ref is None:
        ref = await context.artifacts.put(body, name=query.name or item.spec.name[:200])
    elif body.length:
        raise Failure(
            "INVALID_REQUEST",
            "'artifact' names the file, but there is a body, too. Send one of them.",
            details={"field": "artifact", "rule": "alone"},
        )
    else:
        await rules.reach(context, ref)
    return await _begin(context, item, ref, query, query.priority)


@versions.standard_method(
    CREATE,
    response=_OPERATION,
    status=202,
    permission="dataset:upload",
    errors=("CONFLICT",),
    examples={"request": {"artifact": "0" * 64, "name": "churn.csv"}},
)
async def create_version(context: Context, ask: CreateVersion, query: Submit) -> dict[str, Any]:
    """Create a version from an artifact that was uploaded before."""
    own_id = str(context.parent).rpartition("/")[2]
    item = await context.get(datasets, own_id)
    _check(ask.version, ask.encoding, item)
    await rules.reach(context, ask.artifact)
    return await _begin(context, item, ask.artifact, ask, query.priority)


@datasets.get(
    "download",
    response=str,
    produces="application/octet-stream",
    headers=_RANGES,
    errors=(
        "DATASET_NOT_FOUND",
        "RANGE_NOT_SATISFIABLE",
        "SYSTEM_OVERLOADED",
        "INSUFFICIENT_RESOURCES",
        "STORAGE_FULL",
    ),
)
async def download(context: Context, item: Item[Dataset], query: DownloadQuery) -> Stream | Raw:
    """Download data: a version as it was uploaded, or as CSV, JSONL or Parquet."""
    version = await keeping.found(context, item, query.version)
    return await downloading.answer(context, version, query)


@datasets.standard_method(DELETE, status=204, errors=("ETAG_MISMATCH",))
async def delete(context: Context, item: Item[Dataset]) -> None:
    """Delete a dataset with its versions.

    They go for good after 30 days; until then the dataset can be brought back.
    """
    context.delete(item)
    commit = context.commit
    commit.writes[-1] = structs.replace(commit.writes[-1], guard=False)
    await _mark(context, item, errors.now() + KEPT_SECONDS)


@datasets.post(
    "undelete", place={"deleted": True}, permission="dataset:delete", response=datasets.types.view
)
async def undelete(context: Context, item: Item[Dataset]) -> Item[Dataset]:
    """Bring back a deleted dataset with its versions."""
    await _mark(context, item, None)
    return context.restore(item)


def _check(version: str | None, encoding: str | None, item: Item[Dataset]) -> None:
    """Refuse at the door what a worker would refuse later."""
    if version is not None:
        numbering.check(version, item.spec.version)
    try:
        codecs.lookup(encoding or "utf-8")
    except LookupError:
        raise Failure(
            "INVALID_REQUEST",
            f"'encoding': '{encoding}' is none that is known. Try utf-8, cp1252 or latin-1.",
            details={"field": "encoding", "rule": "known"},
        ) from None


async def _begin(
    context: Context, item: Item[Dataset], ref: str, given: Any, priority: int | None
) -> dict[str, Any]:
    ask = Intake(
        artifact=ref,
        size=await _size(context, ref),
        name=given.name,
        version=given.version,
        description=given.description,
        max_faults=given.max_faults,
        analyze=given.analyze,
        compute=None if given.memory_bytes is None else Compute(memory_bytes=given.memory_bytes),
        **{name: getattr(given, name) for name in _READING},
    )
    started = await kinds.start(context, INTAKE, ask, item=item, priority=priority)
    return operations.show(started.row)


async def _size(context: Context, ref: str) -> int:
    """The bytes of an artifact, which may be staged only."""
    for write in context.commit.writes:
        if write.row.address.kind == "artifacts" and write.row.address.id == ref:
            return int(write.row.spec["size"])
    return await context.artifacts.size(ref)


async def _mark(context: Context, item: Item[Dataset], purge_at: float | None) -> None:
    """Stage when the versions go for good, with what was found in them.

    They keep what they refer to until then.
    """
    for resource in (versions, validations):
        await _mark_all(context, resource, item, purge_at)


async def _mark_all(
    context: Context, resource: Resource[Any], item: Item[Dataset], purge_at: float | None
) -> None:
    query = Query(
        kind=resource.kind,
        workspace=item.row.address.workspace,
        parent=item.name,
        size=_PAGE,
    )
    while rows := await context.ports.store.page(query):
        context.commit.writes += [_marked(resource, row, purge_at) for row in rows]
        query = structs.replace(query, after=position(query, rows[-1]))


def _marked(resource: Resource[Any], row: Row, purge_at: float | None) -> Write:
    after = structs.replace(row, revision=row.revision + 1, purge_at=purge_at)
    return Write(
        row=after,
        expected=row.revision,
        before=row,
        references=resource.references(row, frozenset()),
    )
