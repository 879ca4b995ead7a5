"""A Parquet file as the computations want it: few types, absent values told in one way."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
from polars import DataFrame, DataType, Expr, LazyFrame

KINDS = ("integer", "number", "boolean", "date", "datetime", "string", "other")

_FIRST_DAY, _LAST_DAY = (
    -718_796,
    2_932_531,
)  # of the years 2 to 9998, from 1970 on: Python's, nearly

Source = Path | LazyFrame  # a Parquet file, or rows that are read when they are wanted


def kind(of: DataType) -> str:
    """One of ``KINDS``; lists, structs, times and bytes are ``other``."""
    if of.is_integer():
        return "integer"
    if of.is_numeric():
        return "number"
    if of in (pl.String, pl.Categorical, pl.Enum):
        return "string"
    named = {pl.Boolean: "boolean", pl.Date: "date", pl.Datetime: "datetime"}
    return next((name for type_, name in named.items() if of == type_), "other")


def opened(source: Source) -> LazyFrame:
    """The rows; a number that is NaN or infinite is an absent value, as null is, and so is a moment
    before the year 2 or after 9998.

    Decimals become 64-bit floats, categories texts. Nothing is read but the file's footer.
    """
    frame = pl.scan_parquet(source) if isinstance(source, Path) else source
    schema = frame.collect_schema()
    return frame.with_columns(_plain(name, of) for name, of in schema.items())


def column(name: str) -> Expr:
    """The column of just that name: ``*`` and ``^…$`` are patterns to polars, not here."""
    pattern = name == "*" or (name.startswith("^") and name.endswith("$"))
    return pl.col(f"^{re.escape(name)}$") if pattern else pl.col(name)


def kinds(frame: LazyFrame) -> dict[str, str]:
    """The kind of each column, in order."""
    return {name: kind(of) for name, of in frame.collect_schema().items()}


def streamed(frame: LazyFrame) -> DataFrame:
    """The result, worked out block by block: memory does not grow with the rows read."""
    return frame.collect(engine="streaming")


def height(frame: LazyFrame) -> int:
    """How many rows there are."""
    return int(streamed(frame.select(pl.len())).item())


def _plain(name: str, of: DataType) -> Expr:
    cells = column(name)
    if kind(of) == "number":
        number = cells.cast(pl.Float64)
        return pl.when(number.is_finite()).then(number).alias(name)
    if units := _units(of):
        there = cells.to_physical().is_between(_FIRST_DAY * units, _LAST_DAY * units)
        return pl.when(there).then(cells).alias(name)
    if kind(of) == "string" and of != pl.String:
        return cells.cast(pl.String)
    return cells


def _units(of: DataType) -> int:
    """How a day of a column of moments counts; 0 where there are no moments that far away."""
    if isinstance(of, pl.Datetime):
        return 86_400 * {"ms": 10**3, "us": 10**6, "ns": 0}[of.time_unit]
    return int(of == pl.Date)
