"""A recipe's work on a table. For the processes of jobs alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
from msgspec import Struct

from modelyard.catalog.datasets.schema import TableSchema
from modelyard.catalog.datasets.tables import described
from modelyard.catalog.datasets.transforming.requests import Transformation
from modelyard.ml.recipe import BadStep, applied, written
from modelyard.protocol.errors import Failure

Progress = Callable[[float, str], None]  # the share that is done, and what is being done


class Made(Struct, frozen=True, kw_only=True):
    """What came of a recipe. ``learnt`` has what each step took from the rows."""

    data: Path
    rows: int
    schema: TableSchema
    null_values: float
    learnt: list[dict[str, Any]]


def cook(
    data: Path, ask: Transformation, tables: Mapping[str, Path], target: Path, told: Progress
) -> Made:
    """Write what the recipe makes of a table to ``target``.

    Raises ``DATA_TRANSFORMATION_ERROR`` for a step that the rows do not allow, and
    ``INSUFFICIENT_DATA`` where none is left.
    """
    try:
        told(0.0, "learning of the rows")
        fitted = applied(data, ask.steps, tables, ask.learnt)
        told(0.4, "making the table")
        rows = written(fitted, target, data)
    except BadStep as error:
        raise Failure(
            "DATA_TRANSFORMATION_ERROR",
            f"{str(error)[:1].upper()}{str(error)[1:]}. Nothing was kept.",
            details={"field": f"steps[{error.at}].{error.field}", "step": error.at + 1},
        ) from error
    except pl.exceptions.PolarsError as error:
        reason = str(error).partition("\n")[0]
        raise Failure(
            "DATA_TRANSFORMATION_ERROR",
            f"The recipe cannot be applied to these rows: {reason}. Nothing was kept.",
            details={"field": "steps", "reason": reason},
        ) from error
    if not rows:
        raise Failure(
            "INSUFFICIENT_DATA",
            "No row is left by the recipe, so there is no version. Preview it step by step.",
            details={"field": "steps", "rule": "rows"},
        )
    told(0.8, f"{rows:,} rows made")
    schema, _, nulls = described(target)
    return Made(data=target, rows=rows, schema=schema, null_values=nulls, learnt=fitted.learnt)
