"""How many different values there are, and how many rows are repeated: in bounded memory."""

from __future__ import annotations

import math

import polars as pl
from polars import Expr, LazyFrame

from modelyard.ml.figures import Duplicates
from modelyard.ml.reading import column as exactly
from modelyard.ml.reading import streamed

PRECISION = 14  # bits: 16,384 registers
REGISTERS = 1 << PRECISION
ERROR = 1.04 / math.sqrt(REGISTERS)  # relative standard error: 0.8 %
MOST_HASHES = 2_000_000  # that are kept at once
_SEED = 20_070_612


def estimated(frame: LazyFrame, column: str) -> int:
    """How many different values a column has, null not counted; relative standard error ``ERROR``.

    HyperLogLog (Flajolet, Fusy, Gandouet and Meunier, AofA 2007) over 64-bit hashes, with linear
    counting below 2.5 registers, where the error is smaller. Memory: 16,384 registers.
    """
    hashed = frame.select(hash=exactly(column)).drop_nulls().select(pl.col("hash").hash(_SEED))
    rest = pl.col("hash") // REGISTERS
    rank = (rest.bitwise_leading_zeros() - PRECISION + 1).cast(pl.UInt8)
    register = (pl.col("hash") % REGISTERS).cast(pl.UInt16)
    grouped = hashed.select(register=register, rank=rank).group_by("register")
    ranks = streamed(grouped.agg(pl.col("rank").max()))["rank"]
    empty = REGISTERS - len(ranks)
    weight = float((2.0 ** -ranks.cast(pl.Float64)).sum()) + empty
    raw = 0.7213 / (1 + 1.079 / REGISTERS) * REGISTERS**2 / weight
    if raw <= 2.5 * REGISTERS and empty:
        return round(REGISTERS * math.log(REGISTERS / empty))
    return round(raw)


def hashed(names: list[str]) -> Expr:
    """A 64-bit number of a row's values: equal rows have equal numbers.

    Two of n different rows share one with a chance of about n²/2^65: 3e-8 for a million.
    """
    return pl.struct(exactly(one) for one in names).hash(_SEED)


def duplicates(
    frame: LazyFrame, rows: int, names: list[str] | None = None, most: int = MOST_HASHES
) -> Duplicates:
    """How many rows are repeated (in the columns ``names``), keeping at most about ``most`` hashes.

    The error is that of a ratio of sums over the sampled distinct rows (Cochran, "Sampling
    techniques", 6.4), with the finite correction.
    """
    chosen = frame.collect_schema().names() if names is None else names
    if not rows or not chosen:
        return Duplicates(share=0.0, count=0, error=0.0, exact=True)
    parts = -(-rows // most)
    mine = frame.select(hash=hashed(chosen))
    if parts > 1:
        mine = mine.filter(pl.col("hash") // 2**20 % parts == 0)
    sizes = mine.group_by("hash").agg(pl.len().cast(pl.Float64).alias("size"))
    size = pl.col("size")
    found = streamed(
        sizes.select(
            groups=pl.len(),
            rows=size.sum(),
            squares=(size * size).sum(),
        )
    ).row(0, named=True)
    groups, seen, squares = found["groups"], found["rows"] or 0.0, found["squares"] or 0.0
    share = (seen - groups) / seen if seen else 0.0
    # Residuals of a group of c rows: (c - 1) - share * c = c * (1 - share) - 1.
    kept = 1 - share
    residuals = kept * kept * squares - 2 * kept * seen + groups
    error = math.sqrt(max(residuals, 0.0) * (1 - 1 / parts)) / seen if seen else 1.0
    return Duplicates(share=share, count=round(share * rows), error=error, exact=parts == 1)
