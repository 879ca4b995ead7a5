"""Embeddings without a model: a bag of words and of their parts, hashed (the hashing trick of
Weinberger et al., 2009). The same text has the same vector, and texts that share words or parts
of words are nearer to each other than texts that do not.
"""

from __future__ import annotations

import re
from array import array
from base64 import b64encode
from collections import Counter
from itertools import pairwise
from math import sqrt
from sys import byteorder
from typing import Any
from zlib import crc32

from modelyard.inference.providers.sandbox_directives import refused

DIMENSIONS = 256
MOST_DIMENSIONS = 4096
_CHARACTERS = 8_192  # of a text; what comes after them does not count
_WORD = re.compile(r"\w+")
_PAIR_WEIGHT, _PART_WEIGHT = 0.5, 0.35


def vector(text: str | list[int], dimensions: int) -> array[float]:
    """A unit vector of 32-bit floats; ``text`` may be tokens."""
    values = [0.0] * dimensions
    for feature, weight in _features(text).items():
        number = crc32(feature.encode("utf-8", "replace"))
        # The sign takes a bit that the index, a remainder, does not depend on alone.
        sign = 1.0 if (number * 0x9E3779B1 >> 31) & 1 else -1.0
        values[number % dimensions] += sign * weight
    length = sqrt(sum(value * value for value in values))
    if length < 1e-9:  # no feature, or all cancelled out
        values[0] = length = 1.0
    return array("f", [value / length for value in values])


def _features(text: str | list[int]) -> dict[str, float]:
    if isinstance(text, list):
        words = [str(token) for token in text[:_CHARACTERS]]
        parts: list[str] = []
    else:
        words = _WORD.findall(text[:_CHARACTERS].lower())
        # Three characters each, beginnings and ends of words told apart.
        parts = [f"#{w}#"[i : i + 3] for w in words for i in range(len(w))]
    found: dict[str, float] = {}
    pairs = [f"{one} {two}" for one, two in pairwise(words)]
    for mark, items, weight in (
        ("w", words or [str(text)], 1.0),
        ("p", pairs, _PAIR_WEIGHT),
        ("c", parts, _PART_WEIGHT),
    ):
        for item, times in Counter(items).items():
            found[mark + item] = weight * sqrt(times)
    return found


def inputs(body: dict[str, Any]) -> list[str | list[int]]:
    """The texts, or tokens, of an embedding request, one for each vector.

    Raises AttemptFailed (INVALID_REQUEST) where they are mixed.
    """
    given = body.get("input")
    if isinstance(given, str):
        return [given]
    if not isinstance(given, list):
        return []
    tokens = sum(isinstance(item, int) for item in given)
    if not tokens:
        return list(given)
    if tokens < len(given):
        raise refused("'input' holds either tokens, or texts and lists of tokens.", "input")
    return [given]


def dimensions_of(body: dict[str, Any]) -> int:
    """The dimensions asked for. Raises AttemptFailed (INVALID_REQUEST) out of 1 to 4096."""
    dimensions = body.get("dimensions")
    if dimensions is None:
        return DIMENSIONS
    if not isinstance(dimensions, int) or not 1 <= dimensions <= MOST_DIMENSIONS:
        raise refused(f"'dimensions' is a number from 1 to {MOST_DIMENSIONS}.", "dimensions")
    return dimensions


def encoded(values: array[float], as_base64: bool) -> str | list[float]:
    """A vector as numbers, or as the base64 of little-endian 32-bit floats."""
    if not as_base64:
        return values.tolist()
    if byteorder == "big":
        values = values[:]
        values.byteswap()
    return b64encode(values.tobytes()).decode()
