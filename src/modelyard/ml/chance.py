"""Chance that is the same on every machine: numbers that follow from a seed and a position alone.

SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014)
over unsigned 64-bit arithmetic; no library's generator is used, whose streams may change.
"""

import hashlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.uint64]

_GAMMA = 0x9E3779B97F4A7C15
_WORD = (1 << 64) - 1


def mix(values: Scores) -> Scores:
    """SplitMix64's finaliser of each value, shape (n,)."""
    mixed = values.copy()
    mixed ^= mixed >> np.uint64(30)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(27)
    mixed *= np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def start(seed: int, purpose: str) -> int:
    """Where a seed's numbers for a purpose begin: 64 bits."""
    digest = hashlib.blake2b(f"{seed}:{purpose}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def of_positions(count: int, seed: int, purpose: str = "", first: int = 0) -> Scores:
    """A number for each of the positions ``first`` to ``first + count - 1``, shape (count,)."""
    begin = np.uint64((start(seed, purpose) + (first + 1) * _GAMMA) & _WORD)
    steps = np.arange(count, dtype=np.uint64) * np.uint64(_GAMMA)
    return mix(steps + begin)


def at_positions(positions: NDArray[np.int64], seed: int, purpose: str = "") -> Scores:
    """The numbers that ``of_positions`` has for just these, shape (n,)."""
    begin = np.uint64((start(seed, purpose) + _GAMMA) & _WORD)
    return mix(positions.astype(np.uint64) * np.uint64(_GAMMA) + begin)


def of_values(values: Iterable[Any], seed: int, purpose: str = "") -> Scores:
    """A number for each value, by its text: equal values have equal numbers."""
    begin = start(seed, purpose)
    key = begin.to_bytes(8, "little")
    found = [
        int.from_bytes(
            hashlib.blake2b(str(one).encode(), digest_size=8, key=key).digest(), "little"
        )
        for one in values
    ]
    return np.array(found, dtype=np.uint64)
