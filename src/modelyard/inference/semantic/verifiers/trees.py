"""Boosted trees in numpy alone, small enough to be JSON: a tree asks the same question on each
level, so that a pair's leaf in all trees is found by one comparison of arrays.

Trees of this form are known as oblivious; boosting is by Newton steps of the logistic loss.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

BINS = 64
Numbers = NDArray[np.float32]
Scores = NDArray[np.float64]


class Trees(Struct, frozen=True):
    """``columns`` and ``limits`` are trees × depth, ``leaves`` trees × 2^depth."""

    base: float
    columns: list[list[int]]
    limits: list[list[float]]
    leaves: list[list[float]]

    def ready(self) -> Callable[[Numbers], NDArray[np.float64]]:
        """The function from rows of features to logits."""
        columns, limits = np.array(self.columns), np.array(self.limits, np.float32)
        leaves = np.array(self.leaves)
        powers = 1 << np.arange(columns.shape[1])
        number = np.arange(len(columns))

        def logits(rows: Numbers) -> NDArray[np.float64]:
            at = ((rows[:, columns] > limits) * powers).sum(-1)
            found: NDArray[np.float64] = self.base + leaves[number, at].sum(-1)
            return found

        return logits


class Growth(NamedTuple):
    """How trees are grown."""

    trees: int = 400
    depth: int = 6
    rate: float = 0.05
    ridge: float = 20.0  # added to a leaf's weight
    rows: float = 0.6  # share of them for a tree
    columns: float = 0.3
    patience: int = 60  # trees without a better loss on the tuning part


def _edges(rows: Numbers) -> list[Numbers]:
    """Up to BINS - 1 limits of each column, between values that occur."""
    edges = []
    for column in rows.T:
        values = np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1], method="lower"))
        edges.append(values[values < column.max()].astype(np.float32))
    return edges


def grow(
    rows: Numbers,
    labels: Scores,
    tuning: tuple[Numbers, Scores],
    growth: Growth,
    tell: Callable[[int, float], None],
) -> Trees:
    """Trees that fit best on the tuning part; ``tell`` gets each tree's number and its loss."""
    edges = _edges(rows)
    binned = np.stack(
        [np.searchsorted(limits, column) for limits, column in zip(edges, rows.T, strict=True)]
    ).astype(np.int64)
    useful = np.array([number for number, limits in enumerate(edges) if len(limits)])
    base = float(np.log(labels.mean() / (1 - labels.mean())))
    score, other = np.full(len(labels), base), np.full(len(tuning[1]), base)
    made, best = Trees(base, [], [], []), (np.inf, 0)
    chance = np.random.default_rng(0)
    for number in range(growth.trees):
        share = 1 / (1 + np.exp(-score))
        gradient, weight = labels - share, share * (1 - share)
        chosen = np.flatnonzero(chance.random(len(labels)) < growth.rows)
        columns = np.sort(
            chance.choice(useful, max(1, int(len(useful) * growth.columns)), replace=False)
        )
        tree = _tree(binned, chosen, columns, (gradient, weight), edges, growth)
        made.columns.append(tree[0])
        made.limits.append(tree[1])
        made.leaves.append(tree[2])
        alone = Trees(0.0, [tree[0]], [tree[1]], [tree[2]]).ready()
        score += alone(rows)
        other += alone(tuning[0])
        loss = float(np.logaddexp(0, np.where(tuning[1] == 1, -other, other)).mean())
        tell(number, loss)
        if loss < best[0]:
            best = loss, number + 1
        elif number - best[1] >= growth.patience:
            break
    kept = best[1]
    return Trees(base, made.columns[:kept], made.limits[:kept], made.leaves[:kept])


def _tree(
    binned: NDArray[np.int64],
    chosen: NDArray[np.int64],
    columns: NDArray[np.int64],
    slopes: tuple[NDArray[np.float64], NDArray[np.float64]],
    edges: list[Numbers],
    growth: Growth,
) -> tuple[list[int], list[float], list[float]]:
    part, own = binned[:, chosen], [slope[chosen] for slope in slopes]
    leaf = np.zeros(len(chosen), np.int64)
    asked: list[int] = []
    limits: list[float] = []
    for level in range(growth.depth):
        column, at = _split(part, columns, leaf, (1 << level, own, growth.ridge), edges)
        asked.append(column)
        limits.append(float(edges[column][at]))
        leaf += (part[column] > at).astype(np.int64) << level
    size = 1 << growth.depth
    gradient, weight = (np.bincount(leaf, slope, size) for slope in own)
    leaves = growth.rate * gradient / (weight + growth.ridge)
    return asked, limits, [round(float(value), 6) for value in leaves]


def _split(
    part: NDArray[np.int64],
    columns: NDArray[np.int64],
    leaf: NDArray[np.int64],
    level: tuple[int, list[NDArray[np.float64]], float],
    edges: list[Numbers],
) -> tuple[int, int]:
    """The column and the bin after which to divide all leaves at once."""
    size, own, ridge = level
    best = (-np.inf, 0, 0)
    start = leaf * BINS
    for column in columns:
        place = start + part[column]
        below, under = (
            np.bincount(place, slope, size * BINS).reshape(size, BINS).cumsum(1) for slope in own
        )
        total, weight = below[:, -1:], under[:, -1:]
        gain = below**2 / (under + ridge) + (total - below) ** 2 / (weight - under + ridge)
        gains = gain.sum(0)[: len(edges[column])]
        at = int(gains.argmax())
        if gains[at] > best[0]:
            best = (float(gains[at]), int(column), at)
    return best[1], best[2]
