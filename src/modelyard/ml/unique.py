"""Rows that repeat an earlier one's values in some columns: every one counted, memory bounded."""

from __future__ import annotations

import polars as pl
from polars import LazyFrame

from modelyard.ml.distinct import MOST_HASHES, hashed
from modelyard.ml.reading import column, streamed

_ROW = "\0row"


def repeated(
    frame: LazyFrame, names: list[str], rows: int, samples: int, most: int = MOST_HASHES
) -> tuple[int, int, list[int]]:
    """How many rows have all these values, how many of them repeat an earlier row's, and the first
    ``samples`` such positions, ascending.

    Values are compared by 64-bit hashes (``distinct.hashed`` tells the chance of a mistake), those
    of one part of the hashes after those of the other, so that at most about ``most`` are kept.
    """
    every = pl.all_horizontal(column(name).is_not_null() for name in names)
    there = frame.with_row_index(_ROW).filter(every)
    keyed = there.select(pl.col(_ROW), hash=hashed(names))
    parts = max(1, -(-rows // most))
    checked = broken = 0
    found: list[int] = []
    for part in range(parts):
        mine = keyed.filter(pl.col("hash") // 2**20 % parts == part) if parts > 1 else keyed
        groups = mine.group_by("hash").agg(size=pl.len(), first=pl.col(_ROW).min())
        table = streamed(groups)
        checked += int(table["size"].sum())
        extra = int(table["size"].sum()) - table.height
        broken += extra
        if extra and samples:
            again = table.filter(pl.col("size") > 1).lazy()
            later = mine.join(again, on="hash").filter(pl.col(_ROW) != pl.col("first"))
            least = streamed(later.select(pl.col(_ROW).bottom_k(samples)))
            found = sorted([*found, *least[_ROW].to_list()])[:samples]
    return checked, broken, found
