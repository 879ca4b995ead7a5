"""The steps that learn of the rows before they change them: filling, encoding, scaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl
from polars import Expr, LazyFrame, Series

from modelyard.ml.expressions import compiled
from modelyard.ml.profile import plain
from modelyard.ml.reading import column, kinds, streamed
from modelyard.ml.steps import MOST_VALUES, Cell, Encode, Fill, Scale, Step
from modelyard.ml.tokens import BadExpression

Learnt = dict[str, Any]  # names and values, as JSON has them
_SUPPOSED: dict[str, Cell] = {
    "integer": 0,
    "number": 0.0,
    "boolean": False,
    "string": "",
    "date": "2000-01-01",
    "datetime": "2000-01-01",
}


def typed(frame: LazyFrame, names: Sequence[str], wanted: tuple[str, ...] = ()) -> dict[str, str]:
    """The kinds of all columns. Raises ``BadExpression`` unless those are there, of such a kind."""
    types = kinds(frame)
    for name in names:
        if name not in types:
            raise BadExpression(f"there is no column {name!r}; there are {', '.join(types)}")
        if wanted and types[name] not in wanted:
            raise BadExpression(f"column {name!r} is {types[name]}, not {' or '.join(wanted)}")
    return types


def supposed(frame: LazyFrame, step: Step) -> Learnt | None:
    """Something of the kind that a step could learn; None where what it makes depends on it.

    Raises ``BadExpression`` for a step that does not fit the columns.
    """
    if isinstance(step, Fill):
        kind = _fillable(frame, step)
        return {"value": step.value if step.by == "value" else _SUPPOSED[kind]}
    if isinstance(step, Encode):
        _encodable(frame, step)
        unknown = step.values is None and step.by == "one_hot"
        return None if unknown else {"values": step.values or []}
    if isinstance(step, Scale):
        typed(frame, step.columns, ("integer", "number"))
        return {name: {"minus": 0.0, "over": 1.0} for name in step.columns}
    return {}


def _fillable(frame: LazyFrame, step: Fill) -> str:
    """The kind of what absent cells become. Raises ``BadExpression``."""
    kind = typed(frame, [step.column])[step.column]
    if step.by in ("mean", "median"):
        typed(frame, [step.column], ("integer", "number"))
        return "number"
    if step.by == "value" and step.value is None:
        raise BadExpression(f"column {step.column!r}: value is what absent cells become")
    if kind not in _SUPPOSED:
        raise BadExpression(f"column {step.column!r} is of lists and the like, not filled")
    return kind


def filling(frame: LazyFrame, step: Fill) -> Cell:
    """What the absent cells are to be."""
    cells = column(step.column)
    _fillable(frame, step)
    if step.by == "value":
        return step.value
    if step.by == "mode":
        counted = frame.select(value=cells).drop_nulls().group_by("value").len()
        found = streamed(counted.sort(["len", "value"], descending=[True, False]).head(1))
        value = found["value"][0] if found.height else None
    else:
        number = cells.cast(pl.Float64)
        value = streamed(
            frame.select(number.mean() if step.by == "mean" else number.median())
        ).item()
    if value is None:
        raise BadExpression(f"column {step.column!r} has no value to learn from")
    return plain(value)


def filled(frame: LazyFrame, step: Fill, mine: Learnt) -> Expr:
    """The column without absent cells. Raises ``BadExpression``."""
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


def _encodable(frame: LazyFrame, step: Encode) -> None:
    """Raise ``BadExpression`` for a column that is not encoded, or values that it cannot have."""
    kind = typed(frame, [step.column], ("string", "integer", "boolean"))[step.column]
    fits = {"string": str, "integer": int, "boolean": bool}[kind]
    for value in step.values or ():
        if type(value) is not fits:
            raise BadExpression(f"column {step.column!r} is {kind}; {value!r} is none")


def values(frame: LazyFrame, step: Encode) -> list[Any]:
    """The column's values, the most frequent first."""
    _encodable(frame, step)
    if step.values is not None:
        return list(step.values)
    counted = frame.select(value=column(step.column)).drop_nulls().group_by("value").len()
    found = streamed(counted.sort(["len", "value"], descending=[True, False]).head(MOST_VALUES + 1))
    if found.height > MOST_VALUES:
        raise BadExpression(f"column {step.column!r} has more than {MOST_VALUES} values")
    return list(found["value"].to_list())


def encode(frame: LazyFrame, step: Encode, values: list[Any]) -> LazyFrame:
    """The table with the column as numbers. Raises ``BadExpression``."""
    cells = column(step.column)
    if step.by == "ordinal":
        places = Series(range(len(values)), dtype=pl.Int64)
        old = Series(values, dtype=None if values else pl.String)

        def placed(block: Series) -> Series:  # as an expression it would hold the whole column
            return block.replace_strict(old, places, default=None, return_dtype=pl.Int64)

        made = cells.map_batches(placed, return_dtype=pl.Int64, is_elementwise=True)
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


def scaling(frame: LazyFrame, step: Scale) -> Learnt:
    """For each column what is taken away and what is divided by."""
    typed(frame, step.columns, ("integer", "number"))
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


def scaled(name: str, mine: Learnt) -> Expr:
    """The column, moved and divided as was learnt."""
    number: Expr = column(name).cast(pl.Float64)
    scaled: Expr = ((number - mine["minus"]) / mine["over"]).alias(name)
    return scaled
