"""Transformations in a worker: a recipe makes a version of a version."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from modelyard.catalog.datasets import datasets, keeping
from modelyard.catalog.datasets.analysis import analyzing
from modelyard.catalog.datasets.privacy.carrying import untold as without
from modelyard.catalog.datasets.privacy.schema import VersionPrivacy
from modelyard.catalog.datasets.referring import referred
from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.sharing.rules import permit
from modelyard.catalog.datasets.transforming import naming
from modelyard.catalog.datasets.transforming.requests import Transformation
from modelyard.catalog.datasets.transforming.schema import Recipe
from modelyard.catalog.datasets.transforming.tracing import (
    held,
    passed_on,
    traced,
    untold,
)
from modelyard.catalog.datasets.validating import enforcing
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs import kinds
from modelyard.jobs.job import Job
from modelyard.jobs.schema import Compute
from modelyard.kernel.context import Context, Item

if TYPE_CHECKING:
    from modelyard.catalog.datasets.privacy.scanning import Found
    from modelyard.catalog.datasets.transforming.cooking import Made

MEMORY = Compute(memory_bytes=1 << 30)
_FETCHED, _MADE = 0.2, 0.9  # of the work is done when the tables are here, and when it is made


async def work(job: Job, item: Item[Dataset], ask: Transformation) -> Item[Version]:
    """Apply a recipe, and keep what comes of it as a version."""
    from modelyard.catalog.datasets.privacy.scanning import sampled
    from modelyard.catalog.datasets.transforming.cooking import cook

    context = job.context
    source = await keeping.found(context, item, ask.source)
    joined = {name: await referred(context, item, ref) for name, ref in ask.tables.items()}
    target = item if ask.target == item.id else await context.get(datasets, ask.target)
    permit(context, target.row, target.spec.access, "dataset:transform")

    await naming.refuse(context, item, source, joined, ask.steps)

    def told(share: float, message: str) -> None:
        job.check()
        job.progress(_FETCHED + (_MADE - _FETCHED) * share, message)

    with tempfile.TemporaryDirectory(prefix="modelyard-transform-") as folder:
        data = Path(folder) / "table.parquet"
        job.progress(0.0, "fetching the tables")
        await keeping.fetch(context, source.spec.data, data)
        tables = {}
        for number, (name, version) in enumerate(joined.items()):
            tables[name] = Path(folder) / f"joined-{number}.parquet"
            await keeping.fetch(context, version.spec.data, tables[name])
        made = await asyncio.to_thread(cook, data, ask, tables, Path(folder) / "made.parquet", told)
        await enforcing.enforce(job, target, made.data)
        found = await asyncio.to_thread(sampled, made.data)
        job.progress(_MADE, "storing the table")
        privacy, recipe = await _told(context, item, target, source, joined, ask, made, found)
        made = structs.replace(made, schema=without(made.schema, privacy.findings))
        return await _kept(job, target, source, recipe, ask, made, privacy)


async def _told(
    context: Context,
    item: Item[Dataset],
    target: Item[Dataset],
    source: Item[Version],
    joined: dict[str, Item[Version]],
    ask: Transformation,
    made: Made,
    found: Found,
) -> tuple[VersionPrivacy, Recipe]:
    """What is told of the result: what is personal in it by another name, too, and its recipe."""
    personal = await naming.personal(context, item, [source, *joined.values()])
    own = held(source) if source.name in personal else {}
    others = {name: held(one) for name, one in joined.items() if one.name in personal}
    unknown = [one for one in personal.values() if not held(one)]  # the owner says so
    declared = any(one.row.address.parent != target.name for one in unknown)
    of = traced(ask.steps, own, others, made.schema)
    learnt = untold(ask.steps, own, others, made.learnt)
    if ask.untold or unknown:
        learnt = [{} for _ in made.learnt]
    tables = {name: version.name for name, version in joined.items()}
    recipe = Recipe(source=source.name, steps=ask.steps, tables=tables, learnt=learnt)
    return passed_on(found.privacy, of, declared=declared), recipe


async def _kept(
    job: Job,
    target: Item[Dataset],
    source: Item[Version],
    recipe: Recipe,
    ask: Transformation,
    made: Made,
    privacy: VersionPrivacy,
) -> Item[Version]:
    context = job.context
    body = keeping.Kept(made.data)

    async def stage() -> Item[Version]:
        dataset = await keeping.now(context, target)
        data = await context.artifacts.put(body, name="table.parquet", media_type=keeping.PARQUET)
        spec = Version(
            description=ask.description,
            origin="transform",
            size=made.data.stat().st_size,
            record_count=made.rows,
            schema=made.schema,
            null_values=made.null_values,
            data=data,
            type=source.spec.type,
            archive=source.spec.archive,
            index=source.spec.index,
            recipe=recipe,
            learnt=[] if made.learnt == recipe.learnt else made.learnt,
            operation=job.name,
            privacy=privacy,
        )
        add = analyzing.add if ask.analyze else keeping.add
        version = await add(context, dataset, spec, ask.new_version)
        if version.spec.operation == job.name:  # else the same table was there before
            for name in dict.fromkeys([source.name, *recipe.tables.values()]):
                context.edge(version.name, "wasDerivedFrom", name)
        return version

    return await keeping.decided(job, stage)


TRANSFORM = kinds.kind(
    "dataset.transform", work, resource=datasets, permission="dataset:transform", compute=MEMORY
)
