"""``python -m modelyard.catalog.datasets.giving``: a table to standard output, block by block."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import BinaryIO

import polars as pl

from modelyard.catalog.datasets.tables import blocks, plain
from modelyard.ml.intake.joining import ROW_GROUP


def write(data: Path, form: str, columns: list[str], out: BinaryIO) -> None:
    """Write a table as ``csv``, ``jsonl`` or ``parquet``; all columns where none are named."""
    if form == "parquet":
        target = data.with_suffix(".chosen")
        chosen = pl.scan_parquet(data).select(columns)
        chosen.sink_parquet(target, compression="zstd", row_group_size=ROW_GROUP)
        with target.open("rb") as stream:
            while part := stream.read(ROW_GROUP):
                out.write(part)
        return
    for number, block in enumerate(blocks(data, columns or None)):
        if form == "csv":
            plain(block).write_csv(out, include_header=number == 0)
        else:
            block.write_ndjson(out)


if __name__ == "__main__":
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    try:
        write(Path(sys.argv[1]), sys.argv[2], sys.argv[3:], sys.stdout.buffer)
        sys.stdout.flush()
    except BrokenPipeError:
        os._exit(1)  # nobody listens any more
