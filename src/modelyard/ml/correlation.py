"""How columns go together: Pearson's r of numbers, Cramér's V of categories."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import combinations

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars import DataFrame

from modelyard.ml.figures import Correlation
from modelyard.ml.reading import column

MOST_COLUMNS = 100  # of a kind that are compared with each other
MOST_CATEGORIES = 50  # a column with more is no category
_NORMAL = 1.959963984540054  # the 97.5 % quantile of the normal distribution


def pearson(table: DataFrame, names: list[str]) -> list[Correlation]:
    """Every pair of the columns of numbers, at most ``MOST_COLUMNS``; constant ones have none.

    r = cov(x, y) / (sd(x) sd(y)) over the rows in which neither is absent.
    """
    chosen = names[:MOST_COLUMNS]
    if len(chosen) < 2:
        return []
    raw = table.select(column(name).cast(pl.Float64) for name in chosen).to_numpy()
    there = np.isfinite(raw)
    weights = there.astype(np.float64)
    # Near zero, so that squares lose nothing: by mean and deviation of each column.
    filled = np.where(there, raw, 0.0)
    number = np.maximum(weights.sum(axis=0), 1)
    centred = np.where(there, raw - filled.sum(axis=0) / number, 0.0)
    spread = np.sqrt((centred**2).sum(axis=0) / number)
    scaled = centred / np.where(spread > 0, spread, 1.0)
    return list(_pairs(chosen, scaled, weights))


def _pairs(
    names: list[str], values: NDArray[np.float64], there: NDArray[np.float64]
) -> Iterable[Correlation]:
    """``values`` (rows, columns) are 0 where absent, ``there`` 1 where present."""
    rows = there.T @ there
    sums = values.T @ there  # of the first column over the pair's rows
    squares = (values**2).T @ there
    products = values.T @ values
    for i, j in combinations(range(len(names)), 2):
        n = rows[i, j]
        if n < 3:
            continue
        covariance = products[i, j] - sums[i, j] * sums[j, i] / n
        first = squares[i, j] - sums[i, j] ** 2 / n
        second = squares[j, i] - sums[j, i] ** 2 / n
        if first <= 1e-12 * n or second <= 1e-12 * n:
            continue
        value = float(np.clip(covariance / math.sqrt(first * second), -1.0, 1.0))
        low, high = interval(value, int(n))
        yield Correlation(
            a=names[i], b=names[j], measure="pearson", value=value, rows=int(n), low=low, high=high
        )


def interval(r: float, rows: int) -> tuple[float, float]:
    """Fisher's 95 % interval: tanh(atanh(r) ± 1.96 / sqrt(rows - 3))."""
    if rows <= 3:
        return -1.0, 1.0
    if abs(r) >= 1:
        return r, r
    middle, width = math.atanh(r), _NORMAL / math.sqrt(rows - 3)
    return math.tanh(middle - width), math.tanh(middle + width)


def cramer(table: DataFrame, names: list[str]) -> list[Correlation]:
    """Every pair of categories, at most ``MOST_COLUMNS`` columns.

    V with Bergsma's correction of its bias (Journal of the Korean Statistical Society 42, 2013):
    phi² = max(0, chi²/n - (r-1)(c-1)/(n-1)), V = sqrt(phi² / min(r' - 1, c' - 1)) where
    r' = r - (r-1)²/(n-1).
    """
    found = []
    for a, b in combinations(names[:MOST_COLUMNS], 2):
        counted = table.select(a=column(a), b=column(b)).drop_nulls().group_by("a", "b").len()
        value = _corrected(counted) if counted.height else None
        if value is not None:
            rows = int(counted["len"].sum())
            found.append(Correlation(a=a, b=b, measure="cramer", value=value, rows=rows))
    return found


def _corrected(counted: DataFrame) -> float | None:
    """Of a contingency table in the columns a, b, len; None where it has one row or column."""
    left = counted["a"].rank("dense").to_numpy().astype(np.int64) - 1
    right = counted["b"].rank("dense").to_numpy().astype(np.int64) - 1
    cells = np.zeros((left.max() + 1, right.max() + 1))
    cells[left, right] = counted["len"].to_numpy()
    n = float(cells.sum())
    r, c = cells.shape
    if min(r, c) < 2 or n < 2:
        return None
    expected = np.outer(cells.sum(axis=1), cells.sum(axis=0)) / n
    phi = float(((cells - expected) ** 2 / expected).sum()) / n
    phi = max(0.0, phi - (r - 1) * (c - 1) / (n - 1))
    least = min(r - (r - 1) ** 2 / (n - 1), c - (c - 1) ** 2 / (n - 1)) - 1
    return min(1.0, math.sqrt(phi / least)) if least > 0 else None
