"""Whether two answers say the same: how a hit is judged when its question was asked anew.

A model words its answers differently each time, and the two prompts differ a little as well. So
two answers are the same when

- they are equal but for case, white space and the punctuation at their ends, or
- they begin alike where one of them begins with yes or no, hold the same numbers where both are
  short, and the cosine of their vectors is at least 0.8 (0.9 of short ones).

A doubtful pair counts as different: that makes the cache stricter, never laxer. Of long answers
the vectors are those of their beginnings.
"""

from __future__ import annotations

import re

import numpy as np

from modelyard.inference.semantic.index import Vectors

SHORT = 300  # characters of an answer that is an answer and no essay
_LEAST, _LEAST_SHORT = 0.8, 0.9
_WORD = re.compile(r"[^\W_]+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_VERDICTS = frozenset({"yes", "no", "true", "false", "correct", "incorrect", "ja", "nein"})


def equal(one: str, other: str) -> bool:
    """Whether they are equal but for case, white space and the punctuation at their ends."""
    return _plain(one) == _plain(other)


def same(one: str, other: str, vectors: Vectors) -> tuple[bool, float]:
    """Whether they say the same, and their cosine; ``vectors`` are theirs, of length 1."""
    similarity = float(np.dot(vectors[0], vectors[1]))
    if equal(one, other):
        return True, similarity
    if _verdict(one) != _verdict(other):
        return False, similarity
    short = len(one) <= SHORT and len(other) <= SHORT
    if short and set(_NUMBER.findall(one)) != set(_NUMBER.findall(other)):
        return False, similarity
    return similarity >= (_LEAST_SHORT if short else _LEAST), similarity


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .!?;:,\"'")


def _verdict(text: str) -> str:
    first = _WORD.search(text.casefold())
    return first[0] if first and first[0] in _VERDICTS else ""
