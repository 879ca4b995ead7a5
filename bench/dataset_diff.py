"""The memory that a diff of two large versions takes: ``python -m bench.dataset_diff --rows 20``.

Writes two Parquet files of so many million rows (a key and three columns; of the second one row of
a thousand is gone, one is new and one of a hundred has another value), and compares them by key as
the job of ``POST …/diff`` does, in a process of its own with the job's cores. Told are seconds of
the processor and the peak of resident memory; the counts are checked.
"""

import argparse
import json
import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("POLARS_MAX_THREADS", "1")

import polars as pl

from modelyard.ml.diff import diff

OUT = Path(__file__).resolve().parent / "out"
STEP = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[1, 5, 20], help="millions")
    asked = parser.parse_args()
    found = []
    for millions in asked.rows:
        with tempfile.TemporaryDirectory(prefix="modelyard-diff-") as folder:
            old, new = Path(folder) / "old.parquet", Path(folder) / "new.parquet"
            _apart(write, millions * STEP, old, new)
            found.append({"rows": millions * STEP, **_apart(compare, millions * STEP, old, new)})
        print(found[-1], flush=True)
    OUT.mkdir(exist_ok=True)
    (OUT / "dataset_diff.json").write_text(json.dumps(found, indent=2) + "\n")


def _apart(work: Callable[..., Any], *args: Any) -> Any:
    """What a function answers in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, args)


def write(rows: int, old: Path, new: Path) -> None:
    """Two versions of a table."""
    at = pl.int_range(rows, dtype=pl.Int64, eager=False)
    table = (
        pl.select(at.alias("id"))
        .lazy()
        .with_columns(
            country=pl.lit("land ") + (pl.col("id") % 97).cast(pl.String),
            amount=(pl.col("id") * 7919 % 1_000_003) / 100,
            note=pl.lit("customer ") + (pl.col("id") * 31 % 1009).cast(pl.String),
        )
    )
    table.sink_parquet(old, row_group_size=131_072)
    changed = pl.when(pl.col("id") % 100 == 1).then(pl.col("amount") + 1)
    ids = pl.when(pl.col("id") % 1000 == 0).then(pl.col("id") + rows).otherwise(pl.col("id"))
    other = table.with_columns(id=ids, amount=changed.otherwise(pl.col("amount")))
    other.sink_parquet(new, row_group_size=131_072)


def compare(rows: int, old: Path, new: Path) -> dict[str, float]:
    """The cost of a diff by key."""
    begun, used = time.monotonic(), time.process_time()
    found = diff(old, new, ["id"])
    assert (found.added, found.removed, found.changed) == (rows // 1000, rows // 1000, rows // 100)
    return {
        "seconds": round(time.monotonic() - begun, 1),
        "cpu_seconds": round(time.process_time() - used, 1),
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
    }


if __name__ == "__main__":
    main()
