"""Texts that are nearly the same, found without comparing each with each.

A text is the set of its five-character shingles (Broder, "On the resemblance and containment of
documents", 1997), in lower case, all that is no letter or digit as one space. Its MinHash signature
is cut into bands, whose hashes two similar texts are likely to share (Indyk and Motwani, 1998):
of pairs with a Jaccard similarity of 0.8, one in 5,000 shares none of the 16; at 0.7 one in 80.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from modelyard.ml import chance

WIDTH = 5  # characters of a shingle
BANDS, DEEP = 16, 4
LONGEST = 20_000  # characters of a text that are looked at
_AT_ONCE = 1 << 20  # characters
_OTHER = re.compile(r"[\W_]+")
_RANDOM = chance.of_positions(2 * BANDS * DEEP, 0, "shingles")
_FACTORS, _TERMS = _RANDOM[: BANDS * DEEP] | np.uint64(1), _RANDOM[BANDS * DEEP :]
_BASE = np.uint64(0x9E3779B97F4A7C15)


def plain(text: str) -> str:
    """What is compared of a text."""
    return _OTHER.sub(" ", text[:LONGEST].casefold()).strip()[:LONGEST]


def similarity(first: str, second: str) -> float:
    """The Jaccard similarity of two plain texts: 0 to 1."""
    one, other = _shingles(first), _shingles(second)
    return len(one & other) / len(one | other)


def bands(texts: Sequence[str]) -> NDArray[np.uint64]:
    """The bands' hashes of plain texts, shape (texts, ``BANDS``). No text may be empty."""
    found = np.empty((len(texts), BANDS), dtype=np.uint64)
    for begin, end in _batches(texts):
        found[begin:end] = _bands([one.ljust(WIDTH) for one in texts[begin:end]])
    return found


def _shingles(text: str) -> set[str]:
    text = text.ljust(WIDTH)
    return {text[at : at + WIDTH] for at in range(len(text) - WIDTH + 1)}


def _batches(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    begin, size = 0, 0
    for at, text in enumerate(texts):
        if size and size + len(text) > _AT_ONCE:
            yield begin, at
            begin, size = at, 0
        size += len(text)
    if begin < len(texts):
        yield begin, len(texts)


def _bands(texts: Sequence[str]) -> NDArray[np.uint64]:
    lengths = np.fromiter(map(len, texts), dtype=np.int64)
    joined = "".join(texts).encode("utf-32-le", "replace")
    letters = np.frombuffer(joined, dtype=np.uint32).astype(np.uint64)
    hashes = np.zeros(len(letters) - WIDTH + 1, dtype=np.uint64)
    for at in range(WIDTH):
        hashes = hashes * _BASE + letters[at : at + len(hashes)]
    inside = np.ones(len(letters), dtype=bool)
    ends = np.cumsum(lengths)
    for back in range(1, WIDTH):
        inside[ends - back] = False
    hashes = chance.mix(hashes[inside[: len(hashes)]])
    starts = np.concatenate(([0], np.cumsum(lengths - WIDTH + 1)[:-1]))
    found = np.zeros((len(texts), BANDS), dtype=np.uint64)
    for at, (factor, term) in enumerate(zip(_FACTORS, _TERMS, strict=True)):
        least = np.minimum.reduceat(hashes * factor + term, starts)
        band = at // DEEP
        found[:, band] = chance.mix(found[:, band] * _BASE + least)
    return found
