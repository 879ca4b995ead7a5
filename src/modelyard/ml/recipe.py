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

from modelyard.ml import chance
from modelyard.ml.constraints import reads_as
from modelyard.ml.distinct import hashed
from modelyard.ml.expressions import compiled, condition
from modelyard.ml.intake.columns import moment
from modelyard.ml.profile import plain
from modelyard.ml.reading import Source, column, height, kinds, opened, streamed
from modelyard.ml.steps import (
    Cast,
    Cell,
    Deduplicate,
    Derive,
    Drop,
    Encode,
    Fill,
    Filter,
    Join,
    Rename,
    Sample,
    Scale,
    Select,
    Step,
)
from modelyard.ml.tokens import BadExpression

MOST_VALUES = 1000  # of a column that is encoded
PREVIEW = 1000  # rows
_ROW = "\0row"

Learnt = dict[str, Any]  # names and values, as JSON has them


class BadStep(ValueError):
    """A step that cannot be done; the message names the step by number and the column."""


class Fitted(NamedTuple):
    """``table`` is worked out when it is wanted; ``learnt`` has an entry for each step."""

    table: LazyFrame
    learnt: list[Learnt]


class Preview(Struct, frozen=True, kw_only=True, rename="camel"):
    """The first rows of what a recipe makes of a sample of ``sampled`` rows, and its types."""

    columns: dict[str, str]
    rows: list[dict[str, Cell]]
    sampled: int


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
        raise BadStep(f"{len(learnt)} recorded steps do not fit a recipe of {len(steps)}")
    for at, step in enumerate(steps):
        try:
            known = None if learnt is None else learnt[at]
            frame, mine = _done(frame, step, tables or {}, known)
        except (BadExpression, pl.exceptions.PolarsError) as error:
            reason = str(error).partition("\n")[0]
            name = step.__struct_config__.tag
            raise BadStep(f"step {at + 1} ({name}): {reason}") from None
        found.append(mine)
    return Fitted(frame, found)


def preview(
    source: Source,
    steps: Sequence[Step],
    tables: Mapping[str, Source] | None = None,
    rows: int = PREVIEW,
    shown: int = 20,
) -> Preview:
    """What comes of the first ``rows`` rows; what is learnt, is learnt of these. Raises
    ``BadStep``.
    """
    first = streamed(opened(source).head(rows))
    made = applied(first.lazy(), steps, tables)
    table = streamed(made.table.head(shown))
    return Preview(
        columns=kinds(made.table),
        rows=[
            {name: plain(value) for name, value in row.items()}
            for row in table.iter_rows(named=True)
        ],
        sampled=first.height,
    )


def written(made: Fitted, target: Path) -> int:
    """Work the table out into a Parquet file, block by block; how many rows it has.

    Raises OSError for a full disk.
    """
    made.table.sink_parquet(target, compression="zstd", maintain_order=True)
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
        Sample: _sample,
        Derive: _derive,
    }
    work = plain_.get(type(step))
    if work is not None:
        return work(frame, step), {}
    if isinstance(step, Join):
        return _join(frame, step, tables), {}
    if isinstance(step, Fill):
        _known(frame, [step.column])
        mine: Learnt = known if known is not None else {"value": _filling(frame, step)}
        return frame.with_columns(_filled(frame, step, mine)), mine
    if isinstance(step, Encode):
        _known(frame, [step.column])
        mine = known if known is not None else {"values": _values(frame, step)}
        return _encode(frame, step, mine["values"]), mine
    assert isinstance(step, Scale)
    mine = known if known is not None else _scaling(frame, step)
    return frame.with_columns(_scaled(name, mine[name]) for name in step.columns), mine


def _known(frame: LazyFrame, names: Sequence[str], wanted: tuple[str, ...] = ()) -> dict[str, str]:
    types = kinds(frame)
    for name in names:
        if name not in types:
            raise BadExpression(f"there is no column {name!r}; there are {', '.join(types)}")
        if wanted and types[name] not in wanted:
            raise BadExpression(f"column {name!r} is {types[name]}, not {' or '.join(wanted)}")
    return types


def _select(frame: LazyFrame, step: Select) -> LazyFrame:
    _known(frame, step.columns)
    if len(set(step.columns)) < len(step.columns) or not step.columns:
        raise BadExpression("columns names at least one, and each once")
    return frame.select(column(name) for name in step.columns)


def _drop(frame: LazyFrame, step: Drop) -> LazyFrame:
    types = _known(frame, step.columns)
    kept = [name for name in types if name not in step.columns]
    if not kept:
        raise BadExpression("no column is left")
    return frame.select(column(name) for name in kept)


def _filter(frame: LazyFrame, step: Filter) -> LazyFrame:
    return frame.filter(condition(step.expression, kinds(frame)).expr)


def _rename(frame: LazyFrame, step: Rename) -> LazyFrame:
    types = _known(frame, list(step.columns))
    names = [step.columns.get(name, name) for name in types]
    twice = next((name for name in names if names.count(name) > 1 or not name), None)
    if twice is not None:
        raise BadExpression(f"the name {twice!r} would be empty or there twice")
    return frame.select(column(old).alias(new) for old, new in zip(types, names, strict=True))


def _cast(frame: LazyFrame, step: Cast) -> LazyFrame:
    kind = _known(frame, [step.column])[step.column]
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


def _filling(frame: LazyFrame, step: Fill) -> Cell:
    """What the absent cells are to be."""
    cells = column(step.column)
    if step.by == "value":
        if step.value is None:
            raise BadExpression(f"column {step.column!r}: value is what absent cells become")
        return step.value
    if step.by == "mode":
        counted = frame.select(value=cells).drop_nulls().group_by("value").len()
        found = streamed(counted.sort(["len", "value"], descending=[True, False]).head(1))
        value = found["value"][0] if found.height else None
    else:
        _known(frame, [step.column], ("integer", "number"))
        number = cells.cast(pl.Float64)
        value = streamed(
            frame.select(number.mean() if step.by == "mean" else number.median())
        ).item()
    if value is None:
        raise BadExpression(f"column {step.column!r} has no value to learn from")
    return plain(value)


def _filled(frame: LazyFrame, step: Fill, mine: Learnt) -> Expr:
    value, kind = mine["value"], kinds(frame)[step.column]
    cells = column(step.column)
    texts = isinstance(value, str)
    if isinstance(value, bool) != (kind == "boolean") or texts == (kind in ("integer", "number")):
        raise BadExpression(f"column {step.column!r} is {kind}; {value!r} is none")
    if kind == "integer" and isinstance(value, float):
        cells = cells.cast(pl.Float64)  # a mean of whole numbers
    if kind in ("date", "datetime"):
        read = compiled(f"date('{value}')", {}).expr
        return cells.fill_null(read.cast(frame.collect_schema()[step.column]))
    return cells.fill_null(pl.lit(value))


def _values(frame: LazyFrame, step: Encode) -> list[Any]:
    """The column's values, the most frequent first."""
    if step.values is not None:
        return list(step.values)
    _known(frame, [step.column], ("string", "integer", "boolean"))
    counted = frame.select(value=column(step.column)).drop_nulls().group_by("value").len()
    found = streamed(counted.sort(["len", "value"], descending=[True, False]).head(MOST_VALUES + 1))
    if found.height > MOST_VALUES:
        raise BadExpression(f"column {step.column!r} has more than {MOST_VALUES} values")
    return list(found["value"].to_list())


def _encode(frame: LazyFrame, step: Encode, values: list[Any]) -> LazyFrame:
    cells = column(step.column)
    if step.by == "ordinal":
        places = pl.Series(range(len(values)), dtype=pl.Int64)
        old = pl.Series(values, dtype=None if values else pl.String)
        made = cells.replace_strict(old, places, default=None, return_dtype=pl.Int64)
        return frame.with_columns(made.alias(step.column))
    types = kinds(frame)
    added = [f"{step.column}_{value}" for value in values]
    clash = next((name for name in added if name in types or added.count(name) > 1), None)
    if clash is not None:
        raise BadExpression(f"there is a column {clash!r} already; rename it first")
    ones = [
        (cells == pl.lit(value)).fill_null(value=False).cast(pl.Int8).alias(name)
        for value, name in zip(values, added, strict=True)
    ]
    kept = [column(name) for name in types if name != step.column]
    return frame.select([*kept, *ones])


def _scaling(frame: LazyFrame, step: Scale) -> Learnt:
    """For each column what is taken away and what is divided by."""
    _known(frame, step.columns, ("integer", "number"))
    wanted: list[Expr] = []
    for at, name in enumerate(step.columns):
        cells = column(name).cast(pl.Float64)
        if step.by == "standard":
            wanted += [cells.mean().alias(f"a{at}"), cells.std(ddof=0).alias(f"b{at}")]
        else:
            wanted += [cells.min().alias(f"a{at}"), (cells.max() - cells.min()).alias(f"b{at}")]
    found = streamed(frame.select(wanted)).row(0, named=True)
    return {
        name: {"minus": found[f"a{at}"] or 0.0, "over": found[f"b{at}"] or 1.0}
        for at, name in enumerate(step.columns)
    }


def _scaled(name: str, mine: Learnt) -> Expr:
    number: Expr = column(name).cast(pl.Float64)
    scaled: Expr = ((number - mine["minus"]) / mine["over"]).alias(name)
    return scaled


def _deduplicate(frame: LazyFrame, step: Deduplicate) -> LazyFrame:
    """The rows whose position is the first of their hash: hashes are kept, not rows."""
    names = step.columns if step.columns is not None else list(kinds(frame))
    _known(frame, names)
    numbered = frame.with_row_index(_ROW)
    first = numbered.select(pl.col(_ROW), hash=hashed(names)).group_by("hash")
    kept = first.agg(pl.col(_ROW).min()).select(_ROW)
    return numbered.join(kept, on=_ROW, how="semi", maintain_order="left").drop(_ROW)


def _sample(frame: LazyFrame, step: Sample) -> LazyFrame:
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
    left, right = _known(frame, step.on), _known(other, step.on)
    for name in step.on:
        if left[name] != right[name]:
            raise BadExpression(f"column {name!r} is {left[name]} here and {right[name]} there")
    if not step.on:
        raise BadExpression("on names at least one column")
    return frame.join(other, on=list(step.on), how=step.how, maintain_order="left")


def _derive(frame: LazyFrame, step: Derive) -> LazyFrame:
    if not step.column:
        raise BadExpression("column is the name of what is derived")
    try:
        made = compiled(step.expression, kinds(frame))
    except BadExpression as error:
        raise BadExpression(f"column {step.column!r}: {error}") from None
    return frame.with_columns(made.expr.alias(step.column))
