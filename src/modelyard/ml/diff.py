"""What changed from one version of a table to the next: rows, columns, figures."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl
from polars import DataFrame, Expr, LazyFrame

from modelyard.ml.changes import Diff, Key, Retyped, Schemas, Shift
from modelyard.ml.distinct import MOST_HASHES, hashed
from modelyard.ml.figures import Profile
from modelyard.ml.profile import plain
from modelyard.ml.reading import Source, column, height, opened, streamed

SAMPLES = 20
_HASHES = 4  # times as many cells as ``MOST_HASHES`` are kept at once


class Incomparable(ValueError):
    """A key that is none of these tables; the message says why."""


class _Counts:
    """What the parts add up to."""

    def __init__(self, names: Sequence[str]) -> None:
        self.added = self.removed = self.changed = self.same = 0
        self.cells = dict.fromkeys(names, 0)
        self.samples: dict[str, list[int]] = {"added": [], "removed": [], "changed": []}

    def sample(self, which: str, found: DataFrame) -> None:
        kept = self.samples[which]
        kept += found["key"].head(SAMPLES - len(kept)).to_list()


def diff(
    old: Source, new: Source, key: Sequence[str] = (), most: int = _HASHES * MOST_HASHES
) -> Diff:
    """Compare two versions, keeping 64-bit hashes of at most about ``most`` cells at once.

    Rows are matched part by part of their keys' hashes, so that memory does not grow with them.
    Raises ``Incomparable`` for a key that is not in both with one type, or not unique in one.
    """
    left, right = opened(old), opened(new)
    before, after = left.collect_schema(), right.collect_schema()
    shared = [name for name in before if name in after and before[name] == after[name]]
    for name in key:
        if name not in shared:
            raise Incomparable(f"the key column {name!r} is not in both versions with one type")
    compared = [name for name in shared if name not in key] if key else []
    if not shared:
        raise Incomparable("the versions have no column of the same name and type")
    rows = height(left), height(right)
    parts = max(1, -(-max(rows) * (len(compared) + 1) // most))
    counts = _Counts(compared)
    for part in range(parts):
        mine, theirs = (
            _part(of, list(key) or shared, compared, part, parts, bool(key)) for of in (left, right)
        )
        (_by_key if key else _by_row)(mine, theirs, counts)
    shown = list(key) or shared
    return Diff(
        key=list(key),
        old_rows=rows[0],
        new_rows=rows[1],
        added=counts.added,
        removed=counts.removed,
        changed=counts.changed,
        same=counts.same,
        cells={name: count for name, count in counts.cells.items() if count},
        schema=_schemas(left, right),
        added_samples=_shown(right, shown, counts.samples["added"]),
        removed_samples=_shown(left, shown, counts.samples["removed"]),
        changed_samples=_shown(right, shown, counts.samples["changed"]),
    )


def shifts(old: Profile, new: Profile) -> list[Shift]:
    """The figures that differ, of the columns in both."""
    before = {one.name: one for one in old.columns}
    figures = ("null_share", "distinct", "minimum", "maximum", "mean", "deviation", "skewness")
    return [
        Shift(column=one.name, figure=figure, old=was, new=now)
        for one in new.columns
        if one.name in before
        for figure in figures
        for was, now in [(getattr(before[one.name], figure), getattr(one, figure))]
        if was != now
    ]


def _schemas(left: LazyFrame, right: LazyFrame) -> Schemas:
    before, after = left.collect_schema(), right.collect_schema()
    return Schemas(
        added=[name for name in after if name not in before],
        removed=[name for name in before if name not in after],
        retyped=[
            Retyped(column=name, old=str(before[name]), new=str(after[name]))
            for name in before
            if name in after and before[name] != after[name]
        ],
    )


def _part(
    of: LazyFrame, key: list[str], compared: list[str], part: int, parts: int, unique: bool
) -> DataFrame:
    """Hashes of the keys in this part, and of each compared cell (or how many rows there are)."""
    cells: list[Expr] = [hashed([name]).alias(f"c{at}") for at, name in enumerate(compared)]
    mine = of.select(hashed(key).alias("key"), *cells)
    if parts > 1:
        mine = mine.filter(pl.col("key") // 2**20 % parts == part)
    if not unique:
        return streamed(mine.group_by("key").agg(pl.len().cast(pl.Int64).alias("rows")))
    table = streamed(mine)
    if table["key"].n_unique() < table.height:
        raise Incomparable(f"the key {', '.join(key)} is not unique: rows repeat it")
    return table


def _by_key(old: DataFrame, new: DataFrame, counts: _Counts) -> None:
    added = new.join(old, on="key", how="anti")
    removed = old.join(new, on="key", how="anti")
    both = old.join(new, on="key", suffix="_new")
    names = list(counts.cells)
    differs = [
        (pl.col(f"c{at}") != pl.col(f"c{at}_new")).alias(name) for at, name in enumerate(names)
    ]
    if differs:
        marks = both.select("key", *(one.alias(f"d{at}") for at, one in enumerate(differs)))
        changed = marks.filter(pl.any_horizontal(pl.exclude("key")))
    else:
        changed = both.clear()
    for at, name in enumerate(names):
        counts.cells[name] += int(changed[f"d{at}"].sum())
    counts.added += added.height
    counts.removed += removed.height
    counts.changed += changed.height
    counts.same += both.height - changed.height
    for which, found in (("added", added), ("removed", removed), ("changed", changed)):
        counts.sample(which, found)


def _by_row(old: DataFrame, new: DataFrame, counts: _Counts) -> None:
    both = old.join(new, on="key", how="full", coalesce=True, suffix="_new").fill_null(0)
    more = both.with_columns(more=pl.col("rows_new") - pl.col("rows"))
    added, removed = more.filter(pl.col("more") > 0), more.filter(pl.col("more") < 0)
    counts.added += int(added["more"].sum())
    counts.removed -= int(removed["more"].sum())
    counts.same += int(more.select(pl.min_horizontal("rows", "rows_new").sum()).item())
    counts.sample("added", added)
    counts.sample("removed", removed)


def _shown(of: LazyFrame, names: list[str], keys: list[int]) -> list[Key]:
    if not keys:
        return []
    wanted = pl.LazyFrame({"hash": keys}, schema={"hash": pl.UInt64})
    rows = of.select(
        hashed(names).alias("hash"),
        *(column(name).alias(f"k{at}") for at, name in enumerate(names)),
    )
    table = streamed(rows.join(wanted, on="hash", how="semi").unique("hash").drop("hash"))
    ordered = sorted(table.iter_rows(), key=repr)
    return [dict(zip(names, map(plain, row), strict=True)) for row in ordered]
