"""Constraints that a dataset enforces: a version that breaks them is none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import msgspec

from modelyard.catalog.datasets import keeping
from modelyard.catalog.datasets.schema import Dataset
from modelyard.jobs.job import Job
from modelyard.kernel.context import Item
from modelyard.ml.checks import Validation
from modelyard.protocol.errors import Failure

_SAMPLES = 10


async def enforce(job: Job, item: Item[Dataset], data: Path) -> None:
    """Raise ``DATA_VALIDATION_FAILED`` for a table that breaks what its dataset enforces."""
    from modelyard.ml.constraints import Unusable, validate

    dataset = await keeping.now(job.context, item)
    wanted = dataset.spec.constraints
    if not dataset.spec.enforce or not wanted:
        return
    job.check()
    try:
        found = await asyncio.to_thread(validate, data, wanted, _SAMPLES)
    except Unusable as error:
        raise Failure(
            "DATA_VALIDATION_FAILED",
            f"{dataset.name} enforces constraints that these columns do not fit: {error}. Nothing "
            "was kept: mend the file, or the dataset's 'constraints'.",
            details={"field": f"constraints[{error.at}].{error.field}", "reason": error.reason},
        ) from error
    if not found.passed:
        raise _failure(dataset.name, found)


def _failure(name: str, found: Validation) -> Failure:
    broken: list[dict[str, Any]] = [
        msgspec.to_builtins(one) for one in found.verdicts if not one.passed
    ]
    first = broken[0]
    rows = [one["row"] for one in first["samples"]]
    where = f", such as row {rows[0]}" if rows else ""
    return Failure(
        "DATA_VALIDATION_FAILED",
        f"{name} enforces constraints, and {len(broken)} of them are broken: "
        f"{first['constraint']['check']} by {first['broken']} of {first['checked']}{where}. "
        "Nothing was kept: mend the rows, or the dataset's 'constraints'.",
        details={"field": "constraints", "verdicts": broken},
    )
