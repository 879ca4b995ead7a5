"""Scanning for personal data, taking it out, and deleting for good: operations, all of them."""

from __future__ import annotations

import asyncio
import hmac
import logging
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from modelyard.auth.keys import Pepper
from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.privacy import purging, rules
from modelyard.catalog.datasets.privacy.admission import RETENTION
from modelyard.catalog.datasets.privacy.carrying import after, discreet, untold
from modelyard.catalog.datasets.privacy.schema import (
    AnonymiseRequest,
    AnonymiseResult,
    PurgeRequest,
    PurgeResult,
    ScanRequest,
    ScanResult,
    Treatment,
    VersionPrivacy,
)
from modelyard.catalog.datasets.schema import Dataset, DatasetPrivacy, DatasetStatistics
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs.job import Job
from modelyard.jobs.kinds import kind, operation
from modelyard.kernel.context import Context, Item
from modelyard.kernel.ports import Refused
from modelyard.protocol import errors
from modelyard.protocol.errors import Failure

if TYPE_CHECKING:
    from modelyard.catalog.datasets.privacy.scanning import Found
    from modelyard.catalog.datasets.privacy.treating import Plan

_PLAIN = ("integer", "number", "date", "datetime", "string", "boolean")
log = logging.getLogger("modelyard.datasets")


async def _there(context: Context, item: Item[Dataset], ask: ScanRequest) -> None:
    await keeping.found(context, item, ask.version, use=False)


@operation(
    datasets,
    "scan",
    check=_there,
    errors=("DATASET_NOT_FOUND",),
    examples={"request": {"version": "1.0.0"}},
)
async def scan(job: Job, item: Item[Dataset], ask: ScanRequest) -> ScanResult:
    """Look for personal data in a version.

    A sample of each file is looked at when it is uploaded; this looks at all rows, or at `rows`.
    What is found is kept in the version, and decides who may use it.
    """
    version = await keeping.found(job.context, item, ask.version, use=False)
    with tempfile.TemporaryDirectory(prefix="modelyard-scan-") as folder:
        data = Path(folder) / "table.parquet"
        await keeping.fetch(job.context, version.spec.data, data)
        found = await _looked(job, data, ask.rows, version.spec.record_count)

    async def stage() -> None:
        await _noted(job.context, item, version.id, found)

    await keeping.decided(job, stage)
    return ScanResult(
        version=version.id,
        contains_pii=bool(found.findings),
        scanned_rows=found.scanned,
        record_count=found.rows,
        findings=found.findings,
    )


async def _looked(job: Job, data: Path, rows: int | None, total: int) -> Found:
    from modelyard.catalog.datasets.privacy.scanning import look

    def told(done: int) -> None:
        job.check()
        job.progress(0.9 * done / max(1, rows or total), f"{done:,} rows looked at")

    return await asyncio.to_thread(look, data, rows, told)


async def _noted(context: Context, item: Item[Dataset], own_id: str, found: Found) -> None:
    """Keep what a scan found; one that looked at fewer rows takes nothing back."""
    dataset = await keeping.now(context, item)
    version = await keeping.found(context, dataset, own_id, use=False)
    before, own = version.spec.privacy, found.privacy
    if before is not None:
        if before.scanned_rows > own.scanned_rows and not own.contains_pii:
            return
        own = structs.replace(
            _with_sources(own, before),
            encryption_type=before.encryption_type,
            anonymized=before.anonymized,
        )
    said = after(dataset.spec.privacy, own)
    spec = discreet(structs.replace(version.spec, privacy=own), said)
    await context.update(version, spec, verb="scan", unchecked=True)
    if dataset.spec.version == version.id:
        whole = structs.replace(
            dataset.spec,
            privacy=said,
            schema=spec.schema,
            statistics=_untold(dataset.spec.statistics, said),
        )
        await context.update(dataset, whole, verb="scan", unchecked=True)


def _with_sources(found: VersionPrivacy, before: VersionPrivacy) -> VersionPrivacy:
    """What a scan found, with what is known of the versions that this one was made of."""
    known = {one.column for one in found.findings}
    kept = [one for one in before.findings if one.by == "source" and one.column not in known]
    declared = before.contains_pii and not before.findings
    return structs.replace(
        found,
        contains_pii=found.contains_pii or bool(kept) or declared,
        findings=[*found.findings, *kept],
    )


def _untold(shares: DatasetStatistics | None, said: DatasetPrivacy) -> DatasetStatistics | None:
    """Without the classes, which are values: the next analysis tells those that may be told."""
    if shares is None or said.anonymized or not said.contains_pii:
        return shares
    return structs.replace(shares, class_distribution={})


async def _possible(context: Context, item: Item[Dataset], ask: AnonymiseRequest) -> None:
    """Refuse at the door what cannot be done."""
    version = await keeping.found(context, item, ask.version, use=False)
    if not rules.may_use(context, item):
        raise rules.violation(
            context, item, f"{version.name} would be read for this, and holds data"
        )
    types = {one.name: one.type for one in version.spec.schema.fields}
    for one in ask.columns:
        if one.name not in types:
            raise Failure(
                "INVALID_REQUEST",
                f"'columns': there is no column '{one.name}' in {version.id}.",
                details={"field": "columns", "rule": "column", "allowed": list(types)},
            )
        if not _treatable(types[one.name], one):
            raise Failure(
                "INVALID_REQUEST",
                f"'columns': '{one.name}' is a column of {types[one.name]}, for which "
                f"'{one.method}' has no meaning. Drop it, or keep it.",
                details={"field": "columns", "rule": "type", "allowed": ["drop", "keep"]},
            )
    if types.keys() == {one.name for one in ask.columns if one.method == "drop"}:
        raise Failure(
            "INVALID_REQUEST",
            "'columns': nothing would be left. Keep a column.",
            details={"field": "columns", "rule": "left"},
        )


def _treatable(type_: str, one: Treatment) -> bool:
    if one.method in ("drop", "keep"):
        return True
    return type_ in (_PLAIN[:-1] if one.method == "generalise" else _PLAIN)


@operation(
    datasets,
    "anonymise",
    check=_possible,
    errors=("DATASET_NOT_FOUND", "DATA_PRIVACY_VIOLATION"),
    examples={"request": {"method": "hash", "columns": [{"name": "Age", "method": "generalise"}]}},
)
async def anonymise(job: Job, item: Item[Dataset], ask: AnonymiseRequest) -> AnonymiseResult:
    """Take personal data out of a version: a new version, for everybody's use.

    What is recognised is masked, hashed under a key of this dataset, or generalised; columns that
    are named are treated as a whole. What is not recognised and not named stays as it is.
    """
    context = job.context
    source = await keeping.found(context, item, ask.version, use=False)
    if not rules.may_use(context, item):
        raise rules.violation(
            context, item, f"{source.name} would be read for this, and holds data"
        )
    with tempfile.TemporaryDirectory(prefix="modelyard-anonymise-") as folder:
        data, target = Path(folder) / "table.parquet", Path(folder) / "anonymised.parquet"
        await keeping.fetch(context, source.spec.data, data)
        made, spec = await _treated(job, item, source, ask, data, target)
        body = keeping.Kept(target)

        async def stage() -> Item[Version]:
            ref = await context.artifacts.put(
                body, name=f"{source.id}-anonymised.parquet", media_type=keeping.PARQUET
            )
            whole = structs.replace(spec, data=ref, size=target.stat().st_size)
            dataset = await keeping.now(context, item)
            version = await keeping.add(context, dataset, whole, None)
            if any(write.row is version.row for write in context.commit.writes):
                context.edge(version.name, "wasDerivedFrom", source.name)
            return version

        version = await keeping.decided(job, stage)
    return AnonymiseResult(
        source=source.id,
        version=version.id,
        anonymized=version.spec.privacy is not None and version.spec.privacy.anonymized,
        columns=made.told,
    )


async def _treated(
    job: Job,
    item: Item[Dataset],
    source: Item[Version],
    ask: AnonymiseRequest,
    data: Path,
    target: Path,
) -> tuple[Plan, Version]:
    """Write the table; what was done, and the version of it without its bytes."""
    from modelyard.catalog.datasets.privacy.treating import plan, treat
    from modelyard.catalog.datasets.tables import described

    found = await _looked(job, data, None, source.spec.record_count)
    if source.spec.privacy is not None:
        whole = _with_sources(found.privacy, source.spec.privacy)
        found = structs.replace(found, findings=whole.findings)
    types = {one.name: one.type for one in source.spec.schema.fields}
    made = plan(ask, found.findings, found.rows, types)
    if not made.columns:
        raise Failure(
            "INVALID_REQUEST",
            f"Nothing was recognised in the {found.rows:,} rows of {source.id}, and no column is "
            "named. Name those to treat in 'columns'.",
            details={"field": "columns", "rule": "found"},
        )
    await asyncio.to_thread(treat, data, made, ask, _key(job.context, item), target)
    schema, _, nulls = await asyncio.to_thread(described, target)
    privacy = structs.replace(found.privacy, anonymized=made.clean)
    return made, Version(
        description=f"{source.id} without personal data" if made.clean else f"of {source.id}",
        origin="anonymise",
        record_count=found.rows,
        schema=untold(schema, found.findings),
        null_values=nulls,
        operation=job.name,
        privacy=privacy,
    )


def _key(context: Context, item: Item[Dataset]) -> bytes:
    """The key of this dataset's hashes: derived, nowhere kept, and no other dataset's."""
    purpose = f"modelyard pseudonyms {item.row.address.workspace} {item.row.uid}"
    return hmac.digest(context.of(Pepper).value, purpose.encode(), "sha256")


async def _purgeable(context: Context, item: Item[Dataset], ask: PurgeRequest) -> None:
    """Refuse at the door what cannot be done."""
    if ask.version is not None:
        await keeping.found(context, item, ask.version, use=False)
    if ask.expired and (ask.version is not None or item.spec.storage.retention is None):
        raise Failure(
            "INVALID_REQUEST",
            "'expired' goes by the dataset's 'storage.retention': set that, and name no version.",
            details={"field": "expired", "rule": "retention"},
        )


@operation(
    datasets,
    "purge",
    check=_purgeable,
    outlives=True,
    errors=("DATASET_NOT_FOUND",),
    examples={"request": {"version": "1.0.0"}},
)
async def purge(job: Job, item: Item[Dataset] | None, ask: PurgeRequest) -> PurgeResult:
    """Delete for good: a version with its parts, or the dataset; nothing can bring it back.

    The bytes are removed at once, where nothing else refers to them. What was made of the data
    elsewhere stays: the lineage tells what that is.
    """
    if item is None:  # an attempt before this one has committed that; what it left is collected
        return PurgeResult()
    known = await purging.every(job.context, item)
    doomed = known
    if ask.expired:
        doomed = purging.expired(item, known, errors.now())
    elif ask.version is not None:
        doomed = purging.named(ask.version, known)
    whole = ask.version is None and not ask.expired
    return await purging.remove(job, item, doomed, whole=whole)


async def retain(job: Job) -> PurgeResult:
    """Remove what is older than the datasets of the workspace keep it."""
    total = PurgeResult()
    for item in await purging.overdue(job.context):
        job.check()
        known = await purging.every(job.context, item)
        doomed = purging.expired(item, known, errors.now())
        if not doomed:
            continue
        try:
            gone = await purging.remove(job, item, doomed)
        except Refused as refused:
            job.context.forget()
            log.warning("%s cannot go yet: %s", refused.address.name, refused.reason)
            continue
        total = PurgeResult(
            versions=total.versions + gone.versions,
            artifacts=total.artifacts + gone.artifacts,
            bytes=total.bytes + gone.bytes,
            kept=total.kept + gone.kept,
        )
    return total


kind(RETENTION, retain, permission="dataset:purge")
