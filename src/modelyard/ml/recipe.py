"""Recipes: steps as data become a lazy table, and what was learnt from the rows on the way.

What a step learns (a mean, the values of a category) is recorded, so that the same recipe can be
applied to other rows as it was to these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from msgspec import Struct
from polars import DataType, Expr, LazyFrame, Series

from modelyard.ml import chance, rowgroups
from modelyard.ml.constraints import reads_as
from modelyard.ml.distinct import MOST_HASHES, hashed
from modelyard.ml.expressions import compiled, condition
from modelyard.ml.intake.columns import moment
from modelyard.ml.learning import (
    Learnt,
    encode,
    filled,
    filling,
    scaled,
    scaling,
    supposed,
    typed,
    values,
)
from modelyard.ml.profile import plain
from modelyard.ml.reading import Source, column, height, kinds, opened, streamed
from modelyard.ml.steps import (
    Cast,
    Cell,
    Deduplicate,
    Derive,
    Draw,
    Drop,
    Encode,
    Fill,
    Filter,
    Join,
    Rename,
    Scale,
    Select,
    Step,
)
from modelyard.ml.tokens import BadExpression

PREVIEW = 1000  # rows
_ROW = "\0row"


class BadStep(ValueError):
    """A step that cannot be done; the message names the step by number and the column.

    ``at`` is its place, from 0, and ``field`` what of it is wrong.
    """

    def __init__(self, at: int, step: Step, reason: str) -> None:
        super().__init__(f"step {at + 1} ({step.__struct_config__.tag}): {reason}")
        self.at, self.reason = at, reason
        fields = ("expression", "column", "columns", "share", "on")
        self.field = next(name for name in fields if name in step.__struct_fields__)


class Fitted(NamedTuple):
    """``table`` is worked out when it is wanted; ``learnt`` has an entry for each step."""

    table: LazyFrame
    learnt: list[Learnt]


class Preview(Struct, frozen=True, kw_only=True, rename="camel"):
    """The first rows of the ``made`` that come of ``sampled`` rows, and their types."""

    columns: dict[str, str]
    rows: list[dict[str, Cell]]
    sampled: int
    made: int


def applied(
    source: Source,
    steps: Sequence[Step],
    tables: Mapping[str, Source] | None = None,
    learnt: Sequence[Learnt] | None = None,
) -> Fitted:
    """The table that the steps make of ``source``.

    Only the steps that learn read rows at once; with ``learnt`` (of an earlier run of the same
    steps) none does but a cast, which looks for what it cannot read. Raises ``BadStep``.
    """
    frame = opened(source)
    found: list[Learnt] = []
    if learnt is not None and len(learnt) != len(steps):
        raise ValueError(f"{len(learnt)} recorded steps do not fit a recipe of {len(steps)}")
    for at, step in enumerate(steps):
        known = None if learnt is None else learnt[at]
        frame, mine = _tried(frame, at, step, tables or {}, known)
        found.append(mine)
    return Fitted(frame, found)


def checked(
    source: Source,
    steps: Sequence[Step],
    tables: Mapping[str, Source] | None = None,
    learnt: Sequence[Learnt] | None = None,
) -> dict[str, str] | None:
    """The kinds of the columns that the steps make, by the types of ``source`` alone.

    None where only the rows tell: behind a one-hot encoding whose values are not given, steps are
    not checked. Raises ``BadStep`` for what no row could mend.
    """
    frame = opened(source)
    for at, step in enumerate(steps):
        known = None if learnt is None else learnt[at]
        if known is None:
            try:
                known = supposed(frame, step)
            except BadExpression as error:
                raise BadStep(at, step, str(error)) from None
            if known is None:
                return None
        frame, _ = _tried(frame, at, step, tables or {}, known)
    return kinds(frame)


def _tried(
    frame: LazyFrame, at: int, step: Step, tables: Mapping[str, Source], known: Learnt | None
) -> tuple[LazyFrame, Learnt]:
    try:
        made, mine = _done(frame, step, tables, known)
        made.collect_schema()
    except (BadExpression, pl.exceptions.PolarsError) as error:
        raise BadStep(at, step, str(error).partition("\n")[0]) from None
    return made, mine


def preview(
    source: Source,
    steps: Sequence[Step],
    tables: Mapping[str, Source] | None = None,
    learnt: Sequence[Learnt] | None = None,
    rows: int = PREVIEW,
    shown: int = 20,
) -> Preview:
    """What comes of the first ``rows`` rows; what is learnt, is learnt of these. Raises
    ``BadStep``.
    """
    first = streamed(opened(source).head(rows))
    made = applied(first.lazy(), steps, tables, learnt)
    table = streamed(made.table.head(shown))
    return Preview(
        made=height(made.table),
        columns=kinds(made.table),
        rows=[
            {name: plain(value) for name, value in row.items()}
            for row in table.iter_rows(named=True)
        ],
        sampled=first.height,
    )


def written(made: Fitted, target: Path, source: Path) -> int:
    """Work the table of ``source`` out into a Parquet file, block by block; how many rows it has.

    A row is taken to be as long as one of ``source``, by the columns that it has more. Raises
    OSError for a full disk.
    """
    wider = len(made.table.collect_schema()) / max(1, len(pl.read_parquet_schema(source)))
    rows = max(1, int(rowgroups.of_file(source) / max(1.0, wider)))
    made.table.sink_parquet(target, compression="zstd", row_group_size=rows, maintain_order=True)
    return height(pl.scan_parquet(target))


def _done(
    frame: LazyFrame, step: Step, tables: Mapping[str, Source], known: Learnt | None
) -> tuple[LazyFrame, Learnt]:
    """One step; what it learnt, or was told that it had."""
    plain_: dict[type[Any], Callable[[LazyFrame, Any], LazyFrame]] = {
        Select: _select,
        Drop: _drop,
        Filter: _filter,
        Rename: _rename,
        Cast: _cast,
        Deduplicate: _deduplicate,
        Draw: _draw,
        Derive: _derive,
    }
    work = plain_.get(type(step))
    if work is not None:
        return work(frame, step), {}
    if isinstance(step, Join):
        return _join(frame, step, tables), {}
    if isinstance(step, Fill):
        typed(frame, [step.column])
        mine: Learnt = known if known is not None else {"value": filling(frame, step)}
        return frame.with_columns(filled(frame, step, mine)), mine
    if isinstance(step, Encode):
        typed(frame, [step.column])
        mine = known if known is not None else {"values": values(frame, step)}
        return encode(frame, step, mine["values"]), mine
    assert isinstance(step, Scale)
    mine = known if known is not None else scaling(frame, step)
    return frame.with_columns(scaled(name, mine[name]) for name in step.columns), mine


def _select(frame: LazyFrame, step: Select) -> LazyFrame:
    typed(frame, step.columns)
    if len(set(step.columns)) < len(step.columns) or not step.columns:
        raise BadExpression("columns names at least one, and each once")
    return frame.select(column(name) for name in step.columns)


def _drop(frame: LazyFrame, step: Drop) -> LazyFrame:
    types = typed(frame, step.columns)
    kept = [name for name in types if name not in step.columns]
    if not kept:
        raise BadExpression("no column is left")
    return frame.select(column(name) for name in kept)


def _filter(frame: LazyFrame, step: Filter) -> LazyFrame:
    return frame.filter(condition(step.expression, kinds(frame)).expr)


def _rename(frame: LazyFrame, step: Rename) -> LazyFrame:
    types = typed(frame, list(step.columns))
    names = [step.columns.get(name, name) for name in types]
    twice = next((name for name in names if names.count(name) > 1 or not name), None)
    if twice is not None:
        raise BadExpression(f"the name {twice!r} would be empty or there twice")
    return frame.select(column(old).alias(new) for old, new in zip(types, names, strict=True))


def _cast(frame: LazyFrame, step: Cast) -> LazyFrame:
    kind = typed(frame, [step.column])[step.column]
    made = _converted(column(step.column), kind, step.type)
    lost = column(step.column).is_not_null() & made.is_null()
    if not step.lenient:
        wrong = frame.with_row_index(_ROW).filter(lost).head(1)
        found = streamed(wrong.select(pl.col(_ROW), value=column(step.column)))
        if found.height:
            row, value = found.row(0)
            raise BadExpression(
                f"column {step.column!r}, row {row + 1}: {plain(value)!r} is no {step.type}; set "
                "lenient to have null there"
            )
    return frame.with_columns(made.alias(step.column))


def _converted(cells: Expr, kind: str, wanted: str) -> Expr:
    """The cells as the type; null where they do not read as it."""
    if kind == "other":
        raise BadExpression("lists and the like are not cast")
    if wanted == "string":
        return cells.cast(pl.String)
    if kind == "string":
        return pl.when(reads_as(cells, wanted)).then(_read(cells, wanted))
    if wanted == "integer" and kind == "number":
        return pl.when(cells == cells.floor()).then(cells).cast(pl.Int64, strict=False)
    allowed = {
        ("boolean", "integer"), ("boolean", "number"), ("integer", "number"), ("date", "datetime"),
        ("datetime", "date"),
    }  # fmt: skip
    if kind != wanted and (kind, wanted) not in allowed:
        raise BadExpression(f"{kind} does not become {wanted}")
    types: dict[str, DataType] = {
        "integer": pl.Int64(),
        "number": pl.Float64(),
        "date": pl.Date(),
        "datetime": pl.Datetime("us", "UTC"),
    }
    return cells if kind == wanted else cells.cast(types[wanted])


def _read(cells: Expr, wanted: str) -> Expr:
    if wanted == "boolean":
        return cells.str.to_lowercase() == "true"
    if wanted == "date":
        return cells.str.to_date("%Y-%m-%d", strict=False)
    if wanted == "datetime":
        return moment(cells)
    type_ = pl.Int64 if wanted == "integer" else pl.Float64
    return cells.str.strip_chars().cast(type_, strict=False)


def _deduplicate(frame: LazyFrame, step: Deduplicate) -> LazyFrame:
    """The rows whose position is the first of their hash: a bit a row is kept, no row.

    Which ones they are is found here, part by part of the hashes.
    """
    names = step.columns if step.columns is not None else list(kinds(frame))
    typed(frame, names)
    numbered = frame.with_row_index(_ROW).select(pl.col(_ROW), hash=hashed(names))
    rows = height(frame)
    kept = np.zeros(rows, dtype=np.bool_)
    parts = max(1, -(-rows // MOST_HASHES))
    for part in range(parts):
        mine = numbered.filter(pl.col("hash") // 2**20 % parts == part) if parts > 1 else numbered
        first = streamed(mine.group_by("hash").agg(pl.col(_ROW).min()))
        kept[first[_ROW].to_numpy()] = True

    def chosen(found: Series) -> Series:
        return Series(kept[found.to_numpy()])

    first_ones = pl.col(_ROW).map_batches(chosen, return_dtype=pl.Boolean, is_elementwise=True)
    return frame.with_row_index(_ROW).filter(first_ones).drop(_ROW)


def _draw(frame: LazyFrame, step: Draw) -> LazyFrame:
    if not 0 < step.share <= 1:
        raise BadExpression(f"share is above 0 and at most 1, not {step.share:g}")
    below = np.uint64(min(int(step.share * 2**64), 2**64 - 1))
    begin = np.uint64(chance.start(step.seed, "recipe"))
    gamma = np.uint64(0x9E3779B97F4A7C15)

    def chosen(rows: Series) -> Series:
        numbers = (rows.to_numpy().astype(np.uint64) + np.uint64(1)) * gamma + begin
        return Series(chance.mix(numbers) < below)

    drawn = pl.col(_ROW).map_batches(chosen, return_dtype=pl.Boolean, is_elementwise=True)
    return frame.with_row_index(_ROW).filter(drawn).drop(_ROW)


def _join(frame: LazyFrame, step: Join, tables: Mapping[str, Source]) -> LazyFrame:
    if step.table not in tables:
        known = ", ".join(tables) or "none"
        raise BadExpression(f"there is no table {step.table!r}; given: {known}")
    other = opened(tables[step.table])
    left, right = typed(frame, step.on), typed(other, step.on)
    for name in step.on:
        if left[name] != right[name]:
            raise BadExpression(f"column {name!r} is {left[name]} here and {right[name]} there")
    if not step.on:
        raise BadExpression("on names at least one column")
    here = frame.collect_schema()
    other = other.with_columns(column(name).cast(here[name], strict=False) for name in step.on)
    return frame.join(other, on=list(step.on), how=step.how, maintain_order="left_right")


def _derive(frame: LazyFrame, step: Derive) -> LazyFrame:
    if not step.column:
        raise BadExpression("column is the name of what is derived")
    try:
        made = compiled(step.expression, kinds(frame))
    except BadExpression as error:
        raise BadExpression(f"column {step.column!r}: {error}") from None
    return frame.with_columns(made.expr.alias(step.column))
