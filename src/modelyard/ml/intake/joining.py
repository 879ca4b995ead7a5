"""The parts of a table, whose columns may differ, become one Parquet file of one schema."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from polars import DataType, Expr, LazyFrame, Schema

from modelyard.ml import rowgroups
from modelyard.ml.intake.columns import converted
from modelyard.ml.rowgroups import Weight

Part = tuple[Path, Schema]


def join(parts: list[Part], found: dict[str, str], target: Path) -> dict[str, str]:
    """Write ``target`` and remove the parts; its columns and their types, in order.

    ``found`` are the types of columns of texts, as ``Narrowing`` tells; others have the type that
    all parts have, numbers where some are whole, and JSON texts where parts do not agree.
    """
    types = _types([schema for _, schema in parts], found)
    alike, weights = [], []
    for path, schema in parts:
        part = _as(pl.scan_parquet(path), schema, found, types).collect()
        alike.append(path.with_suffix(".alike"))
        part.write_parquet(alike[-1], compression="lz4", statistics=False)
        weights.append((part.height, int(part.estimated_size())))
        path.unlink()
    one_after_another(alike, target, weights)
    return {name: named(type_) for name, type_ in pl.read_parquet_schema(target).items()}


def one_after_another(files: list[Path], target: Path, weights: list[Weight]) -> None:
    """Write the rows of files that have the same columns to ``target``; ``weights`` are the files'.

    They are one scan of many files, of which a few are open: as many scans would take memory for
    each file.
    """
    whole = pl.scan_parquet(files)
    rows = rowgroups.together(weights, len(whole.collect_schema()))
    whole.sink_parquet(target, compression="zstd", row_group_size=rows, maintain_order=True)


def _types(schemas: list[Schema], found: dict[str, str]) -> dict[str, DataType | None]:
    """For each column the type of the whole; None where a text of it is read by ``found``."""
    each: dict[str, list[DataType]] = {}
    for schema in schemas:
        for name, type_ in schema.items():
            kinds = each.setdefault(name, [])
            if type_ != pl.Null and type_ not in kinds:
                kinds.append(type_)
    return {name: None if name in found else _common(kinds) for name, kinds in each.items()}


def _common(kinds: list[DataType]) -> DataType:
    if not kinds:
        return pl.String()
    if len(kinds) == 1:
        return kinds[0]
    return pl.Float64() if all(one.is_numeric() for one in kinds) else pl.String()


def _as(
    frame: LazyFrame,
    schema: Schema,
    found: dict[str, str],
    types: dict[str, DataType | None],
) -> LazyFrame:
    columns: list[Expr] = []
    for name, wanted in types.items():
        if wanted is None:
            columns.append(converted(name, found[name]))
        elif name not in schema:
            columns.append(pl.lit(None, dtype=wanted).alias(name))
        elif schema[name] == wanted:
            columns.append(pl.col(name))
        elif wanted == pl.String and isinstance(schema[name], pl.Struct):
            columns.append(pl.col(name).struct.json_encode())
        elif wanted == pl.String and isinstance(schema[name], pl.List):
            columns.append(pl.struct(name).struct.json_encode().alias(name))
        else:
            columns.append(pl.col(name).cast(wanted))
    return frame.select(columns)


def named(type_: DataType) -> str:
    """A type of a column by our names."""
    if type_.is_integer():
        return "integer"
    if type_.is_float() or type_.is_decimal():
        return "number"
    if isinstance(type_, pl.List | pl.Array):
        return "list"
    if isinstance(type_, pl.Datetime):
        return "datetime"
    known = {pl.Boolean: "boolean", pl.Date: "date", pl.Binary: "binary", pl.Struct: "object"}
    return next((name for one, name in known.items() if isinstance(type_, one)), "string")
