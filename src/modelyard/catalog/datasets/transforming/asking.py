"""What is asked of transformations: decided and checked at the door."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from modelyard.catalog.datasets import datasets, keeping, numbering, trying
from modelyard.catalog.datasets.referring import VersionRef, pinned, referred
from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.sharing.rules import permit
from modelyard.catalog.datasets.transforming import naming
from modelyard.catalog.datasets.transforming.making import TRANSFORM
from modelyard.catalog.datasets.transforming.previewing import sampled
from modelyard.catalog.datasets.transforming.requests import (
    Asked,
    PreviewRequest,
    PreviewResult,
    Transformation,
    TransformRequest,
)
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.jobs import kinds
from modelyard.jobs.kinds import Submit
from modelyard.jobs.operations import operations
from modelyard.kernel.context import Context, Item
from modelyard.protocol.errors import Failure

_STEPS: list[dict[str, Any]] = [
    {"step": "filter", "expression": "Age >= 18 and Balance is not null"},
    {"step": "derive", "column": "Rich", "expression": "Balance > 100000"},
    {"step": "encode", "column": "Geography"},
]
_REFUSALS = (
    "DATASET_NOT_FOUND",
    "DATA_PRIVACY_VIOLATION",
    "DATA_TRANSFORMATION_ERROR",
    "SYSTEM_OVERLOADED",
)


@datasets.post(
    "transform",
    response=operations.types.view,
    status=202,
    errors=("CONFLICT", "INSUFFICIENT_RESOURCES", "GPU_UNAVAILABLE", *_REFUSALS),
    examples={"request": {"version": "1.0.0", "steps": _STEPS}},
)
async def transform(
    context: Context, item: Item[Dataset], ask: TransformRequest, query: Submit
) -> dict[str, Any]:
    """Transform a version by a recipe: the result becomes a version.

    A step that does not fit the columns, or would make personal data the names of columns, is
    refused at once. What the steps learn is kept with the recipe on the version, and both lead back
    to the versions that they were applied to.
    """
    target = await _target(context, item, ask)
    source, made = await _decided(context, item, ask)
    made = structs.replace(
        made,
        target=target.id,
        new_version=ask.new_version,
        description=ask.description,
        analyze=ask.analyze,
        compute=ask.compute,
    )
    tables = {name: await referred(context, item, ref) for name, ref in made.tables.items()}
    await naming.refuse(context, item, source, tables, made.steps)
    await trying.recipe(source, tables, made.steps, made.learnt)
    started = await kinds.start(context, TRANSFORM, made, item=item, priority=query.priority)
    return operations.show(started.row)


@datasets.post(
    "preview",
    permission="dataset:transform",
    errors=_REFUSALS,
    examples={"request": {"steps": _STEPS, "rows": 5}},
)
async def preview(context: Context, item: Item[Dataset], ask: PreviewRequest) -> PreviewResult:
    """Preview a recipe on the first rows of a version. Nothing is kept."""
    source, made = await _decided(context, item, ask)
    tables = {name: await referred(context, item, ref) for name, ref in made.tables.items()}
    await naming.refuse(context, item, source, tables, made.steps)
    return await sampled(context, source, tables, made, ask)


async def _target(context: Context, item: Item[Dataset], ask: TransformRequest) -> Item[Dataset]:
    """The dataset that gets the version. Raises ``CONFLICT`` for a number that it cannot have."""
    target = item
    if ask.target is not None and ask.target != item.id:
        target = await context.get(datasets, ask.target)
        permit(context, target.row, target.spec.access, "dataset:transform")
    if ask.new_version is not None:
        numbering.check(ask.new_version, target.spec.version, "newVersion")
    return target


async def _decided(
    context: Context, item: Item[Dataset], ask: Asked
) -> tuple[Item[Version], Transformation]:
    """The version that is transformed, and what is done to it."""
    source = await keeping.found(context, item, ask.version)
    steps, learnt, refs, untold = ask.steps, None, dict(ask.tables), False
    if (ask.recipe_of is None) == (not steps):
        raise Failure(
            "INVALID_REQUEST",
            "Either 'steps' are the recipe, or 'recipeOf' names the version that has it.",
            details={"field": "steps", "rule": "one_of", "allowed": ["steps", "recipeOf"]},
        )
    if ask.recipe_of is not None:
        before = await referred(context, item, ask.recipe_of)
        recipe = before.spec.recipe
        if recipe is None:
            raise Failure(
                "INVALID_REQUEST",
                f"'recipeOf': {before.name} was made by no recipe.",
                details={"field": "recipeOf", "rule": "recipe", "resource": before.name},
            )
        steps, untold = recipe.steps, bool(before.spec.learnt)
        learnt = before.spec.learnt or recipe.learnt
        refs = {name: _named(at) for name, at in recipe.tables.items()} | refs
    tables = {name: pinned(await referred(context, item, ref)) for name, ref in refs.items()}
    return source, Transformation(
        source=source.id,
        steps=steps,
        tables=tables,
        learnt=learnt,
        target=item.id,
        untold=untold,
    )


def _named(name: str) -> VersionRef:
    """The version of a name: ``catalog/datasets/dataset_1/versions/1.0.0``."""
    above, _, version = name.rpartition("/versions/")
    return VersionRef(dataset=above.rpartition("/")[2], version=version)
