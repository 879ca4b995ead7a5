"""Files of rows become one Parquet file: typed, compressed, in constant memory.

The rows that cannot be read are counted, the first hundred told of with their numbers; whether the
rest is kept is the caller's choice. Nothing is left behind where that fails.
"""

from __future__ import annotations

import csv
import io
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec
import polars as pl
from msgspec import Struct
from polars import DataFrame

from modelyard.ml.intake.blocks import decoded, whole_rows
from modelyard.ml.intake.columns import Narrowing
from modelyard.ml.intake.joining import Part, join
from modelyard.ml.intake.sniffing import Dialect, Unreadable

MOST_FAULTS = 100  # that are told of
_SHOWN = 200  # characters of a row that is told of
_LONE = re.compile("[\udc80-\udcff]")  # what was no text of the encoding

Progress = Callable[[int], None]  # bytes of the source that were read until now


class Fault(Struct, frozen=True, kw_only=True):
    """A row that cannot be read. ``row`` counts rows of data from 1."""

    row: int
    reason: str
    sample: str


class Taken(Struct, frozen=True, kw_only=True):
    """What was read. ``columns`` are names and types, in order.

    ``renamed`` are columns of a name that another has, or of none, by their names now.
    """

    rows: int
    renamed: dict[str, str]
    columns: dict[str, str]
    faults: list[Fault]
    fault_count: int
    bytes_read: int


class TooMany(ValueError):
    """More rows that cannot be read than are of use. ``faults`` are the first hundred."""

    def __init__(self, count: int, faults: list[Fault]) -> None:
        super().__init__(f"{count} rows cannot be read; the rest was not looked at")
        self.count, self.faults = count, faults


class _Faults:
    def __init__(self, most: int | None) -> None:
        self.count = 0
        self.first: list[Fault] = []
        self._stop = None if most is None else most + MOST_FAULTS

    def add(self, row: int, reason: str, sample: str) -> None:
        self.count += 1
        if len(self.first) < MOST_FAULTS:
            clean = sample.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
            self.first.append(Fault(row=row, reason=reason, sample=clean[:_SHOWN]))
        if self._stop is not None and self.count > self._stop:
            raise TooMany(self.count, self.first)


def take(
    source: BinaryIO,
    dialect: Dialect,
    target: Path,
    progress: Progress | None = None,
    most_faults: int | None = None,
) -> Taken:
    """Read ``source`` and write ``target``; its folder takes the parts meanwhile.

    Where only ``most_faults`` rows may be unreadable, reading ends once there are more by a
    hundred, which are enough to be told of: ``TooMany``. Raises ``Unreadable`` where there is no
    row at all, OSError for a full disk.
    """
    faults = _Faults(most_faults)
    folder = Path(tempfile.mkdtemp(prefix="intake-", dir=target.parent))
    try:
        counted = _Counted(source, progress)
        renamed: dict[str, str] = {}
        if dialect.format == "csv":
            blocks = _delimited(counted, dialect, faults, renamed)
        elif dialect.format == "jsonl":
            blocks = _objects(counted, dialect, faults)
        else:
            blocks = _lines(counted, dialect)
        narrowing, rows = Narrowing(), 0
        parts: list[Part] = []
        for number, block in enumerate(blocks):
            if dialect.format == "csv":
                narrowing.watch(block)
            rows += block.height
            part = folder / f"{number:06d}.parquet"
            block.write_parquet(part, compression="lz4", statistics=False)
            parts.append((part, block.schema))
        if not rows:
            raise Unreadable(_nothing(faults))
        columns = join(parts, narrowing.types(), target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return Taken(
        rows=rows,
        renamed=renamed,
        columns=columns,
        faults=faults.first,
        fault_count=faults.count,
        bytes_read=counted.bytes,
    )


def _nothing(faults: _Faults) -> str:
    if not faults.first:
        return "there are no rows"
    one = faults.first[0]
    return f"none of {faults.count} rows can be read; row {one.row}: {one.reason}"


class _Counted:
    """Counts what is read."""

    def __init__(self, source: BinaryIO, progress: Progress | None) -> None:
        self._source = source
        self._progress = progress
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.bytes += len(data)
        if self._progress is not None:
            self._progress(self.bytes)
        return data


# Delimited files.


def _delimited(
    source: _Counted, dialect: Dialect, faults: _Faults, renamed: dict[str, str]
) -> Iterator[DataFrame]:
    blocks = whole_rows(decoded(source, dialect.encoding), dialect.quote)
    names: list[str] | None = None
    begun = 0  # rows of data in the blocks before
    for block in blocks:
        text = block
        if names is None:
            names, text = _names(block, dialect, renamed)
        table = _fast(text, dialect, names)
        if table is None:
            table, count = _slow(text, dialect, names, begun, faults)
        else:
            count = table.height
        begun += count
        if table.height:
            yield table


def _names(block: str, dialect: Dialect, renamed: dict[str, str]) -> tuple[list[str], str]:
    """The columns' names, each once, and the text behind them."""
    reader = _reader(block, dialect)
    first = next((row for row in reader if row), None)
    if first is None:
        raise Unreadable("there are no rows")
    if not dialect.header:
        return [f"column_{at}" for at in range(1, len(first) + 1)], block
    rest = "".join(block.splitlines(keepends=True)[reader.line_num :])
    names: dict[str, None] = {}
    for at, cell in enumerate(first, 1):
        name = base = cell.strip() or f"column_{at}"
        copy = 2
        while name in names:
            name, copy = f"{base}_{copy}", copy + 1
        names[name] = None
        if name != cell.strip():
            renamed[name] = cell.strip()
    return list(names), rest


def _reader(text: str, dialect: Dialect) -> Any:
    quoting: Literal[0, 3] = csv.QUOTE_NONE if dialect.quote is None else csv.QUOTE_MINIMAL
    return csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter, quoting=quoting)


_EMPTY = pl.when(pl.all() != "").then(pl.all())  # an empty field is an absent value


def _fast(text: str, dialect: Dialect, names: list[str]) -> DataFrame | None:
    """The block as polars reads it; None where any row of it is not as it should be."""
    try:
        data = text.encode("utf-8")
        if not data.strip():
            return pl.DataFrame(schema=dict.fromkeys(names, pl.String))
        table = pl.read_csv(
            data,
            has_header=False,
            new_columns=names,
            schema=dict.fromkeys(names, pl.String),
            separator=dialect.delimiter,
            quote_char=dialect.quote,
            infer_schema=False,
            truncate_ragged_lines=False,
        )
    except (UnicodeEncodeError, pl.exceptions.PolarsError):
        return None
    return None if _short(text, dialect, table) else table.with_columns(_EMPTY)


def _short(text: str, dialect: Dialect, table: DataFrame) -> bool:
    """Whether a row had too few fields: polars fills those with nulls, as if they were empty."""
    if table.width < 2:
        return False
    if dialect.quote is not None and dialect.quote in text:
        suspects = table.filter(pl.col(table.columns[-1]).is_null())
        return suspects.height > 0
    lines = text.count("\n")
    return (
        text.count(dialect.delimiter) != (table.width - 1) * table.height or lines != table.height
    )


def _slow(
    text: str, dialect: Dialect, names: list[str], begun: int, faults: _Faults
) -> tuple[DataFrame, int]:
    """The rows of a block that can be read, and how many there are with those that cannot."""
    good: list[list[str | None]] = []
    count = 0
    reader = _reader(text, dialect)
    while True:
        try:
            row = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            count += 1
            faults.add(begun + count, str(error), "")
            continue
        if not row:
            continue
        count += 1
        if len(row) != len(names):
            reason = f"{len(row)} fields instead of {len(names)}"
        elif any(_LONE.search(cell) for cell in row):
            reason = f"bytes that are no {dialect.encoding}"
        else:
            good.append([cell or None for cell in row])
            continue
        faults.add(begun + count, reason, dialect.delimiter.join(row))
    return pl.DataFrame(good, schema=dict.fromkeys(names, pl.String), orient="row"), count


# One value a line.


def _objects(source: _Counted, dialect: Dialect, faults: _Faults) -> Iterator[DataFrame]:
    decoder = msgspec.json.Decoder()
    begun = 0
    for block in whole_rows(decoded(source, dialect.encoding), None):
        good = []
        for line in block.split("\n"):
            if not line.strip():
                continue
            begun += 1
            try:
                value = decoder.decode(line.encode())
            except (msgspec.DecodeError, UnicodeEncodeError) as error:
                faults.add(begun, f"no JSON: {error}", line)
                continue
            if isinstance(value, dict):
                good.append(value)
            else:
                faults.add(begun, "no JSON object", line)
        if good:
            yield _table(good)


def _table(rows: list[dict[str, object]]) -> DataFrame:
    """Rows as a table. A column whose values are of several kinds becomes JSON texts."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    made = []
    for name in names:
        values = [row.get(name) for row in rows]
        try:
            column = pl.Series(name, values, strict=True)
        except (TypeError, pl.exceptions.PolarsError, OverflowError):
            column = _numbers(name, values)
        if column.dtype == pl.Object:
            column = pl.Series(name, [None if one is None else _text(one) for one in values])
        made.append(column)
    return DataFrame(made)


def _numbers(name: str, values: list[object]) -> pl.Series:
    """Whole numbers and others as numbers; whatever else is mixed as texts."""
    if all(one is None or type(one) in (int, float) for one in values):
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    texts = [None if one is None else _text(one) for one in values]
    return pl.Series(name, texts, dtype=pl.String)


def _text(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _lines(source: _Counted, dialect: Dialect) -> Iterator[DataFrame]:
    for block in whole_rows(decoded(source, dialect.encoding), None):
        lines = block.encode("utf-8", "replace").decode().split("\n")[:-1]
        yield DataFrame({"text": [line.rstrip("\r") for line in lines]})
