"""Splitting rows into parts: at random, by class, by group or by time; reproducible anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.ml import chance

Parts = NDArray[np.uint8]  # for each row the number of its part
MOST_PARTS = 32


class Unsplittable(ValueError):
    """What is asked cannot be done with these rows; the message says why."""


def counts(rows: int, fractions: Sequence[float]) -> list[int]:
    """How many rows each part gets: whole numbers that add up to ``rows``.

    By the largest remainder (Hare quota), ties to the earlier part; ``fractions`` add up to 1.
    """
    exact = [rows * one for one in fractions]
    found = [int(one) for one in exact]
    order = sorted(range(len(found)), key=lambda at: (found[at] - exact[at], at))
    for at in order[: rows - sum(found)]:
        found[at] += 1
    return found


def check(fractions: Mapping[str, float], rows: int) -> list[float]:
    """The fractions in order. Raises ``Unsplittable`` for parts that cannot be made."""
    if not 2 <= len(fractions) <= MOST_PARTS:
        raise Unsplittable(f"a split has 2 to {MOST_PARTS} parts")
    if any(not 0 < one < 1 for one in fractions.values()):
        raise Unsplittable("each fraction is between 0 and 1")
    if abs(sum(fractions.values()) - 1) > 1e-9:
        raise Unsplittable(f"the fractions add up to {sum(fractions.values()):g} and not to 1")
    if rows < len(fractions):
        raise Unsplittable(f"{rows} rows are too few for {len(fractions)} parts")
    return list(fractions.values())


def at_random(rows: int, fractions: Mapping[str, float], seed: int) -> Parts:
    """Parts of exact sizes, shape (rows,). Raises ``Unsplittable``."""
    shares = check(fractions, rows)
    return _cut(np.argsort(chance.of_positions(rows, seed, "split"), kind="stable"), shares)


def stratified(classes: Sequence[Any], fractions: Mapping[str, float], seed: int) -> Parts:
    """Each class is divided as the whole, to a row; None is a class, too.

    ``classes`` has one value for each row. Raises ``Unsplittable`` where a class has fewer rows
    than there are parts.
    """
    shares = check(fractions, len(classes))
    codes, names = _codes(classes)
    sizes = np.bincount(codes, minlength=len(names))
    if sizes.min() < len(shares):
        rare = names[int(sizes.argmin())]
        raise Unsplittable(
            f"the class {rare!r} has {sizes.min()} rows, too few for {len(shares)} parts; merge it "
            "with another, or split at random"
        )
    order = np.lexsort((chance.of_positions(len(codes), seed, "split"), codes))
    parts = np.empty(len(codes), dtype=np.uint8)
    ends = np.cumsum(sizes)
    for begin, end in zip(ends - sizes, ends, strict=True):
        mine = order[begin:end]
        parts[mine] = _numbers(len(mine), shares)
    return parts


def grouped(groups: Sequence[Any], fractions: Mapping[str, float], seed: int) -> Parts:
    """No group is in two parts; sizes come as near to the fractions as whole groups allow.

    The largest groups are placed first, each where most rows are lacking; among equals the seed
    decides. ``groups`` has one value for each row. Raises ``Unsplittable``.
    """
    shares = check(fractions, len(groups))
    codes, names = _codes(groups)
    if len(names) < len(shares):
        raise Unsplittable(f"{len(names)} groups are too few for {len(shares)} parts")
    sizes = np.bincount(codes, minlength=len(names))
    order = np.lexsort((chance.of_values(names, seed, "split"), -sizes))
    lacking = [share * len(codes) for share in shares]
    chosen = np.empty(len(names), dtype=np.uint8)
    for place, group in enumerate(order):
        empty = [at for at in range(len(shares)) if lacking[at] == shares[at] * len(codes)]
        forced = len(empty) >= len(names) - place  # as many groups are left as parts are empty
        among = empty if forced else range(len(shares))
        part = max(among, key=lambda at: (lacking[at], -at))
        chosen[group] = part
        lacking[part] -= int(sizes[group])
    return chosen[codes]


def by_time(times: NDArray[Any], fractions: Mapping[str, float]) -> Parts:
    """The earliest rows are the first part's; rows of the same moment stay together.

    ``times`` are numbers or datetime64, shape (rows,), none missing. Raises ``Unsplittable``.
    """
    shares = check(fractions, len(times))
    absent = {"f": np.isnan, "M": np.isnat}.get(times.dtype.kind)
    missing = 0 if absent is None else int(absent(times).sum())
    if missing:
        raise Unsplittable(f"{missing} rows have no time; fill or drop them first")
    moments, codes = np.unique(times, return_inverse=True)
    ends = np.cumsum(np.bincount(codes))
    wanted = np.cumsum(counts(len(times), shares))
    # A moment belongs to the part in which most of its rows would be.
    middles = ends - np.diff(ends, prepend=0) / 2
    part_of = np.searchsorted(wanted, middles, side="left").clip(max=len(shares) - 1)
    if len(np.unique(part_of)) < len(shares):
        raise Unsplittable(f"{len(moments)} moments cannot make {len(shares)} such parts")
    return part_of.astype(np.uint8)[codes]


def _cut(order: NDArray[np.int64], shares: Sequence[float]) -> Parts:
    parts = np.empty(len(order), dtype=np.uint8)
    parts[order] = _numbers(len(order), shares)
    return parts


def _numbers(rows: int, shares: Sequence[float]) -> Parts:
    """Part 0 as often as it is to occur, then part 1 …, shape (rows,)."""
    return np.repeat(np.arange(len(shares), dtype=np.uint8), counts(rows, shares))


def _codes(values: Sequence[Any]) -> tuple[NDArray[np.int64], list[Any]]:
    """A number for each value, by the order of first appearance, and the values."""
    names: dict[Any, int] = {}
    codes = np.fromiter((names.setdefault(one, len(names)) for one in values), dtype=np.int64)
    return codes, list(names)
