"""How many rows go together, in a file and in memory: bounded by rows and by bytes.

polars holds a row group several times over while it is read or written, so a group of long rows has
few of them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate
from pathlib import Path

import polars as pl

from modelyard.ml import footer

ROW_GROUP = 128 * 1024  # rows
GROUP_BYTES = 24 << 20  # as the values take them in memory
MOST_CHUNKS = 1 << 16  # columns of row groups in a file: of more, its footer has megabytes
LONG = 4096  # bytes of a row, on average, from which on rows are long
_CELL = 8  # bytes of a value in memory, at least, however well a file packs it

Weight = tuple[int, int]  # rows that are together, and the bytes that they take


def weights(data: Path) -> list[Weight]:
    """Of each row group of a Parquet file, as its footer has it.

    A footer that cannot be read tells nothing: all rows are one group of no known weight (0).
    """
    try:
        with data.open("rb") as stream:
            end = stream.seek(-footer.TAIL, 2)
            size = footer.length(stream.read())
            stream.seek(end - size)
            found = footer.groups(stream.read(size))
    except (footer.BadFooter, OSError):
        return [(int(pl.scan_parquet(data).select(pl.len()).collect().item()), 0)]
    return [(one.rows, max(one.unpacked, one.rows * len(one.chunks) * _CELL)) for one in found]


def spans(found: Iterable[Weight]) -> Iterator[tuple[int, int]]:
    """All rows of a file of such groups in blocks: the first of each, and how many they are."""
    begin = rows = size = 0
    for more, bytes_ in found:
        if rows and (rows + more > ROW_GROUP or size + bytes_ > GROUP_BYTES):
            yield begin, rows
            begin, rows, size = begin + rows, 0, 0
        rows, size = rows + more, size + bytes_
        if rows > ROW_GROUP or size > GROUP_BYTES:  # a large group, of another program
            most = _affordable(rows, size)
            for first in range(0, rows, most):
                yield begin + first, min(most, rows - first)
            begin, rows, size = begin + rows, 0, 0
    if rows:
        yield begin, rows


def of_long_rows(source: Path | pl.LazyFrame) -> list[tuple[int, int]] | None:
    """The spans of a file whose rows are long; None for other tables."""
    if not isinstance(source, Path):
        return None
    found = weights(source)
    rows, size = sum(rows for rows, _ in found), sum(size for _, size in found)
    return list(spans(found)) if size > LONG * rows else None


def together(found: Iterable[Weight], columns: int) -> int:
    """How many rows a group of a new file has, so that no group of these rows is too heavy.

    Where a few rows are much longer than the others, as far as the number of groups allows.
    """
    kept = [one for one in found if one[0]]
    ends = list(accumulate(rows for rows, _ in kept))
    sums = [0, *accumulate(size for _, size in kept)]
    most = GROUP_BYTES + max((size // rows for rows, size in kept), default=0)

    def before(row: int) -> float:
        """The bytes of the rows before one."""
        at = bisect_left(ends, row)
        if at == len(ends):
            return sums[-1]
        rows, size = kept[at]
        return sums[at] + size * (row - ends[at] + rows) / rows

    def fits(rows: int) -> bool:
        begins = [0, *ends[:-1]]
        return all(before(begin + rows) - sums[at] <= most for at, begin in enumerate(begins))

    rows = ROW_GROUP
    least = max(1, -(-ends[-1] * columns // MOST_CHUNKS) if ends else 1)
    while rows > least and not fits(rows):
        rows = max(rows // 2, least)
    return rows


def _affordable(rows: int, size: int) -> int:
    return max(1, min(ROW_GROUP, rows * GROUP_BYTES // max(1, size)))


def of_file(data: Path) -> int:
    """How many rows a group of a file has that is made of the rows of this one."""
    return together(weights(data), len(pl.read_parquet_schema(data)))
