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
from numpy.typing import NDArray
from polars import DataFrame, Expr, LazyFrame, Series

from modelyard.ml import distinct
from modelyard.ml.correlation import MOST_CATEGORIES, cramer, pearson
from modelyard.ml.distinct import duplicates
from modelyard.ml.figures import (
    ColumnProfile,
    Correlation,
    Frequent,
    Histogram,
    Lengths,
    Outliers,
)
from modelyard.ml.figures import Profile as Profile
from modelyard.ml.figures import Value as Value
from modelyard.ml.reading import Source, column, height, kinds, opened, streamed
from modelyard.ml.rowgroups import of_long_rows
from modelyard.ml.sampling import described, sample

WHOLE = 200_000  # rows that are looked at one by one; of more, a sample of about as many
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BINS = 20
TOP = 10  # most frequent values that are told of
MOST_CLASSES = 1000
FENCE = 1.5  # interquartile ranges
_SHOWN = 200  # characters of a text
_WHOLE_FLOATS = 2**52  # up to here floats tell whole numbers apart
_EPOCH = datetime.datetime(1970, 1, 1)


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
    drawn = sample(frame, rows, whole, seed, of_long_rows(source))
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
) -> ColumnProfile:
    nulls = int(figures[f"nulls:{name}"])
    values = drawn[name].drop_nulls()
    exact = drawn.height == rows
    number = values.n_unique() if exact else distinct.estimated(frame, name)
    ordered = of in ("integer", "number", "date", "datetime")
    return ColumnProfile(
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
        histogram=_histogram(values, of),
        top=_top(values) if of not in ("number", "other") else [],
        lengths=_lengths(name, figures, values) if of == "string" and nulls < rows else None,
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


def _histogram(values: Series, of: str) -> Histogram | None:
    """Bins of one width; of whole numbers each holds as many of them, so that none looks rare."""
    if of not in ("integer", "number", "date", "datetime") or not len(values):
        return None
    if of in ("date", "datetime"):
        return _of_moments(values.cast(pl.Datetime("us")).cast(pl.Int64))
    numbers = values.cast(pl.Float64).to_numpy()
    low, high = float(numbers.min()), float(numbers.max())
    if of == "number" or high - low > _WHOLE_FLOATS:
        counts, edges = np.histogram(numbers, bins=BINS)
        return Histogram(edges=edges.tolist(), counts=counts.tolist())
    return _of_integers(numbers, int(low), int(high))


def _of_integers(numbers: NDArray[np.float64], low: int, high: int) -> Histogram:
    span = high - low + 1
    width = -(-span // BINS)
    edges = [low + width * at for at in range(-(-span // width) + 1)]
    counts, _ = np.histogram(numbers, bins=np.array(edges, dtype=np.float64))
    return Histogram(edges=list(map(float, edges)), counts=counts.tolist())


def _of_moments(micros: Series) -> Histogram:
    counts, edges = np.histogram(micros.to_numpy(), bins=BINS)
    told = [
        (_EPOCH + datetime.timedelta(microseconds=one)).isoformat(timespec="seconds")
        for one in edges.tolist()
    ]
    return Histogram(edges=list(told), counts=counts.tolist())


def _top(values: Series) -> list[Frequent]:
    """The most frequent; among equals the smaller value first."""
    if not len(values):
        return []
    counted = values.alias("value").value_counts(name="count")
    best = counted.sort(["count", "value"], descending=[True, False]).head(TOP)
    return [
        Frequent(value=plain(value), share=count / len(values)) for value, count in best.iter_rows()
    ]


def _lengths(name: str, figures: dict[str, Any], values: Series) -> Lengths:
    return Lengths(
        histogram=_histogram(values.str.len_chars(), "integer"),
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
    drawn: DataFrame, types: dict[str, str], columns: list[ColumnProfile]
) -> list[Correlation]:
    """The strongest first."""
    categories = [
        one.name
        for one in columns
        if one.type in ("string", "boolean") and 2 <= one.distinct <= MOST_CATEGORIES
    ]
    found = pearson(drawn, _numeric(types)) + cramer(drawn, categories)
    return sorted(found, key=lambda one: (-abs(one.value), one.a, one.b))


def _classes(
    frame: LazyFrame, columns: list[ColumnProfile], target: str | None
) -> dict[str, float]:
    one = next((one for one in columns if one.name == target), None)
    if one is None or one.distinct > MOST_CLASSES or one.type == "other":
        return {}
    counted = streamed(frame.select(value=column(one.name)).drop_nulls().group_by("value").len())
    total = counted["len"].sum()
    ordered = counted.sort(["len", "value"], descending=[True, False])
    return {str(plain(value)): count / total for value, count in ordered.iter_rows()}
