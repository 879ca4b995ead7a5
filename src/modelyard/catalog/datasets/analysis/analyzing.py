"""Analyses: the figures of a version, worked out by a worker and kept as an artifact."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
from msgspec import structs

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.analysis import kept
from modelyard.catalog.datasets.analysis.schema import (
    Analysis,
    AnalyzeRequest,
    AnalyzeResult,
)
from modelyard.catalog.datasets.schema import Dataset, DatasetQuality, DatasetStatistics
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs import kinds
from modelyard.jobs.job import Job
from modelyard.jobs.kinds import Submit
from modelyard.jobs.operations import operations
from modelyard.jobs.schema import Compute
from modelyard.kernel.context import Context, Item
from modelyard.ml.figures import statistics
from modelyard.protocol.errors import Failure, timestamp

MEMORY = Compute(memory_bytes=1 << 30)
AFTER_UPLOAD = 2  # the priority of those that nobody asked for
_PERMISSION = "dataset:analyze"
_FETCHED, _FOUND = 0.1, 0.95  # of the work is done when the table is here, and when it is looked at


@datasets.post(
    "analyze",
    response=operations.types.view,
    status=202,
    errors=(
        "CONFLICT",
        "DATASET_NOT_FOUND",
        "DATA_PRIVACY_VIOLATION",
        "INSUFFICIENT_RESOURCES",
        "GPU_UNAVAILABLE",
    ),
    examples={"request": {"target": "Exited", "key": ["CustomerId"]}},
)
async def analyze(
    context: Context, item: Item[Dataset], ask: AnalyzeRequest, query: Submit
) -> dict[str, Any]:
    """Analyze a version: its statistics, profile and quality.

    They are kept with the version, and shown by the dataset where the version is the newest. An
    upload is followed by an analysis by itself.
    """
    version = await keeping.found(context, item, ask.version)
    ask = await _completed(context, item, version, ask)
    ask = structs.replace(ask, version=version.id, reference_date=_day(ask.reference_date))
    await _check(context, item, version, ask)
    started = await kinds.start(context, ANALYZE, ask, item=item, priority=query.priority)
    spec = structs.replace(version.spec, analysis_operation=started.name)
    await context.update(version, spec, verb="analyze", unchecked=True)
    return operations.show(started.row)


async def add(
    context: Context, dataset: Item[Dataset], spec: Version, wanted: str | None
) -> Item[Version]:
    """As ``keeping.add``; what is new is analyzed in an operation of its own.

    Not where the caller may not analyze. Raises ``CONFLICT``.
    """
    if not _may(context, dataset):
        return await keeping.add(context, dataset, spec, wanted)
    own_id = operations.new_id()
    planned = structs.replace(spec, analysis_operation=f"{operations.kind}/{own_id}")
    made = await keeping.add(context, dataset, planned, wanted)
    if made.spec.analysis_operation == planned.analysis_operation:  # else it was there before
        ask = await _completed(context, dataset, made, AnalyzeRequest(version=made.id))
        await kinds.start(context, ANALYZE, ask, item=dataset, priority=AFTER_UPLOAD, own_id=own_id)
    return made


def _may(context: Context, dataset: Item[Dataset]) -> bool:
    try:
        context.check(_PERMISSION, dataset.row)
    except Failure:
        return False
    return True


async def work(job: Job, item: Item[Dataset], ask: AnalyzeRequest) -> AnalyzeResult:
    """Work out the figures, and keep them."""
    from modelyard.catalog.datasets.analysis.computing import figures

    source = await keeping.found(job.context, item, ask.version)

    def told(share: float, message: str) -> None:
        job.check()
        job.progress(_FETCHED + (_FOUND - _FETCHED) * share, message)

    with tempfile.TemporaryDirectory(prefix="modelyard-analysis-") as folder:
        data = Path(folder) / "table.parquet"
        await keeping.fetch(job.context, source.spec.data, data)
        truth = await _truth(job.context, item, ask, Path(folder))
        used, profile, quality = await asyncio.to_thread(figures, data, ask, truth, told)
        made = Analysis(
            version=source.id,
            analyzed_at=timestamp(),
            operation=job.name,
            asked=used,
            profile=profile,
            quality=quality,
        )
        file = Path(folder) / "analysis.json"
        file.write_bytes(msgspec.json.encode(made))
        shares = _statistics(made, source)
        await keeping.decided(job, lambda: _stage(job, item, made, shares, keeping.Kept(file)))
    return AnalyzeResult(version=source.id, statistics=shares, quality=_quality(made))


async def _stage(
    job: Job, item: Item[Dataset], made: Analysis, shares: DatasetStatistics, body: keeping.Kept
) -> None:
    context = job.context
    dataset = await keeping.now(context, item)
    version = await keeping.found(context, dataset, made.version)
    ref = await context.artifacts.put(
        body, name=f"analysis-{made.version}.json", media_type="application/json"
    )
    spec = structs.replace(version.spec, analysis=ref)
    await context.update(version, spec, verb="analyze", unchecked=True)
    if dataset.spec.version == made.version:
        after = structs.replace(dataset.spec, statistics=shares, quality=_quality(made))
        await context.update(dataset, after, verb="analyze", unchecked=True)


def _statistics(made: Analysis, version: Item[Version]) -> DatasetStatistics:
    """Those that everybody reads who reads the dataset: no values of a column of personal data."""
    shares = msgspec.convert(statistics(made.profile), DatasetStatistics, from_attributes=True)
    findings = version.spec.privacy.findings if version.spec.privacy else []
    if made.profile.target in {one.column for one in findings}:
        return structs.replace(shares, class_distribution={})
    return shares


def _quality(made: Analysis) -> DatasetQuality:
    return msgspec.convert(made.quality, DatasetQuality, from_attributes=True)


async def _truth(
    context: Context, item: Item[Dataset], ask: AnalyzeRequest, folder: Path
) -> Path | None:
    """A copy of the rows that are known to be right, if some were named."""
    version = await _reference(context, item, ask)
    if version is None:
        return None
    data = folder / "truth.parquet"
    await keeping.fetch(context, version.spec.data, data)
    return data


async def _reference(
    context: Context, item: Item[Dataset], ask: AnalyzeRequest
) -> Item[Version] | None:
    if ask.reference is None:
        return None
    own_id = ask.reference.dataset
    dataset = item if own_id is None else await context.get(datasets, own_id)
    return await keeping.found(context, dataset, ask.reference.version)


async def _completed(
    context: Context, item: Item[Dataset], version: Item[Version], ask: AnalyzeRequest
) -> AnalyzeRequest:
    """With the target and the key of the last analysis, where it has those columns."""
    if ask.target is not None and ask.key is not None:
        return ask
    before = await kept.last(context, item, version)
    if before is None:
        return ask
    names = {one.name for one in version.spec.schema.fields}
    target, key = before.asked.target, before.asked.key or []
    return structs.replace(
        ask,
        target=ask.target or (target if target in names else None),
        key=ask.key if ask.key is not None else [one for one in key if names.issuperset(key)],
    )


async def _check(
    context: Context, item: Item[Dataset], version: Item[Version], ask: AnalyzeRequest
) -> None:
    """Refuse at the door what cannot be done."""
    names = [one.name for one in version.spec.schema.fields]
    wanted = [("target", ask.target), *(("key", one) for one in ask.key or [])]
    for field, name in wanted:
        if name is not None and name not in names:
            raise Failure(
                "INVALID_REQUEST",
                f"'{field}': there is no column '{name}' in {version.id}.",
                details={"field": field, "rule": "column", "allowed": names},
            )
    truth = await _reference(context, item, ask)
    if truth is None:
        return
    known = {one.name for one in truth.spec.schema.fields}
    if not ask.key or not known.issuperset(ask.key):
        raise Failure(
            "INVALID_REQUEST",
            f"'reference' needs a 'key' of columns that {truth.name} has, too.",
            details={"field": "key", "rule": "reference", "allowed": sorted(known & set(names))},
        )


def _day(text: str | None) -> str | None:
    try:
        return text and date.fromisoformat(text).isoformat()
    except ValueError:
        raise Failure(
            "INVALID_REQUEST",
            f"'referenceDate': '{text}' is no day. Write it as 2026-11-30.",
            details={"field": "referenceDate", "rule": "day"},
        ) from None


ANALYZE = kinds.kind(
    "dataset.analyze", work, resource=datasets, permission=_PERMISSION, compute=MEMORY
)
