"""Dividing a table into parts, and what the parts share. For the processes of jobs alone."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct
from numpy.typing import NDArray
from polars import DataFrame, Series

from modelyard.catalog.datasets.schema import Leakage, SplitRequest
from modelyard.catalog.datasets.tables import blocks, plain
from modelyard.ml import partition
from modelyard.ml.intake.joining import ROW_GROUP
from modelyard.ml.partition import Codes, Parts, Unsplittable
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
    pieces, rows, groups = _pieces(data, parts, names, ask.leak_column, folder)
    return Divided(
        files=[_joined(each, folder / f"part-{name}.parquet") for name, each in pieces.items()],
        rows=np.bincount(parts, minlength=len(names)).tolist(),
        leakage=_leakage(parts, names, rows, groups),
    )


def _parts(data: Path, ask: SplitRequest) -> Parts:
    if ask.method == "random" or ask.column is None:
        rows = int(pl.scan_parquet(data).select(pl.len()).collect().item())
        return partition.at_random(rows, ask.fractions, ask.seed)
    if ask.method == "stratified":
        return partition.stratified(*_coded(data, ask.column), ask.fractions, ask.seed)
    column = _column(data, ask.column)
    if ask.method == "group":
        if column.null_count():
            raise Unsplittable(f"{column.null_count()} rows have no '{ask.column}'")
        return partition.grouped(column.to_list(), ask.fractions, ask.seed)
    if not (column.dtype.is_numeric() or column.dtype.is_temporal()):
        raise Unsplittable(f"'{ask.column}' is neither a time nor a number")
    if column.null_count():
        raise Unsplittable(f"{column.null_count()} rows have no time; fill or drop them first")
    return partition.by_time(column.to_numpy(), ask.fractions)


def _coded(data: Path, name: str) -> tuple[Codes, list[Any]]:
    """A number for each row's class, by the order of first appearance, and the classes.

    Block by block: the column is never held as texts, which take 16 bytes a row and more.
    """
    rows = int(pl.scan_parquet(data).select(pl.len()).collect().item())
    codes = np.empty(rows, dtype=np.uint32)
    known: DataFrame | None = None
    begin = 0
    for block in blocks(data, [name]):
        mine = plain(block).rename({name: "class"})
        here = mine.unique(maintain_order=True)
        if known is None:
            known = here.with_row_index("code")
        else:
            new = here.join(known, on="class", how="anti", nulls_equal=True, maintain_order="left")
            if new.height:
                known = pl.concat([known, new.with_row_index("code", known.height)])
        found = mine.join(known, on="class", how="left", nulls_equal=True, maintain_order="left")
        codes[begin : begin + block.height] = found["code"].to_numpy()
        begin += block.height
    assert known is not None
    return codes, known["class"].to_list()


def _column(data: Path, name: str) -> Series:
    return pl.scan_parquet(data).select(name).collect(engine="streaming").to_series()


def _pieces(
    data: Path, parts: Parts, names: list[str], column: str | None, folder: Path
) -> tuple[dict[str, list[Path]], Hashes, Hashes | None]:
    """Each part in pieces (polars cannot add to a file), and the hashes of rows and groups."""
    pieces: dict[str, list[Path]] = {name: [] for name in names}
    rows = np.empty(len(parts), dtype=np.uint64)
    groups = None if column is None else np.empty(len(parts), dtype=np.uint64)
    begin = 0
    for at, block in enumerate(blocks(data)):
        here, texts = slice(begin, begin + block.height), plain(block)
        begin += block.height
        rows[here] = texts.hash_rows(seed=1).to_numpy()
        if groups is not None:
            groups[here] = texts.select(column).hash_rows(seed=1).to_numpy()
        for number, name in enumerate(names):
            piece = folder / f"{name}-{at}.piece"
            chosen = block.filter(Series(parts[here] == number))
            chosen.write_parquet(piece, compression="lz4", statistics=False)
            pieces[name].append(piece)
    return pieces, rows, groups


def _joined(pieces: list[Path], target: Path) -> Path:
    whole = pl.concat([pl.scan_parquet(piece) for piece in pieces])
    whole.sink_parquet(target, compression="zstd", row_group_size=ROW_GROUP, maintain_order=True)
    for piece in pieces:
        piece.unlink()
    return target


def _leakage(parts: Parts, names: list[str], rows: Hashes, groups: Hashes | None) -> list[Leakage]:
    """Rows and groups that are in two parts.

    Rows are compared by 64-bit hashes: among 10 million different rows, a false one is less likely
    than 1 in 300,000.
    """
    by_rows = [np.sort(rows[parts == number]) for number in range(len(names))]
    by_groups = None
    if groups is not None:
        by_groups = [_distinct(groups[parts == number]) for number in range(len(names))]
    found = []
    for first, second in itertools.combinations(range(len(names)), 2):
        shared = _shared(by_rows[first], by_rows[second])
        both = None
        if by_groups is not None:
            both = _shared(by_groups[first], by_groups[second])
        if shared or both:
            told = [names[first], names[second]]
            found.append(Leakage(parts=told, rows=shared, groups=both))
    return found


def _shared(first: Hashes, second: Hashes) -> int:
    """How many of ``second`` are in ``first``; both are in order."""
    if not len(first):
        return 0
    at = np.searchsorted(first, second).clip(max=len(first) - 1)
    return int((first[at] == second).sum())


def _distinct(values: Hashes) -> Hashes:
    """Each value once, in order."""
    ordered = np.sort(values)
    distinct: Hashes = ordered[np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]]
    return distinct
