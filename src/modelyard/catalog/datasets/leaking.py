"""What the parts of a split share: equal rows, values, and texts that are nearly the same.

Hashes are spread over files by their first bits, and one file is looked at at a time: memory does
not grow with the rows. For the processes of jobs alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from modelyard.catalog.datasets.schema import NearDuplicate
from modelyard.ml import shingles
from modelyard.ml.partition import Parts

Hashes = NDArray[np.uint64]
Pair = tuple[int, int]
_BITS = 5  # two to that many files of each kind
_ROW = np.dtype([("hash", "<u8"), ("row", "<u4"), ("part", "u1")])
_CANDIDATE = np.dtype([("second", "<u4"), ("first", "<u4"), ("pair", "<u2")])
_TOLD = 20  # pairs of texts of each two parts
_SAMPLE = 200  # characters
_EACH = 4  # texts of the first part that a text is compared with for one band


def _nameless(folder: Path) -> BinaryIO:
    """A file that goes when it is closed."""
    return cast("BinaryIO", TemporaryFile(dir=folder))


class Spread:
    """Rows' hashes with their parts, on the disk."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._files = [self._stack.enter_context(_nameless(folder)) for _ in range(1 << _BITS)]

    def add(self, hashes: Hashes, parts: Parts, first: int) -> None:
        """Take in a block of rows; ``first`` is the position of its first one."""
        rows = np.empty(len(hashes), dtype=_ROW)
        rows["hash"], rows["part"] = hashes, parts
        rows["row"] = np.arange(first, first + len(hashes))
        self.put(rows)

    def put(self, rows: NDArray[Any]) -> None:
        """Take in rows as they are kept."""
        places = rows["hash"] >> np.uint64(64 - _BITS)
        ordered = rows[np.argsort(places, kind="stable")]
        ends = np.searchsorted(np.sort(places), np.arange(1 << _BITS), side="right")
        begin = 0
        for file, end in zip(self._files, ends, strict=True):
            file.write(ordered[begin:end].tobytes())
            begin = end

    def each(self) -> Iterator[NDArray[Any]]:
        """All rows, those with the same hash together, in the order of hashes and rows."""
        with self._stack:
            for file in self._files:
                file.seek(0)
                rows = np.frombuffer(file.read(), dtype=_ROW)
                if len(rows):
                    yield rows[np.lexsort((rows["row"], rows["hash"]))]


def pairs(parts: int) -> list[Pair]:
    """Each two parts, the earlier one first."""
    return list(itertools.combinations(range(parts), 2))


def equal(spread: Spread, parts: int, *, once: bool = False) -> dict[Pair, int]:
    """How many rows of the second of two parts are in the first, too; ``once``: hashes.

    By 64-bit hashes: among 10 million different rows, a false one is less likely than 1 in 300,000.
    """
    found = dict.fromkeys(pairs(parts), 0)
    for rows in spread.each():
        each = [rows["hash"][rows["part"] == number] for number in range(parts)]
        distinct = [np.unique(one) for one in each]
        for first, second in found:
            asked = distinct[second] if once else each[second]
            found[first, second] += _among(asked, distinct[first])
    return found


def _among(asked: Hashes, known: Hashes) -> int:
    if not len(known):
        return 0
    at = np.searchsorted(known, asked).clip(max=len(known) - 1)
    return int((known[at] == asked).sum())


class Texts:
    """The texts of a column, and which of different parts are nearly the same."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bands = [Spread(folder) for _ in range(shingles.BANDS)]
        self._file = _nameless(folder)
        self._places: list[NDArray[np.int64]] = []
        self._end = 0

    def add(self, texts: list[str | None], parts: Parts, first: int) -> None:
        """Take in a block of rows; empty texts are like no other."""
        plain = [shingles.plain(one or "") for one in texts]
        data = [one.encode("utf-8", "replace") for one in plain]
        lengths = np.fromiter(map(len, data), dtype=np.int64, count=len(data))
        self._places.append(self._end + np.concatenate(([0], np.cumsum(lengths))))
        self._end = int(self._places[-1][-1])
        self._file.write(b"".join(data))
        there = np.flatnonzero(lengths)
        if not len(there):
            return
        found = shingles.bands([plain[at] for at in there])
        for at, band in enumerate(self._bands):
            rows = np.empty(len(there), dtype=_ROW)
            rows["hash"], rows["row"], rows["part"] = found[:, at], there + first, parts[there]
            band.put(rows)

    def near(self, parts: int, least: float) -> dict[Pair, tuple[int, list[NearDuplicate]]]:
        """For each two parts, the rows of the second that have a similar one in the first."""
        every = pairs(parts)
        known = np.concatenate([*(one[:-1] for one in self._places), self._places[-1][-1:]])
        found: dict[Pair, tuple[int, list[NearDuplicate]]] = dict.fromkeys(every, (0, []))
        for candidates in self._candidates(every):
            done: set[tuple[int, int]] = set()
            for second, first, pair in candidates.tolist():
                if (second, pair) in done:
                    continue
                one, other = self._text(known, first), self._text(known, second)
                alike = shingles.similarity(one, other)
                if alike < least:
                    continue
                done.add((second, pair))
                count, told = found[every[pair]]
                if len(told) < _TOLD:
                    sample = [one[:_SAMPLE], other[:_SAMPLE]]
                    rows = [first + 1, second + 1]
                    told = [*told, NearDuplicate(rows=rows, similarity=alike, samples=sample)]
                found[every[pair]] = (count + 1, told)
        self._file.close()
        return found

    def _text(self, known: NDArray[np.int64], row: int) -> str:
        self._file.seek(known[row])
        return self._file.read(int(known[row + 1] - known[row])).decode()

    def _candidates(self, every: list[Pair]) -> Iterator[NDArray[Any]]:
        """Rows to compare, each once, all of a second row together."""
        size = max(1, -(-int(sum(len(one) - 1 for one in self._places)) >> _BITS))
        with ExitStack() as stack:
            files = [stack.enter_context(_nameless(self._folder)) for _ in range(1 << _BITS)]
            for band in self._bands:
                for rows in band.each():
                    made = np.unique(_pairs(rows, every))
                    places = made["second"] // size
                    for at in np.unique(places).tolist():
                        files[at].write(made[places == at].tobytes())
            for file in files:
                file.seek(0)
                yield np.unique(np.frombuffer(file.read(), dtype=_CANDIDATE))


def _pairs(rows: NDArray[Any], every: list[Pair]) -> NDArray[Any]:
    """The rows of different parts that share a hash: of the first part a few for each."""
    edges = np.flatnonzero(rows["hash"][1:] != rows["hash"][:-1]) + 1
    begins, ends = np.append(0, edges), np.append(edges, len(rows))
    found = []
    for begin, end in zip(begins[ends - begins > 1], ends[ends - begins > 1], strict=True):
        group = rows[begin:end]
        if group["part"].min() == group["part"].max():
            continue
        by_part = {at: group["row"][group["part"] == at] for at in np.unique(group["part"])}
        for number, (first, second) in enumerate(every):
            if first in by_part and second in by_part:
                found += [
                    (late, early, number)
                    for late in by_part[second].tolist()
                    for early in by_part[first][:_EACH].tolist()
                ]
    return np.array(found, dtype=_CANDIDATE)
