"""Validations: asked for, worked out in a worker, and kept."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from msgspec import structs

from modelyard.catalog.datasets import datasets, keeping, trying
from modelyard.catalog.datasets.privacy import rules
from modelyard.catalog.datasets.schema import Dataset
from modelyard.catalog.datasets.validating import validations
from modelyard.catalog.datasets.validating.schema import Report, ValidateRequest
from modelyard.jobs import kinds
from modelyard.jobs.job import Job
from modelyard.jobs.kinds import Submit
from modelyard.jobs.operations import operations
from modelyard.jobs.schema import Compute
from modelyard.kernel.context import Context, Item
from modelyard.protocol.errors import Failure

MEMORY = Compute(memory_bytes=1 << 30)
_ROWS = 2000  # that a report shows at most, of all constraints together


@datasets.post(
    "validate",
    response=operations.types.view,
    status=202,
    errors=(
        "DATASET_NOT_FOUND",
        "DATA_TRANSFORMATION_ERROR",
        "SYSTEM_OVERLOADED",
        "INSUFFICIENT_RESOURCES",
        "GPU_UNAVAILABLE",
    ),
    examples={
        "request": {
            "constraints": [
                {"check": "not_null", "column": "CustomerId"},
                {"check": "unique", "columns": ["CustomerId"]},
                {"check": "range", "column": "Age", "minimum": 18, "maximum": 120},
                {"check": "expression", "expression": "Balance >= 0", "threshold": 0.99},
            ]
        }
    },
)
async def validate(
    context: Context, item: Item[Dataset], ask: ValidateRequest, query: Submit
) -> dict[str, Any]:
    """Validate a version: which rows break which constraints.

    The operation answers the report, which is kept among the dataset's `validations`. A version
    that fails is no failed operation: `passed` tells.
    """
    version = await keeping.found(context, item, ask.version)
    wanted = item.spec.constraints if ask.constraints is None else ask.constraints
    if not wanted:
        raise Failure(
            "INVALID_REQUEST",
            "There are no 'constraints' to keep. Send some, or set those of the dataset.",
            details={"field": "constraints", "rule": "required"},
        )
    await trying.constraints(version, wanted)
    made = structs.replace(ask, version=version.id, constraints=wanted)
    started = await kinds.start(context, VALIDATE, made, item=item, priority=query.priority)
    return operations.show(started.row)


async def work(job: Job, item: Item[Dataset], ask: ValidateRequest) -> Item[Report]:
    """Look at every row, and keep what was found."""
    from modelyard.ml.constraints import Unusable
    from modelyard.ml.constraints import validate as applied

    context = job.context
    version = await keeping.found(context, item, ask.version)
    wanted = ask.constraints or []
    with tempfile.TemporaryDirectory(prefix="modelyard-validate-") as folder:
        data = Path(folder) / "table.parquet"
        await keeping.fetch(context, version.spec.data, data)
        job.progress(0.3, "looking at the rows")
        samples = min(ask.samples, _ROWS // len(wanted))
        try:
            found = await asyncio.to_thread(applied, data, wanted, samples)
        except Unusable as error:
            raise Failure(
                "INVALID_REQUEST",
                f"'constraints': {error}.",
                details={"field": f"constraints[{error.at}].{error.field}", "rule": "fit"},
            ) from error
    job.progress(0.9, "keeping the report")
    spec = Report(
        version=version.id,
        passed=found.passed,
        rows=found.rows,
        verdicts=rules.discreet(item, version, found.verdicts),
        operation=job.name,
    )

    async def stage() -> Item[Report]:
        made = await context.create(validations, spec, parent=item.name, unchecked=True)
        context.edge(made.name, "wasDerivedFrom", version.name)
        context.edge(made.name, "wasGeneratedBy", job.name)
        return made

    return await keeping.decided(job, stage)


VALIDATE = kinds.kind(
    "dataset.validate", work, resource=datasets, permission="dataset:validate", compute=MEMORY
)
