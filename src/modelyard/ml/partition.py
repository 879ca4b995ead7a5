"""Splitting rows into parts: at random, by class, by group or by time; reproducible anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from modelyard.ml import chance
from modelyard.ml.chance import Scores

Parts = NDArray[np.uint8]  # for each row the number of its part
Codes = NDArray[np.unsignedinteger[Any]]  # for each row the number of its class
MOST_PARTS = 32
_BLOCK = 1 << 20  # rows at once
_BITS = 16  # upper ones, by which scores are counted
_SHIFT = np.uint64(64 - _BITS)
_LAST = (1 << 64) - 1


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
    parts = np.zeros(rows, dtype=np.uint8)
    _rank(parts, None, 0, rows, shares, seed)
    return parts


def stratified(
    codes: Codes, names: Sequence[Any], fractions: Mapping[str, float], seed: int
) -> Parts:
    """Each class is divided as the whole, to a row.

    ``codes`` has a class's number for each row, shape (rows,), ``names`` the classes. Beside them,
    a row takes a byte, and at most 64 MB are needed. Raises ``Unsplittable`` where a class has
    fewer rows than there are parts.
    """
    shares = check(fractions, len(codes))
    sizes = _sizes(codes, len(names))
    if sizes.min() < len(shares):
        rare = names[int(sizes.argmin())]
        raise Unsplittable(
            f"the class {rare!r} has {sizes.min()} rows, too few for {len(shares)} parts; merge it "
            "with another, or split at random"
        )
    parts = np.zeros(len(codes), dtype=np.uint8)
    for first, last in _runs(sizes):
        if last - first == 1:
            _rank(parts, codes, first, int(sizes[first]), shares, seed)
        else:
            _sort(parts, codes, (first, last), sizes, shares, seed)
    return parts


def coded(values: Sequence[Any]) -> tuple[Codes, list[Any]]:
    """A number for each value, by the order of first appearance, and the values."""
    names: dict[Any, int] = {}
    codes = np.fromiter((names.setdefault(one, len(names)) for one in values), dtype=np.uint32)
    return codes, list(names)


def grouped(groups: Sequence[Any], fractions: Mapping[str, float], seed: int) -> Parts:
    """No group is in two parts; sizes come as near to the fractions as whole groups allow.

    The largest groups are placed first, each where most rows are lacking; among equals the seed
    decides. ``groups`` has one value for each row. Raises ``Unsplittable``.
    """
    shares = check(fractions, len(groups))
    codes, names = coded(groups)
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


def _sizes(codes: Codes, names: int) -> NDArray[np.int64]:
    """How many rows each class has. By blocks: ``bincount`` makes 8 bytes of each code."""
    sizes = np.zeros(names, dtype=np.int64)
    for begin in range(0, len(codes), _BLOCK):
        sizes += np.bincount(codes[begin : begin + _BLOCK], minlength=names)
    return sizes


def _runs(sizes: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Classes from one to below another that have at most ``_BLOCK`` rows, or one larger one."""
    first, rows = 0, 0
    for at, size in enumerate(sizes):
        if at > first and rows + size > _BLOCK:
            yield first, at
            first, rows = at, 0
        rows += int(size)
    yield first, len(sizes)


def _sort(
    parts: Parts,
    codes: Codes,
    run: tuple[int, int],
    sizes: NDArray[np.int64],
    shares: Sequence[float],
    seed: int,
) -> None:
    """Set the parts of a run of classes: each one's rows in the order of their scores."""
    first, last = run
    found = [
        (np.flatnonzero((block >= first) & (block < last)) + begin).astype(np.int64)
        for begin in range(0, len(codes), _BLOCK)
        for block in (codes[begin : begin + _BLOCK],)
    ]
    mine = np.concatenate(found)
    order = mine[np.lexsort((chance.at_positions(mine, seed, "split"), codes[mine]))]
    parts[order] = np.concatenate([_numbers(int(size), shares) for size in sizes[first:last]])


def _rank(
    parts: Parts, codes: Codes | None, code: int, rows: int, shares: Sequence[float], seed: int
) -> None:
    """Set the parts of one class (without ``codes``: of all rows), in memory that does not grow.

    The rows in the order of their scores are the first part's, then the second's: so each part
    begins at a score, which is found by counting scores by their upper bits, and then those that
    share them. No two rows have the same score (``chance.mix`` is a bijection).
    """
    ends = np.cumsum(counts(rows, shares))[:-1]
    sizes = np.zeros(1 << _BITS, dtype=np.int64)
    for _, scores in _scores(len(parts), codes, code, seed):
        sizes += np.bincount((scores >> _SHIFT).astype(np.int64), minlength=len(sizes))
    upto = np.cumsum(sizes)
    uppers = np.searchsorted(upto, ends, side="right").clip(max=len(sizes) - 1)
    wanted = np.unique(uppers).astype(np.uint64)
    near = [
        scores[np.isin(scores >> _SHIFT, wanted)]
        for _, scores in _scores(len(parts), codes, code, seed)
    ]
    close = np.append(np.sort(np.concatenate(near)), np.uint64(_LAST))
    begins = np.searchsorted(close >> _SHIFT, uppers.astype(np.uint64))
    edges = close[begins + ends - (upto - sizes)[uppers]]
    for places, scores in _scores(len(parts), codes, code, seed):
        parts[places] = np.searchsorted(edges, scores, side="right")


def _scores(
    rows: int, codes: Codes | None, code: int, seed: int
) -> Iterator[tuple[NDArray[np.int64] | slice, Scores]]:
    """The rows of a class and their scores, block by block."""
    for begin in range(0, rows, _BLOCK):
        size = min(_BLOCK, rows - begin)
        scores = chance.of_positions(size, seed, "split", begin)
        if codes is None:
            yield slice(begin, begin + size), scores
        else:
            mine = np.flatnonzero(codes[begin : begin + size] == code)
            yield mine + begin, scores[mine]


def _numbers(rows: int, shares: Sequence[float]) -> Parts:
    """Part 0 as often as it is to occur, then part 1 …, shape (rows,)."""
    return np.repeat(np.arange(len(shares), dtype=np.uint8), counts(rows, shares))
