"""A Parquet file as the computations want it: few types, absent values told in one way."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
from polars import DataFrame, DataType, Expr, LazyFrame

KINDS = ("integer", "number", "boolean", "date", "datetime", "string", "other")

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
    """The rows; a number that is NaN or infinite is an absent value, as null is.

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
    if kind(of) == "string" and of != pl.String:
        return cells.cast(pl.String)
    return cells
