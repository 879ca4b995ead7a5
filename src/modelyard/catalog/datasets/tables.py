"""Files become tables, and tables become parts: the work of jobs, in constant memory.

Only the processes of jobs load this: polars takes half a second and 100 MB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, cast

import msgspec
import polars as pl
from msgspec import Struct, structs
from polars import DataFrame

from modelyard.catalog.datasets.media.gathering import Gathered, gathered
from modelyard.catalog.datasets.schema import (
    FORMATS,
    MOST_VALUES,
    Column,
    TableSchema,
)
from modelyard.catalog.datasets.versions.schema import Dialect, FaultReport, RowFault
from modelyard.ml import rowgroups
from modelyard.ml.intake.blocks import TooLong
from modelyard.ml.intake.joining import named
from modelyard.ml.intake.packing import opened
from modelyard.ml.intake.sniffing import SAMPLE, Unreadable, sniff
from modelyard.ml.intake.sniffing import Dialect as Sniffed
from modelyard.ml.intake.taking import Fault, TooMany, take
from modelyard.protocol.errors import Failure

Progress = Callable[[int], None]  # bytes that were read until now
_LONGEST = 200  # characters of a value that is told of
_RENAMED = 20  # columns with other names that are told of


class Table(Struct, frozen=True, kw_only=True):
    """What was read. ``data`` is the Parquet file."""

    data: Path
    rows: int
    schema: TableSchema
    null_values: float
    dialect: Dialect
    faults: FaultReport
    type: Literal["Image", "Audio", "Mixed"] | None = None  # where the rows are files
    archive: Path | None = None  # which has them, and the index of where in it
    index: Path | None = None


def read(
    source: Path,
    name: str,
    given: dict[str, Any],
    target: Path,
    progress: Progress,
    most_faults: int | None = None,
) -> Table:
    """Read a file into ``target``; a Parquet file is its own table.

    ``given`` are fields of the dialect that are not to be found out. Raises
    ``DATA_VALIDATION_FAILED`` for what cannot be read at all, and for more than ``most_faults``
    rows that cannot, by a hundred.
    """
    try:
        files = None if given.get("format") else gathered(source, target, progress, most_faults)
        if files is not None:
            return _of_files(files, target)
        with opened(source) as stream:
            head = stream.read(SAMPLE)
            sniffed = _overruled(_sniffed(head, name, given), given)
            if sniffed.format == "parquet":
                return _parquet(source, sniffed)
            stream.seek(0)
            taken = take(stream, sniffed, target, progress, most_faults)
    except TooMany as error:
        first = [structs.asdict(one) for one in error.faults]
        raise Failure(
            "DATA_VALIDATION_FAILED",
            f"More than {error.count - 1} rows cannot be read, and {most_faults} may (maxFaults); "
            f"row {first[0]['row']}: {first[0]['reason']}. Nothing was kept, and the rest was not "
            "read: mend them, or allow more.",
            details={"field": "body", "faults": first, "faultCount": error.count, "whole": False},
        ) from error
    except (Unreadable, TooLong, pl.exceptions.PolarsError) as error:
        raise Failure(
            "DATA_VALIDATION_FAILED",
            f"{name or 'The file'} cannot be read: {error}. Mend it, or say how it is written "
            "('format', 'encoding', 'delimiter', 'quote', 'header').",
            details={"field": "body", "reason": str(error)},
        ) from error
    sniffed = structs.replace(sniffed, said=(*sniffed.said, *_renamed(taken.renamed)))
    return _told(target, sniffed, _report(taken.fault_count, taken.faults))


def _renamed(names: dict[str, str]) -> list[str]:
    """What is said of columns whose names could not stay."""
    told = [
        f"'{old}' again: {new}" if old else f"a column without a name: {new}"
        for new, old in names.items()
    ]
    more = [f"and {len(told) - _RENAMED} more names"] if len(told) > _RENAMED else []
    return [*told[:_RENAMED], *more]


def _of_files(found: Gathered, target: Path) -> Table:
    sniffed = Sniffed(format=found.form, said=found.said)
    table = _told(target, sniffed, _report(found.fault_count, found.faults))
    return structs.replace(table, type=found.type, archive=found.archive, index=found.index)


def _report(count: int, faults: list[Fault]) -> FaultReport:
    told = [RowFault(row=one.row, reason=one.reason, sample=one.sample) for one in faults]
    return FaultReport(count=count, first=told)


def _sniffed(head: bytes, name: str, given: dict[str, Any]) -> Sniffed:
    known = given.get("encoding")
    return sniff(head, name, whole=len(head) < SAMPLE, encoding=known)


def _overruled(found: Sniffed, given: dict[str, Any]) -> Sniffed:
    if not given:
        return found
    chosen = {name: (value or None) if name == "quote" else value for name, value in given.items()}
    said = tuple(f"{name}: as it was given" for name in given)
    return structs.replace(found, **chosen, said=(*found.said, *said))


def _parquet(source: Path, sniffed: Sniffed) -> Table:
    return _told(source, sniffed, FaultReport())


def _told(data: Path, sniffed: Sniffed, faults: FaultReport) -> Table:
    schema, rows, nulls = described(data)
    if not rows:
        raise Unreadable("there are no rows")
    delimited, texts = sniffed.format == "csv", sniffed.format in ("csv", "jsonl", "text")
    return Table(
        data=data,
        rows=rows,
        schema=schema,
        null_values=nulls,
        dialect=Dialect(
            format=FORMATS[sniffed.format],
            encoding=sniffed.encoding if texts else None,
            delimiter=sniffed.delimiter if delimited else None,
            quote=sniffed.quote if delimited else None,
            header=sniffed.header if delimited else None,
            found=list(sniffed.said),
        ),
        faults=faults,
    )


def described(data: Path) -> tuple[TableSchema, int, float]:
    """The columns of a Parquet file, its rows, and the share of values that are absent."""
    scan = pl.scan_parquet(data)
    rows = int(scan.select(pl.len()).collect().item())
    nulls = scan.select(pl.all().null_count()).collect(engine="streaming").row(0, named=True)
    types = {name: named(type_) for name, type_ in scan.collect_schema().items()}
    values = _values(data, [name for name, type_ in types.items() if type_ == "string"])
    columns = [
        Column(
            name=name,
            type=cast("Any", type_),
            nullable=nulls[name] > 0,
            values=values.get(name),
        )
        for name, type_ in types.items()
    ]
    share = sum(nulls.values()) / max(1, rows * len(columns))
    return TableSchema(fields=columns), rows, share


def blocks(data: Path, columns: list[str] | None = None) -> Iterator[DataFrame]:
    """The rows of a table in blocks, in their order."""
    scan = pl.scan_parquet(data)
    for begin, rows in rowgroups.spans(rowgroups.weights(data)):
        block = scan.slice(begin, rows)
        yield (block if columns is None else block.select(columns)).collect()


def _values(data: Path, names: list[str]) -> dict[str, list[str]]:
    """All values of those columns that have few of them."""
    found: dict[str, set[str]] = {name: set() for name in names}
    for block in blocks(data, names) if names else ():
        for name in list(found):
            found[name] |= set(block[name].drop_nulls().unique().to_list())
            if len(found[name]) > MOST_VALUES or any(map(_untold, found[name])):
                del found[name]
        if not found:
            break
    return {name: sorted(values) for name, values in found.items() if values}


def _untold(value: str) -> bool:
    """Whether a document cannot hold a value: no store keeps U+0000 in a text."""
    return len(value) > _LONGEST or "\0" in value


def plain(table: DataFrame) -> DataFrame:
    """A table without lists and objects: those as JSON, bytes as base64."""
    made = []
    for column in table.get_columns():
        type_ = column.dtype
        if isinstance(type_, pl.List | pl.Array | pl.Struct):
            texts = [
                None if one is None else msgspec.json.encode(one).decode()
                for one in column.to_list()
            ]
            made.append(pl.Series(column.name, texts, dtype=pl.String))
        elif type_ == pl.Binary:
            made.append(column.bin.encode("base64"))
        else:
            made.append(column)
    return DataFrame(made)
