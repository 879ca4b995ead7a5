"""What a table holds: each column's figures, how columns go together, what is repeated.

Counts, means, deviations, skewness, extremes and outliers are those of all rows, streamed. Distinct
values, quantiles, histograms, frequent values and correlations are exact up to ``WHOLE`` rows;
above, the answer says from how large a sample they are and how far they may be off.
"""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import polars as pl
from msgspec import Struct
from polars import DataFrame, Expr, LazyFrame, Series

from modelyard.ml import distinct
from modelyard.ml.correlation import MOST_CATEGORIES, Correlation, cramer, pearson
from modelyard.ml.distinct import Duplicates, duplicates
from modelyard.ml.reading import Source, column, height, kinds, opened, streamed
from modelyard.ml.sampling import Sample, described, sample

WHOLE = 200_000  # rows that are looked at one by one; of more, a sample of about as many
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 20
TOP = 10  # most frequent values that are told of
MOST_CLASSES = 1000
FENCE = 1.5  # interquartile ranges
_SHOWN = 200  # characters of a text

Value = int | float | str | bool | None


class Histogram(Struct, frozen=True, kw_only=True):
    """``counts[i]`` rows lie from ``edges[i]`` to below ``edges[i + 1]``; the last edge is in."""

    edges: list[float]
    counts: list[int]


class Frequent(Struct, frozen=True, kw_only=True):
    """A value, and the share (0 to 1) of the rows that have one."""

    value: Value
    share: float


class Lengths(Struct, frozen=True, kw_only=True):
    """Characters of the texts."""

    minimum: int
    mean: float
    maximum: int


class Outliers(Struct, frozen=True, kw_only=True):
    """Tukey's rule: what lies outside of [Q1 - 1.5 IQR, Q3 + 1.5 IQR] ("Exploratory data
    analysis", 1977). ``count`` is of all rows, ``share`` of those with a value. A column whose
    quartiles are equal has no such fences and no figure.
    """

    low: float
    high: float
    count: int
    share: float


class Column(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A column. ``deviation`` is that of a sample (n - 1); ``skewness`` is m3 / m2^1.5.

    ``distinct`` does not count null, and has the relative standard error ``distinct_error``.
    ``quantiles`` are values that occur: the least whose share of values at or below is as asked.
    Moments are ISO 8601.
    """

    name: str
    type: str
    nulls: int
    null_share: float
    distinct: int
    distinct_error: float = 0.0
    minimum: Value = None
    maximum: Value = None
    mean: float | None = None
    deviation: float | None = None
    skewness: float | None = None
    quantiles: dict[str, Value] | None = None
    histogram: Histogram | None = None
    top: list[Frequent] = []
    lengths: Lengths | None = None
    outliers: Outliers | None = None


class Profile(Struct, frozen=True, kw_only=True, rename="camel"):
    """A table. ``sample`` is None where every figure is exact.

    ``class_distribution`` holds the share of each value of ``target`` among the rows that have one;
    it is empty without a target, or with more than ``MOST_CLASSES`` values.
    """

    rows: int
    columns: list[Column]
    duplicates: Duplicates
    correlations: list[Correlation]
    sample: Sample | None
    target: str | None
    class_distribution: dict[str, float]


class Statistics(Struct, frozen=True, kw_only=True, rename="camel"):
    """A dataset's ``statistics``, as shares from 0 to 1.

    ``null_values``: absent cells of all cells. ``duplicates``: rows that repeat an earlier one.
    ``outliers``: cells outside of their column's fences, of the numbers present in columns with
    fences.
    """

    null_values: float
    duplicates: float
    outliers: float
    class_distribution: dict[str, float]


class UnknownColumn(ValueError):
    """A column that the table lacks; the message names it and those there are."""


def profile(
    source: Source, target: str | None = None, *, seed: int = 0, whole: int = WHOLE
) -> Profile:
    """Look at every row once or a few times, in memory that does not grow with the rows.

    Raises ``UnknownColumn`` for a ``target`` that is no column; OSError and
    ``polars.exceptions.PolarsError`` for a file that is none.
    """
    frame = opened(source)
    types = kinds(frame)
    if target is not None and target not in types:
        raise UnknownColumn(f"there is no column {target!r}; the columns are {', '.join(types)}")
    rows = height(frame)
    drawn = sample(frame, rows, whole, seed)
    first = _first(frame, types)
    quartiles = {name: _quartiles(drawn[name]) for name in _numeric(types)}
    second = _second(frame, first, quartiles)
    columns = [
        _column(frame, name, of, drawn, rows, {**first, **second}, quartiles.get(name))
        for name, of in types.items()
    ]
    return Profile(
        rows=rows,
        columns=columns,
        duplicates=duplicates(frame, rows),
        correlations=_correlations(drawn, types, columns),
        sample=described(drawn.height, rows) if 0 < drawn.height < rows else None,
        target=target,
        class_distribution=_classes(frame, columns, target),
    )


def statistics(of: Profile) -> Statistics:
    """The four figures of a dataset."""
    cells = of.rows * len(of.columns)
    fenced = [
        (one.outliers.count, of.rows - one.nulls) for one in of.columns if one.outliers is not None
    ]
    values = sum(count for _, count in fenced)
    return Statistics(
        null_values=sum(one.nulls for one in of.columns) / cells if cells else 0.0,
        duplicates=of.duplicates.share,
        outliers=sum(count for count, _ in fenced) / values if values else 0.0,
        class_distribution=of.class_distribution,
    )


def _numeric(types: dict[str, str]) -> list[str]:
    return [name for name, of in types.items() if of in ("integer", "number")]


def _first(frame: LazyFrame, types: dict[str, str]) -> dict[str, Any]:
    """One pass: nulls, extremes, mean and deviation, lengths; keyed by figure and cells."""
    wanted: list[Expr] = []
    for name, of in types.items():
        cells = column(name)
        wanted.append(cells.null_count().alias(f"nulls:{name}"))
        if of in ("integer", "number", "date", "datetime", "boolean"):
            wanted += [cells.min().alias(f"min:{name}"), cells.max().alias(f"max:{name}")]
        if of in ("integer", "number"):
            number = cells.cast(pl.Float64)
            wanted += [number.mean().alias(f"mean:{name}"), number.std().alias(f"std:{name}")]
        if of == "string":
            length = cells.str.len_chars()
            wanted += [length.min().alias(f"shortest:{name}")]
            wanted += [length.max().alias(f"longest:{name}")]
            wanted += [length.mean().alias(f"length:{name}")]
    return streamed(frame.select(wanted)).row(0, named=True) if wanted else {}


def _second(
    frame: LazyFrame, first: dict[str, Any], quartiles: dict[str, tuple[float, float] | None]
) -> dict[str, Any]:
    """Another: what needs mean, deviation and quartiles: skewness and outliers."""
    wanted: list[Expr] = []
    for name, pair in quartiles.items():
        number = column(name).cast(pl.Float64)
        mean, spread = first[f"mean:{name}"], first[f"std:{name}"]
        if spread:
            cubes = ((number - mean) / spread).pow(3).mean()
            wanted.append(cubes.alias(f"cubes:{name}"))
        if fences := _fences(pair):
            outside = (number < fences[0]) | (number > fences[1])
            wanted.append(outside.sum().alias(f"outside:{name}"))
    return streamed(frame.select(wanted)).row(0, named=True) if wanted else {}


def _quartiles(cells: Series) -> tuple[float, float] | None:
    low, high = (cells.quantile(at, "equiprobable") for at in (0.25, 0.75))
    return None if low is None or high is None else (float(low), float(high))


def _fences(pair: tuple[float, float] | None) -> tuple[float, float] | None:
    if pair is None or pair[0] == pair[1]:
        return None
    reach = FENCE * (pair[1] - pair[0])
    return pair[0] - reach, pair[1] + reach


def _column(
    frame: LazyFrame,
    name: str,
    of: str,
    drawn: DataFrame,
    rows: int,
    figures: dict[str, Any],
    pair: tuple[float, float] | None,
) -> Column:
    nulls = int(figures[f"nulls:{name}"])
    values = drawn[name].drop_nulls()
    exact = drawn.height == rows
    number = values.n_unique() if exact else distinct.estimated(frame, name)
    ordered = of in ("integer", "number", "date", "datetime")
    return Column(
        name=name,
        type=of,
        nulls=nulls,
        null_share=nulls / rows if rows else 0.0,
        distinct=min(number, rows - nulls),
        distinct_error=0.0 if exact else distinct.ERROR,
        minimum=plain(figures.get(f"min:{name}")),
        maximum=plain(figures.get(f"max:{name}")),
        mean=figures.get(f"mean:{name}"),
        deviation=figures.get(f"std:{name}"),
        skewness=_skewness(figures.get(f"cubes:{name}"), rows - nulls),
        quantiles=_quantiles(values) if ordered and len(values) else None,
        histogram=_histogram(values) if of in ("integer", "number") and len(values) else None,
        top=_top(values) if of not in ("number", "other") else [],
        lengths=_lengths(name, figures) if of == "string" and nulls < rows else None,
        outliers=_outliers(name, figures, pair, rows - nulls),
    )


def plain(value: object) -> Value:
    """A value as JSON has it; a moment in ISO 8601, a long text cut."""
    if isinstance(value, str):
        return value[:_SHOWN]
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    return str(value)[:_SHOWN]


def _skewness(cubes: float | None, values: int) -> float | None:
    """From the mean of ((x - mean) / s)³, where s² divides by n - 1."""
    return None if cubes is None else cubes * float((values / (values - 1)) ** 1.5)


def _quantiles(values: Series) -> dict[str, Value]:
    ordered = values.sort()
    last = len(ordered) - 1
    places = [min(max(int(np.ceil(at * len(ordered))) - 1, 0), last) for at in QUANTILES]
    return {f"{at:g}": plain(ordered[one]) for at, one in zip(QUANTILES, places, strict=True)}


def _histogram(values: Series) -> Histogram:
    counts, edges = np.histogram(values.cast(pl.Float64).to_numpy(), bins=BINS)
    return Histogram(edges=edges.tolist(), counts=counts.tolist())


def _top(values: Series) -> list[Frequent]:
    """The most frequent; among equals the smaller value first."""
    if not len(values):
        return []
    counted = values.alias("value").value_counts(name="count")
    best = counted.sort(["count", "value"], descending=[True, False]).head(TOP)
    return [
        Frequent(value=plain(value), share=count / len(values)) for value, count in best.iter_rows()
    ]


def _lengths(name: str, figures: dict[str, Any]) -> Lengths:
    return Lengths(
        minimum=int(figures[f"shortest:{name}"]),
        mean=float(figures[f"length:{name}"]),
        maximum=int(figures[f"longest:{name}"]),
    )


def _outliers(
    name: str, figures: dict[str, Any], pair: tuple[float, float] | None, values: int
) -> Outliers | None:
    fences = _fences(pair)
    if fences is None:
        return None
    count = int(figures[f"outside:{name}"])
    return Outliers(low=fences[0], high=fences[1], count=count, share=count / values)


def _correlations(
    drawn: DataFrame, types: dict[str, str], columns: list[Column]
) -> list[Correlation]:
    """The strongest first."""
    categories = [
        one.name
        for one in columns
        if one.type in ("string", "boolean") and 2 <= one.distinct <= MOST_CATEGORIES
    ]
    found = pearson(drawn, _numeric(types)) + cramer(drawn, categories)
    return sorted(found, key=lambda one: (-abs(one.value), one.a, one.b))


def _classes(frame: LazyFrame, columns: list[Column], target: str | None) -> dict[str, float]:
    one = next((one for one in columns if one.name == target), None)
    if one is None or one.distinct > MOST_CLASSES or one.type == "other":
        return {}
    counted = streamed(frame.select(value=column(one.name)).drop_nulls().group_by("value").len())
    total = counted["len"].sum()
    ordered = counted.sort(["len", "value"], descending=[True, False])
    return {str(plain(value)): count / total for value, count in ordered.iter_rows()}
