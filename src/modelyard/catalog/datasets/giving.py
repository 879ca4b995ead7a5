"""``python -m modelyard.catalog.datasets.giving``: a table to standard output, block by block.

What is asked for comes as JSON. ``ends`` tells how the process ends that cannot do it; the reason
is on standard error.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec
import polars as pl
from msgspec import Struct
from polars import DataFrame, LazyFrame

from modelyard.catalog.datasets.ends import FULL, MEMORY, REFUSED
from modelyard.catalog.datasets.tables import blocks, plain
from modelyard.jobs.compute import mapped
from modelyard.ml import expressions, reading, rowgroups
from modelyard.ml.tokens import BadExpression

_CHUNK = 256 * 1024  # bytes


class Wanted(Struct, frozen=True, kw_only=True):
    """What is wanted of a table; all columns where none are named."""

    form: str
    columns: list[str] = []
    filter: str = ""
    offset: int = 0
    limit: int | None = None


def write(data: Path, wanted: Wanted, out: BinaryIO) -> None:
    """Write the rows as ``csv``, ``jsonl``, ``parquet`` or ``arrow``. Raises ``BadExpression``."""
    if wanted.form in ("parquet", "arrow"):
        target = data.with_suffix(".chosen")
        frame = _chosen(pl.scan_parquet(data), wanted)
        if wanted.form == "arrow":
            frame.sink_ipc(target, compression="zstd")
        else:
            rows = rowgroups.of_file(data)
            frame.sink_parquet(target, compression="zstd", row_group_size=rows)
        with target.open("rb") as stream:
            while part := stream.read(_CHUNK):
                out.write(part)
        return
    for number, block in enumerate(_blocks(data, wanted)):
        if wanted.form == "csv":
            plain(block).write_csv(out, include_header=number == 0)
        else:
            _bytes_as_text(block).write_ndjson(out)


def _blocks(data: Path, wanted: Wanted) -> Iterator[DataFrame]:
    if wanted.limit is not None:
        rows = pl.scan_parquet(data).slice(wanted.offset, wanted.limit)
        yield _chosen(rows, wanted).collect()
        return
    for block in blocks(data, None if wanted.filter else wanted.columns or None):
        yield _chosen(block.lazy(), wanted).collect() if wanted.filter else block


def _chosen(rows: LazyFrame, wanted: Wanted) -> LazyFrame:
    if wanted.filter:
        rows = reading.opened(rows)
        rows = rows.filter(expressions.condition(wanted.filter, reading.kinds(rows)).expr)
    names = wanted.columns or rows.collect_schema().names()
    return rows.select([reading.column(name) for name in names])


def _bytes_as_text(block: DataFrame) -> DataFrame:
    return block.with_columns(pl.col(pl.Binary).bin.encode("base64"))


if __name__ == "__main__":
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    limit = MEMORY + mapped()
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        asked = msgspec.json.decode(sys.argv[2], type=Wanted)
        write(Path(sys.argv[1]), asked, sys.stdout.buffer)
        sys.stdout.flush()
    except BadExpression as error:
        sys.stderr.write(str(error))
        sys.exit(REFUSED)
    except OSError as error:
        sys.stderr.write(error.strerror or str(error))
        os._exit(FULL)
