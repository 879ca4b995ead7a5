"""Personal data taken out of a table. For the processes of jobs alone: it loads polars."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import polars as pl
from msgspec import Struct
from polars import Expr, Series

from modelyard.catalog.datasets.privacy.schema import AnonymiseRequest, Finding, Treated, Treatment
from modelyard.ml import pii, rowgroups
from modelyard.ml.reading import column, kinds

_WHOLE = r"[\p{L}\p{N}]"  # what masks cover


class Plan(Struct, frozen=True):
    """What becomes of each column that changes, and what is told of it."""

    columns: dict[str, Treatment]
    found: dict[str, list[Finding]]
    told: list[Treated]

    @property
    def clean(self) -> bool:
        """Whether nothing stays of what was found."""
        kept = {name for name, one in self.columns.items() if one.method == "keep"}
        return not kept & self.found.keys()


def plan(
    ask: AnonymiseRequest, findings: Sequence[Finding], rows: int, types: Mapping[str, str]
) -> Plan:
    """Columns that are named as they are named, others by what was found in them.

    ``types`` are the columns' as a version names them.
    """
    found: dict[str, list[Finding]] = {}
    for one in findings:
        found.setdefault(one.column, []).append(one)
    named = {one.name: one for one in ask.columns}
    columns = {name: _unnamed(name, ask, each, types[name]) for name, each in found.items()} | named
    told = [
        Treated(
            name=name,
            method=one.method,
            kinds=sorted({each.kind for each in found.get(name, ())}),
            rows=rows if name in named else max(each.rows for each in found[name]),
        )
        for name, one in columns.items()
    ]
    return Plan(columns, {name: found[name] for name in found}, told)


def _unnamed(
    name: str, ask: AnonymiseRequest, findings: Sequence[Finding], type_: str
) -> Treatment:
    """Numbers that are somebody's by no form of their own (a phone's) say too much as intervals."""
    numbers = type_ in ("integer", "number") and any(one.by != "value" for one in findings)
    method = "mask" if ask.method == "generalise" and numbers else ask.method
    return Treatment(name=name, method=method, keep=0)


def treat(data: Path, made: Plan, ask: AnonymiseRequest, key: bytes, target: Path) -> None:
    """Write the table without what the plan takes out of it, block by block."""
    frame = pl.scan_parquet(data)
    types = kinds(frame)
    named = {one.name for one in ask.columns}
    changed: list[Expr] = []
    gone: list[str] = []
    for name, one in made.columns.items():
        by_name = any(each.by != "value" for each in made.found.get(name, ()))
        if one.method == "drop":
            gone.append(name)
        elif one.method != "keep" and (name in named or by_name):
            changed.append(whole(one, types[name], key))
        elif one.method != "keep":
            changed.append(pii.taken_out(name, one.method, key))
    frame = frame.with_columns(changed).drop(gone)
    rows = rowgroups.of_file(data)
    frame.sink_parquet(target, compression="zstd", row_group_size=rows, maintain_order=True)


def whole(one: Treatment, of: str, key: bytes) -> Expr:
    """All values of a column as the treatment wants them; absent ones stay absent."""
    cells = column(one.name)
    if one.method == "mask":
        return cells.cast(pl.String).str.replace_all(_WHOLE, "*").alias(one.name)
    if one.method == "hash":
        return _mapped(cells.cast(pl.String), one.name, lambda value: pseudonym(value, key))
    if of in ("integer", "number"):
        return _interval(cells, one, whole_numbers=of == "integer")
    if of in ("date", "datetime"):
        return cells.dt.truncate("1mo" if one.unit == "month" else "1y").alias(one.name)
    return _mapped(cells.cast(pl.String), one.name, lambda value: _shortened(value, one.keep))


def pseudonym(value: str, key: bytes) -> str:
    """128 bits of keyed BLAKE2b in hexadecimal: equal values stay equal."""
    return hashlib.blake2b(value.encode(), key=key, digest_size=16).hexdigest()


def _shortened(value: str, keep: int) -> str:
    """One that is no longer is hidden: it would be told as it is."""
    return (value[:keep] if len(value) > keep else "") + "*"


def _mapped(cells: Expr, name: str, work: Callable[[str], str]) -> Expr:
    def each(texts: Series) -> Series:
        made = [None if text is None else work(text) for text in texts]
        return Series(made, dtype=pl.String)

    made = cells.map_batches(each, return_dtype=pl.String, is_elementwise=True)
    return made.alias(name)


def _interval(cells: Expr, one: Treatment, *, whole_numbers: bool) -> Expr:
    """``20-29`` for whole numbers and a whole width, else ``20..30``: below its upper end."""
    low = (cells.cast(pl.Float64) / one.width).floor() * one.width
    if whole_numbers and one.width == int(one.width):
        first = low.cast(pl.Int64)
        last = first + (int(one.width) - 1)
        made = first.cast(pl.String) + "-" + last.cast(pl.String)
    else:
        made = low.cast(pl.String) + ".." + (low + one.width).cast(pl.String)
    return made.alias(one.name)
