"""Personal data never becomes the names of columns, which everybody reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from modelyard.catalog.datasets import datasets
from modelyard.catalog.datasets.privacy import rules
from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.transforming.tracing import held, in_names
from modelyard.catalog.datasets.versions.schema import Version
from modelyard.kernel.context import Context, Item
from modelyard.ml.steps import Encode, Step
from modelyard.ml.tokens import BadExpression
from modelyard.protocol.errors import Failure


async def refuse(
    context: Context,
    item: Item[Dataset],
    source: Item[Version],
    joined: Mapping[str, Item[Version]],
    steps: Sequence[Step],
) -> None:
    """Raise ``DATA_PRIVACY_VIOLATION`` where names of columns would tell personal data.

    Asked at the door, and again by the worker: what is personal may be declared in between.
    """
    found = await personal(context, item, [source, *joined.values()])
    own = held(source) if source.name in found else {}
    others = {name: held(one) for name, one in joined.items() if one.name in found}
    declared = any(not held(one) for one in found.values())
    try:
        at = in_names(steps, own, others, declared=declared)
    except BadExpression:
        return  # the step that has it is refused by what tries the steps
    if at is not None:
        raise _violation(at, steps[at])


async def personal(
    context: Context, item: Item[Dataset], read: list[Item[Version]]
) -> dict[str, Item[Version]]:
    """Those of the versions that hold personal data, by their names."""
    found = {}
    for one in read:
        own_id = one.row.address.parent.rpartition("/")[2]
        dataset = item if own_id == item.id else await context.get(datasets, own_id)
        if rules.personal(dataset, one):
            found[one.name] = one
    return found


def _violation(at: int, step: Step) -> Failure:
    assert isinstance(step, Encode)
    field = f"steps[{at}].by"
    return Failure(
        "DATA_PRIVACY_VIOLATION",
        f"'{field}': 'one_hot' would make what is personal in '{step.column}' the names of "
        "columns, which everybody reads. Encode it as 'ordinal', or anonymise the version first, "
        "such as by 'hash'.",
        details={
            "field": field,
            "rule": "personal",
            "column": step.column,
            "allowed": ["ordinal"],
        },
    )
