"""Dividing a table into parts, and what the parts share. For the processes of jobs alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct, structs
from polars import DataFrame, Series

from modelyard.catalog.datasets.leaking import Spread, Texts, equal
from modelyard.catalog.datasets.schema import Leakage, SplitRequest
from modelyard.catalog.datasets.tables import blocks, plain
from modelyard.ml import partition
from modelyard.ml.intake.joining import one_after_another
from modelyard.ml.partition import Codes, Parts, Unsplittable
from modelyard.ml.rowgroups import Weight
from modelyard.protocol.errors import Failure


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
    pieces, leakage = _pieces(data, parts, ask, folder)
    return Divided(
        files=[each.joined(folder / f"part-{name}.parquet") for name, each in pieces.items()],
        rows=[int((parts == number).sum()) for number in range(len(ask.fractions))],
        leakage=leakage,
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


class _Pieces:
    """The files of a part: polars cannot add to one."""

    def __init__(self) -> None:
        self._files: list[Path] = []
        self._weights: list[Weight] = []

    def add(self, rows: DataFrame, file: Path) -> None:
        """Keep these rows in a file."""
        rows.write_parquet(file, compression="lz4", statistics=False)
        self._files.append(file)
        self._weights.append((rows.height, int(rows.estimated_size())))

    def joined(self, target: Path) -> Path:
        """All of them, as one file; they are gone."""
        one_after_another(self._files, target, self._weights)
        for piece in self._files:
            piece.unlink()
        return target


def _pieces(
    data: Path, parts: Parts, ask: SplitRequest, folder: Path
) -> tuple[dict[str, _Pieces], list[Leakage]]:
    """Each part in pieces, and what the parts share."""
    names = list(ask.fractions)
    pieces = {name: _Pieces() for name in names}
    watch, begin = _Watch(ask, folder), 0
    for at, block in enumerate(blocks(data)):
        here = parts[begin : begin + block.height]
        watch.add(block, here, begin)
        begin += block.height
        for number, name in enumerate(names):
            chosen = block.filter(Series(here == number))
            pieces[name].add(chosen, folder / f"{name}-{at}.piece")
    return pieces, watch.found()


class _Watch:
    """Sees the rows and their parts go by, and knows in the end what the parts share."""

    def __init__(self, ask: SplitRequest, folder: Path) -> None:
        self._ask = ask
        self._rows = Spread(folder)
        self._groups = None if ask.leak_column is None else Spread(folder)
        self._texts = None if ask.text_column is None else Texts(folder)

    def add(self, block: DataFrame, parts: Parts, first: int) -> None:
        """Take in a block; ``first`` is the position of its first row."""
        texts = plain(block)
        self._rows.add(texts.hash_rows(seed=1).to_numpy(), parts, first)
        if self._groups is not None:
            hashes = texts.select(self._ask.leak_column).hash_rows(seed=1)
            self._groups.add(hashes.to_numpy(), parts, first)
        if self._texts is not None:
            self._texts.add(texts[str(self._ask.text_column)].to_list(), parts, first)

    def found(self) -> list[Leakage]:
        """Of each two parts that share something."""
        names = list(self._ask.fractions)
        rows = equal(self._rows, len(names))
        groups = None if self._groups is None else equal(self._groups, len(names), once=True)
        texts = None
        if self._texts is not None:
            texts = self._texts.near(len(names), self._ask.similarity)
        made = []
        for (first, second), count in rows.items():
            shared = None if groups is None else groups[first, second]
            near, told = (None, []) if texts is None else texts[first, second]
            if count or shared or near:
                one = Leakage(parts=[names[first], names[second]], rows=count, groups=shared)
                made.append(structs.replace(one, texts=near, near_duplicates=told))
        return made
