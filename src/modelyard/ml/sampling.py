"""Rows at random, the same on any machine, and what can be said of all rows from them."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np
import polars as pl
from polars import DataFrame, LazyFrame, Series

from modelyard.ml import chance
from modelyard.ml.figures import Sample as Sample
from modelyard.ml.reading import streamed

CONFIDENCE = 0.99
Spans = Sequence[tuple[int, int]]  # the first row of each block, and how many they are
_BLOCK = 1 << 20  # positions at once


def described(rows: int, of: int, confidence: float = CONFIDENCE) -> Sample:
    """What ``rows`` of ``of`` rows tell; ``rows`` is at least 1."""
    bound = math.sqrt(math.log(2 / (1 - confidence)) / (2 * rows))
    return Sample(rows=rows, of=of, confidence=confidence, bound=min(bound, 1.0))


def positions(rows: int, wanted: int, seed: int, purpose: str = "sample") -> LazyFrame:
    """About ``wanted`` (± its root) of the positions 0 to ``rows`` - 1, ascending, each by chance.

    One column ``position`` (UInt32). Memory is that of the answer and 16 MB.
    """
    below = np.uint64(min(int(wanted / max(rows, 1) * 2**64), 2**64 - 1))
    found = [
        np.flatnonzero(
            chance.of_positions(min(_BLOCK, rows - first), seed, purpose, first) < below
        ).astype(np.uint32)
        + np.uint32(first)
        for first in range(0, rows, _BLOCK)
    ]
    every = np.concatenate(found) if found else np.zeros(0, dtype=np.uint32)
    return pl.LazyFrame({"position": every}, schema={"position": pl.UInt32})


def sample(
    frame: LazyFrame, rows: int, wanted: int, seed: int, spans: Spans | None = None
) -> DataFrame:
    """Rows at random in their order: all where ``rows`` (of ``frame``) is at most ``wanted``.

    ``spans`` are the blocks to read the rows of a file in, one by one, where they are long.
    """
    if rows <= wanted:
        return streamed(frame)
    if spans is not None:
        return _of_blocks(frame, positions(rows, wanted, seed).collect().to_series(), spans)
    name = "\0position"
    chosen = positions(rows, wanted, seed).rename({"position": name})
    drawn = frame.with_row_index(name).join(chosen, on=name, how="semi", maintain_order="left")
    return streamed(drawn.drop(name))


def _of_blocks(frame: LazyFrame, chosen: Series, spans: Spans) -> DataFrame:
    """These rows of a file, block by block.

    A text that is kept keeps the whole block that it came in, so it is written and read again.
    """
    found = [frame.head(0).collect()]
    for first, rows in spans:
        mine = chosen.filter((chosen >= first) & (chosen < first + rows)) - first
        if mine.len():
            file = io.BytesIO()
            streamed(frame.slice(first, rows))[mine].write_ipc(file)
            found.append(pl.read_ipc(file.getvalue()))
    return pl.concat(found)
