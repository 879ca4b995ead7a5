"""Versions that go for good, with their bytes: on demand, and where their time is over."""

from __future__ import annotations

from msgspec import structs

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.privacy import durations
from modelyard.catalog.datasets.privacy.schema import PurgeResult
from modelyard.catalog.datasets.schema import Dataset, DatasetPrivacy, DatasetStorage
from modelyard.catalog.datasets.validating import validations
from modelyard.catalog.datasets.versions import versions
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs.job import Job
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Query, Refused, Row, Write, position
from modelyard.protocol import errors
from modelyard.protocol.filtering import Compare

_PAGE = 1000
_TRIES = 9


async def every(context: Context, dataset: Item[Dataset]) -> list[Item[Version]]:
    """All versions of a dataset, the newest first."""
    return [Item(versions, row) for row in await _below(context, dataset, versions.kind)]


async def _below(context: Context, dataset: Item[Dataset], kind: str) -> list[Row]:
    query = Query(
        kind=kind,
        workspace=dataset.row.address.workspace,
        parent=dataset.name,
        size=_PAGE,
        deleted=True,
    )
    found: list[Row] = []
    while rows := await context.ports.store.page(query):
        found += rows
        query = structs.replace(query, after=position(query, rows[-1]))
    return found


def expired(dataset: Item[Dataset], known: list[Item[Version]], now: float) -> list[Item[Version]]:
    """The versions whose time is over; a part goes with its whole."""
    if dataset.spec.storage.retention is None:
        return []
    last = durations.parse(dataset.spec.storage.retention).before(now)
    return _with_parts([one for one in known if one.row.created_at < last], known)


def named(own_id: str, known: list[Item[Version]]) -> list[Item[Version]]:
    """A version with its parts."""
    return _with_parts([one for one in known if one.id == own_id], known)


def _with_parts(some: list[Item[Version]], known: list[Item[Version]]) -> list[Item[Version]]:
    ids = {one.id for one in some}
    return [one for one in known if one.id in ids or one.spec.parent in ids]


async def remove(
    job: Job, dataset: Item[Dataset], doomed: list[Item[Version]], *, whole: bool = False
) -> PurgeResult:
    """Remove versions, with ``whole`` their dataset, too; then all bytes that nothing else needs.

    Raises ``Refused`` where something refers to them.
    """
    for attempt in range(_TRIES):
        try:
            gone = await _stage(job.context, dataset, doomed, whole=whole)
            await job.commit()
            break
        except Refused as refused:
            if refused.reason != "stale" or attempt == _TRIES - 1:
                raise
            job.context.forget()
            dataset = await keeping.now(job.context, dataset)
    names = [one.name for one in gone]
    refs = [ref for one in gone for ref in versions.references(one.row, frozenset())]
    if whole:
        refs += datasets.references(dataset.row, frozenset())
    own = (ref.target.id for ref in refs if ref.target.kind == "artifacts")
    return await _collected(job.context, names, list(dict.fromkeys(own)))


async def _collected(context: Context, names: list[str], refs: list[str]) -> PurgeResult:
    sizes = {ref: await context.artifacts.purge(ref) for ref in refs}
    return PurgeResult(
        versions=names,
        artifacts=sum(size > 0 for size in sizes.values()),
        bytes=sum(sizes.values()),
        kept=[ref for ref, size in sizes.items() if not size],
    )


async def _stage(
    context: Context, dataset: Item[Dataset], doomed: list[Item[Version]], *, whole: bool
) -> list[Item[Version]]:
    """The versions that go, as they are now."""
    known = await every(context, dataset)
    ids = {one.id for one in (known if whole else doomed)}
    gone = [one for one in known if one.id in ids]
    for one in gone:
        context.commit.writes.append(_gone(one.row, guard=True))
        told = {"id": one.id, "data": one.spec.data, "original": one.spec.original}
        context.event(one.name, verb="dataset.purge", kind=versions.kind, before=told)
    for row in await _below(context, dataset, validations.kind):
        if whole or row.spec.get("version") in ids:  # it shows some of the rows
            context.commit.writes.append(_gone(row, guard=False))
    if whole:
        context.commit.writes.append(_gone(dataset.row, guard=False))
        told = {"id": dataset.id, "name": dataset.spec.name}
        context.event(dataset.name, verb="dataset.purge", kind=datasets.kind, before=told)
        return gone
    left = [one for one in known if one.id not in ids]
    if dataset.spec.version in ids:
        await context.update(dataset, head(dataset.spec, left), verb="purge", unchecked=True)
    return gone


def _gone(row: Row, *, guard: bool) -> Write:
    after = structs.replace(row, revision=row.revision + 1, deleted_at=errors.now())
    return Write(row=after, expected=row.revision, remove=True, guard=guard)


def head(before: Dataset, left: list[Item[Version]]) -> Dataset:
    """What a dataset tells once its newest version is one of ``left``, the newest first."""
    whole = [one for one in left if not one.spec.part]
    own = DatasetStorage(
        retention=before.storage.retention, partitioning=before.storage.partitioning
    )
    said = before.privacy
    if not whole:
        empty = Dataset(name=before.name)
        return structs.replace(
            before,
            **{name: getattr(empty, name) for name in _OF_DATA},
            storage=own,
            privacy=_without_data(said),
        )
    newest, found = whole[0], whole[0].spec.privacy
    return structs.replace(
        before,
        **{name: getattr(Dataset(name=before.name), name) for name in _OF_DATA},
        format=newest.spec.dialect.format if newest.spec.dialect else None,
        size=newest.spec.size,
        record_count=newest.spec.record_count,
        version=newest.id,
        status="available",
        schema=newest.spec.schema,
        storage=structs.replace(own, location=f"artifacts/{newest.spec.data}"),
        privacy=said
        if found is None
        else structs.replace(
            said,
            contains_pii=found.contains_pii if said.declared is None else said.declared,
            anonymized=found.anonymized,
            encryption_type=found.encryption_type,
        ),
    )


_OF_DATA = (
    "format", "size", "record_count", "version", "status", "schema", "statistics", "quality",
    "splits",
)  # fmt: skip


def _without_data(said: DatasetPrivacy) -> DatasetPrivacy:
    return structs.replace(
        said, contains_pii=bool(said.declared), anonymized=False, encryption_type=None
    )


async def overdue(context: Context) -> list[Item[Dataset]]:
    """The datasets of the workspace that keep their versions for a time."""
    has = Compare(datasets.filterable["storage.retention"], "!=", None)
    query = Query(kind=datasets.kind, workspace=context.workspace, filter=has, size=_PAGE)
    found: list[Row] = []
    while rows := await context.ports.store.page(query):
        found += rows
        query = structs.replace(query, after=position(query, rows[-1]))
    return [Item(datasets, row) for row in found]
