"""Dividing a table into parts, and what the parts share. For the processes of jobs alone."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray
from polars import Series

from modelyard.catalog.datasets.schema import Leakage, SplitRequest
from modelyard.catalog.datasets.tables import blocks, plain
from modelyard.ml import partition
from modelyard.ml.intake.joining import ROW_GROUP
from modelyard.ml.partition import Parts, Unsplittable
from modelyard.protocol.errors import Failure

Hashes = NDArray[np.uint64]


class Divided(Struct, frozen=True, kw_only=True):
    """The parts' files, how many rows each has, and what they share."""

    files: list[Path]
    rows: list[int]
    leakage: list[Leakage]


def divide(data: Path, ask: SplitRequest, folder: Path) -> Divided:
    """Write each part of a table to a file of ``folder``.

    Raises ``INSUFFICIENT_DATA`` for what cannot be divided so.
    """
    try:
        parts = _parts(data, ask)
    except Unsplittable as error:
        raise Failure(
            "INSUFFICIENT_DATA",
            f"The version cannot be split so: {error}.",
            details={"field": "fractions", "reason": str(error)},
        ) from error
    names = list(ask.fractions)
    files = [_written(data, parts, number, folder) for number in range(len(names))]
    rows = np.bincount(parts, minlength=len(names)).tolist()
    return Divided(files=files, rows=rows, leakage=_leakage(data, parts, names, ask.leak_column))


def _parts(data: Path, ask: SplitRequest) -> Parts:
    if ask.method == "random" or ask.column is None:
        rows = int(pl.scan_parquet(data).select(pl.len()).collect().item())
        return partition.at_random(rows, ask.fractions, ask.seed)
    column = _column(data, ask.column)
    if ask.method == "stratified":
        return partition.stratified(column.to_list(), ask.fractions, ask.seed)
    if ask.method == "group":
        if column.null_count():
            raise Unsplittable(f"{column.null_count()} rows have no '{ask.column}'")
        return partition.grouped(column.to_list(), ask.fractions, ask.seed)
    if not (column.dtype.is_numeric() or column.dtype.is_temporal()):
        raise Unsplittable(f"'{ask.column}' is neither a time nor a number")
    if column.null_count():
        raise Unsplittable(f"{column.null_count()} rows have no time; fill or drop them first")
    return partition.by_time(column.to_numpy(), ask.fractions)


def _column(data: Path, name: str) -> Series:
    return pl.scan_parquet(data).select(name).collect(engine="streaming").to_series()


def _written(data: Path, parts: Parts, number: int, folder: Path) -> Path:
    """One part as a file, of pieces that were written before: polars cannot add to a file."""
    pieces, begin = [], 0
    for at, block in enumerate(blocks(data)):
        mask = Series(parts[begin : begin + block.height] == number)
        begin += block.height
        piece = folder / f"piece-{number}-{at}.parquet"
        block.filter(mask).write_parquet(piece, compression="lz4", statistics=False)
        pieces.append(piece)
    target = folder / f"part-{number}.parquet"
    whole = pl.concat([pl.scan_parquet(piece) for piece in pieces])
    whole.sink_parquet(target, compression="zstd", row_group_size=ROW_GROUP, maintain_order=True)
    for piece in pieces:
        piece.unlink()
    return target


def _leakage(data: Path, parts: Parts, names: list[str], column: str | None) -> list[Leakage]:
    """Rows and groups that are in two parts.

    Rows are compared by 64-bit hashes: among 10 million different rows, a false one is less likely
    than 1 in 300,000.
    """
    rows = np.concatenate([plain(block).hash_rows(seed=1).to_numpy() for block in blocks(data)])
    groups = None
    if column is not None:
        values = blocks(data, [column])
        groups = np.concatenate([plain(one).hash_rows(seed=1).to_numpy() for one in values])
    found = []
    for first, second in itertools.combinations(range(len(names)), 2):
        shared = int(np.isin(rows[parts == second], rows[parts == first]).sum())
        both = None
        if groups is not None:
            both = len(np.intersect1d(groups[parts == second], groups[parts == first]))
        if shared or both:
            told = [names[first], names[second]]
            found.append(Leakage(parts=told, rows=shared, groups=both))
    return found
