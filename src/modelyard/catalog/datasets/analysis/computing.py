"""The figures of a table, in memory that is bounded. For the processes of jobs alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
from msgspec import structs
from polars import LazyFrame

from modelyard.catalog.datasets.analysis.schema import AnalyzeRequest
from modelyard.ml import rowgroups
from modelyard.ml.constraints import Constraint, Range, Unique, Unusable
from modelyard.ml.figures import Profile, Quality
from modelyard.ml.profile import profile
from modelyard.ml.quality import LOOKED_AT, Reference, quality
from modelyard.ml.reading import column, kinds, opened, streamed
from modelyard.protocol.errors import Failure

SAMPLE_BYTES = 96 << 20  # of rows that are looked at one by one
LEAST_ROWS = 100
TARGETS = ("label", "class", "target", "category", "sentiment", "y")
_PLACES, _ROWS = 8, 250  # from where so many rows each are taken, to see how long rows are
_SEEN_BYTES = 8 << 20  # at each
_CLASSES, _SEEN = 50, 20_000  # at most so many in the first rows: else it is no class

Told = Callable[[float, str], None]


def figures(
    data: Path, ask: AnalyzeRequest, truth: Path | None, told: Told
) -> tuple[AnalyzeRequest, Profile, Quality]:
    """What is found, and what was asked for with the target that was chosen.

    ``told`` is told how far it is, from 0 to 1. Raises ``DATA_VALIDATION_FAILED`` for what cannot
    be applied to the values.
    """
    frame = opened(data)
    used = structs.replace(ask, target=ask.target or chosen(frame), key=ask.key or [])
    most = min(ask.sample_rows, affordable(data))
    told(0.0, "profiling")
    made = profile(data, used.target, seed=ask.seed, whole=most)
    told(0.6, "judging the quality")
    reference = None if truth is None else Reference(truth, used.key or [])
    try:
        judged = quality(
            data, made, constraints(frame, used), reference, looked_at=min(most, LOOKED_AT)
        )
    except (Unusable, ValueError, pl.exceptions.SchemaError) as error:
        raise Failure(
            "DATA_VALIDATION_FAILED",
            f"The quality cannot be judged so: {error}. The columns of the key have to be in the "
            "reference, too, with the same types.",
            details={"field": "reference", "reason": str(error)},
        ) from error
    told(1.0, "storing the figures")
    return used, made, judged


def constraints(frame: LazyFrame, ask: AnalyzeRequest) -> list[Constraint]:
    """What follows from a key and a last day."""
    found: list[Constraint] = [Unique(columns=ask.key)] if ask.key else []
    if ask.reference_date is not None:
        ends = {"date": ask.reference_date, "datetime": f"{ask.reference_date}T23:59:59.999999"}
        found += [
            Range(column=name, maximum=ends[of]) for name, of in kinds(frame).items() if of in ends
        ]
    return found


def chosen(frame: LazyFrame) -> str | None:
    """The column that is called as classes are, and has few values; the first of ``TARGETS``."""
    types = kinds(frame)
    named = {
        name.lower(): name for name, of in types.items() if of in ("string", "boolean", "integer")
    }
    for wanted in TARGETS:
        if name := named.get(wanted):
            values = streamed(frame.select(column(name)).head(_SEEN)).to_series()
            if 2 <= values.drop_nulls().n_unique() <= _CLASSES:
                return name
    return None


def affordable(data: Path) -> int:
    """Of how many rows a sample may be, for the bytes that they take in memory.

    The footer tells how long the rows are, some of the values how much better than in memory they
    are packed.
    """
    found = rowgroups.weights(data)
    rows, size = sum(count for count, _ in found), sum(weight for _, weight in found)
    if not rows:
        return LEAST_ROWS
    each = max(1.0, size / rows)
    frame = opened(data)
    few = min(_ROWS, max(1, int(_SEEN_BYTES / each)))
    steps = range(0, rows, max(few, -(-rows // _PLACES)))
    seen = [streamed(frame.slice(first, few)) for first in steps]
    each = max(each, sum(one.estimated_size() for one in seen) / sum(one.height for one in seen))
    return max(LEAST_ROWS, int(SAMPLE_BYTES / each))
