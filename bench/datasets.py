"""Reading, profiling and splitting rows beside bare polars: ``python -m bench.datasets --data``.

Generated rows (eleven columns: numbers, texts, categories, dates, absent values). Each measurement
is a process of its own, ours and polars' in turns; told are the medians of wall seconds, of CPU
seconds and of the peak of resident memory. What takes more than ``--memory`` or ``--minutes`` is
stopped, and said to be. The peers:

- upload: a CSV file is sent to a server over HTTP, kept, read by its worker and kept as a version;
  the CPU is that of server and workers, the memory that of the server. Polars: as for read.
- read: a CSV file to Parquet. Polars guesses types from 10,000 rows and stops at a broken row.
- profile: "all rows" is a polars program that works out the same figures over all rows, exactly and
  in memory; "sampled" takes quantiles, bins, frequent values and correlations from a sample of the
  same size and distinct values from ``approx_n_unique``, as ours does.
- split: three stratified parts of exact sizes, written as Parquet. Polars ranks a shuffle within
  each class.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from bench.datasets_serving import Bounded, uploaded
from modelyard.ml.intake.sniffing import sniff
from modelyard.ml.intake.taking import take
from modelyard.ml.partition import coded, stratified
from modelyard.ml.profile import BINS, FENCE, QUANTILES, TOP, WHOLE, profile

OUT = Path(__file__).resolve().parent / "out"
PARTS = {"train": 0.7, "validation": 0.15, "test": 0.15}
STEP = 1_000_000
CATEGORIES = ("city", "plan", "active", "left")
NUMBERS = ("id", "age", "amount", "rate", "visits")
SUBJECTS = {
    "upload": ("modelyard", "polars"),
    "read": ("modelyard", "polars"),
    "profile": ("modelyard", "polars, sampled", "polars, all rows"),
    "split": ("modelyard", "polars"),
}


def generate(rows: int, folder: Path) -> None:
    """Write ``rows.csv`` and ``rows.parquet``."""
    with (folder / "rows.csv").open("wb") as out:
        for first in range(0, rows, STEP):
            table = block(first, min(STEP, rows - first))
            table.write_csv(out, include_header=first == 0)
            table.write_parquet(folder / f"part{first:012d}.parquet")
    pl.scan_parquet(folder / "part*.parquet").sink_parquet(folder / "rows.parquet")
    for part in folder.glob("part*.parquet"):
        part.unlink()


def block(first: int, rows: int) -> pl.DataFrame:
    """A part of the rows: what it holds follows from where it begins."""
    random = np.random.default_rng(first)
    words = np.array(["late", "parcel", "thanks", "broken", "again", "blue", "offer", "called"])
    chosen = words[random.integers(0, 8, (rows, 4))]
    table = pl.DataFrame(
        {
            "id": np.arange(first, first + rows),
            "age": random.integers(18, 95, rows),
            "amount": np.round(random.lognormal(3, 1, rows), 2),
            "rate": random.normal(size=rows),
            "visits": random.poisson(3, rows),
            "city": [f"city {n}" for n in random.zipf(1.5, rows) % 1000],
            "plan": np.array(["free", "basic", "plus", "pro", "team"])[random.integers(0, 5, rows)],
            "active": random.random(rows) < 0.8,
            "day": np.datetime64("2020-01-01") + random.integers(0, 1500, rows),
            "left": np.array(["no", "yes"])[(random.random(rows) < 0.2).astype(int)],
        }
    ).with_columns(note=pl.concat_str([pl.Series(chosen[:, at]) for at in range(4)], separator=" "))
    absent = pl.Series(random.random(rows) < 0.03)
    return table.with_columns(pl.when(~absent).then(pl.col("age")).alias("age"))


def read_ours(folder: Path) -> None:
    source = folder / "rows.csv"
    with source.open("rb") as data:
        dialect = sniff(data.read(256 * 1024), source.name)
        data.seek(0)
        take(data, dialect, folder / "read.parquet")


def read_polars(folder: Path) -> None:
    frame = pl.scan_csv(folder / "rows.csv", infer_schema_length=10_000, try_parse_dates=True)
    frame.sink_parquet(folder / "read.parquet")


def profile_ours(folder: Path) -> None:
    profile(folder / "rows.parquet", target="left")


def profile_all(folder: Path) -> None:
    figures(pl.read_parquet(folder / "rows.parquet"), None)


def profile_sampled(folder: Path) -> None:
    table = pl.scan_parquet(folder / "rows.parquet")
    rows = table.select(pl.len()).collect().item()
    step = max(1, rows // WHOLE)
    drawn = table.gather_every(step).collect(engine="streaming")
    figures(drawn, table)


def figures(table: pl.DataFrame, whole: pl.LazyFrame | None) -> None:
    """The figures of ``modelyard.ml.profile``; what can be exact is of ``whole`` if it is given."""
    every = table.lazy() if whole is None else whole
    types = table.schema
    wanted = []
    for name, of in types.items():
        cells = pl.col(name)
        wanted += [cells.null_count().alias(f"nulls {name}")]
        distinct = cells.n_unique() if whole is None else cells.approx_n_unique()
        wanted += [distinct.alias(f"distinct {name}")]
        if of != pl.String:
            wanted += [cells.min().alias(f"min {name}"), cells.max().alias(f"max {name}")]
        else:
            size = cells.str.len_chars()
            wanted += [size.min().alias(f"short {name}"), size.max().alias(f"long {name}")]
            wanted += [size.mean().alias(f"size {name}")]
        if name in NUMBERS:
            wanted += [cells.mean().alias(f"mean {name}"), cells.std().alias(f"std {name}")]
            wanted += [cells.skew().alias(f"skew {name}")]
            low, high = table[name].quantile(0.25), table[name].quantile(0.75)
            assert low is not None and high is not None
            reach = FENCE * (high - low)
            outside = (cells < low - reach) | (cells > high + reach)
            wanted += [outside.sum().alias(f"outside {name}")]
    every.select(wanted).collect(engine="streaming")
    every.select(pl.struct(pl.all()).n_unique()).collect(engine="streaming")
    every.group_by("left").len().collect(engine="streaming")
    for name, of in types.items():
        if of != pl.String and of != pl.Boolean:
            table.select(pl.col(name).quantile(at, "nearest").alias(str(at)) for at in QUANTILES)
        if name in NUMBERS:
            table[name].drop_nulls().hist(bin_count=BINS)
        if of == pl.Date:
            table[name].to_physical().hist(bin_count=BINS)
        if of == pl.String:
            table[name].str.len_chars().hist(bin_count=BINS)
        if of != pl.Float64:
            table[name].value_counts(sort=True).head(TOP)
    table.select(NUMBERS).drop_nulls().corr()
    for a, b in itertools.combinations([one for one in CATEGORIES if one != "city"], 2):
        table.group_by(a, b).len()


def split_ours(folder: Path) -> None:
    frame = pl.scan_parquet(folder / "rows.parquet")
    classes = frame.select("left").collect(engine="streaming")["left"]
    parts = pl.Series("part", stratified(*coded(classes.to_list()), PARTS, seed=1))
    write_parts(frame, parts, folder)


def split_polars(folder: Path) -> None:
    frame = pl.scan_parquet(folder / "rows.parquet")
    place = pl.int_range(pl.len()).shuffle(seed=1).over("left") / pl.len().over("left")
    part = (place >= 0.7).cast(pl.UInt8) + (place >= 0.85).cast(pl.UInt8)
    write_parts(frame, frame.select(part=part).collect()["part"], folder)


def write_parts(frame: pl.LazyFrame, parts: pl.Series, folder: Path) -> None:
    marked = pl.concat([frame, parts.to_frame().lazy()], how="horizontal")
    for at, name in enumerate(PARTS):
        marked.filter(pl.col("part") == at).drop("part").sink_parquet(folder / f"{name}.parquet")


WORK: dict[tuple[str, str], Callable[[Path], None]] = {
    ("upload", "polars"): read_polars,
    ("read", "modelyard"): read_ours,
    ("read", "polars"): read_polars,
    ("profile", "modelyard"): profile_ours,
    ("profile", "polars, sampled"): profile_sampled,
    ("profile", "polars, all rows"): profile_all,
    ("split", "modelyard"): split_ours,
    ("split", "polars"): split_polars,
}


def child(what: str, who: str, folder: Path) -> None:
    """Do it once, and print the seconds, those of CPU, and the peak of memory in MB."""
    if (what, who) == ("upload", "modelyard"):
        print(json.dumps(uploaded(folder / "rows.csv")))
        return
    begin, used = time.perf_counter(), time.process_time()
    WORK[what, who](folder)
    wall, cpu = time.perf_counter() - begin, time.process_time() - used
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"wall": wall, "cpu": cpu, "peak": peak}))


def measured(
    what: str, folder: Path, times: int, bounded: Bounded
) -> dict[str, dict[str, float] | str]:
    """The medians of each; or why it was stopped."""
    found: dict[str, list[dict[str, Any]]] = {who: [] for who in SUBJECTS[what]}
    for _ in range(times):
        for who, runs in found.items():
            if not any("stopped" in one for one in runs):
                runs.append(bounded.run(["--child", what, who, str(folder)]))
    return {who: _median(runs) for who, runs in found.items()}


def _median(runs: list[dict[str, Any]]) -> dict[str, float] | str:
    if over := next((one["stopped"] for one in runs if "stopped" in one), ""):
        return f"stopped: too much {over}"
    return {key: statistics.median(one[key] for one in runs) for key in runs[0]}


def told(rows: int, what: str, found: dict[str, dict[str, float] | str]) -> None:
    """A line for each."""
    ours = found["modelyard"]
    for who, one in found.items():
        line = f"{rows:>11,} {what:<8} {who:<18}"
        if isinstance(one, str):
            print(line, one, flush=True)
            continue
        line += f" {one['wall']:7.2f} s {one['cpu']:7.2f} s CPU {one['peak']:7.0f} MB"
        if who != "modelyard" and not isinstance(ours, str):
            wall, cpu = ours["wall"] / one["wall"], ours["cpu"] / one["cpu"]
            line += f"  ours / theirs: wall {wall:.2f}, CPU {cpu:.2f}"
        print(line, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", action="store_true", help="measure the work on rows and files")
    parser.add_argument("--rows", type=int, nargs="*", default=[1_000_000, 10_000_000])
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=30.0, help="for all of it")
    parser.add_argument("--memory", type=float, default=8.0, help="GB that each may have")
    parser.add_argument("--only", choices=tuple(SUBJECTS), nargs="*", default=list(SUBJECTS))
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child[0], asked.child[1], Path(asked.child[2]))
        return
    if not asked.data:
        parser.error("say what is measured: --data")
    results = {}
    bounded = Bounded(int(asked.memory * 1e9), asked.minutes * 60)
    for rows in asked.rows:
        with tempfile.TemporaryDirectory(prefix="datasets-") as name:
            generate(rows, Path(name))
            size = (Path(name) / "rows.csv").stat().st_size
            load = os.getloadavg()[0]
            print(
                f"{rows:,} rows, {size / 1e6:,.0f} MB of CSV, {os.cpu_count()} cores, load "
                f"{load:.1f}",
                flush=True,
            )
            for what in asked.only:
                found = measured(what, Path(name), asked.times, bounded)
                results[f"{what} {rows}"] = found
                told(rows, what, found)
    OUT.mkdir(exist_ok=True)
    (OUT / "datasets.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
