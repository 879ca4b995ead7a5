"""What two vectors tell together: a perceptron with one hidden layer, in numpy alone.

It sees how they differ, where they agree, and their sum: what is asked about, since some subjects
are asked about in the same sense more often than others. Symmetric by construction.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

HIDDEN = 128  # units of one network
NETWORKS = 2  # of other random numbers, whose mean is told
_EPOCHS = 12
_BATCH = 256
_RATE = 1e-3  # falls to 0
_DROPPED = 0.4  # of the inputs and of the hidden units, while it learns
_DIFFER, _AGREE, _SUM = 20.0, 400.0, 10.0  # so that the columns' spread is about 1

Numbers = NDArray[np.float32]
Scores = NDArray[np.float64]


class Perceptron(Struct, frozen=True):
    """``inner`` is inputs × units, little-endian float16."""

    inner: bytes
    bias: list[float]
    outer: list[float]
    offset: float

    def ready(self) -> Callable[[Numbers, Numbers], Scores]:
        """The function from both sides' vectors to logits."""
        bias, outer = np.array(self.bias, np.float32), np.array(self.outer, np.float32)
        inner = np.frombuffer(self.inner, "<f2").reshape(-1, len(bias)).astype(np.float32)

        def told(asked: Numbers, kept: Numbers) -> Scores:
            hidden = np.maximum(inputs(asked, kept) @ inner + bias, 0)
            found: Scores = (hidden @ outer).astype(np.float64) + self.offset
            return found

        return told


def inputs(asked: Numbers, kept: Numbers) -> Numbers:
    """A row for each pair."""
    parts = np.abs(asked - kept) * _DIFFER, asked * kept * _AGREE, (asked + kept) * _SUM
    return np.hstack(parts).astype(np.float32)


def learn(rows: Numbers, labels: Scores) -> Perceptron:
    """From ``inputs`` and labels of 0 and 1."""
    nets = [_Network(rows.shape[1], seed) for seed in range(NETWORKS)]
    for net in nets:
        net.learn(rows, labels.astype(np.float32))
    inner, bias, outer, offset = zip(*(net.weights for net in nets), strict=True)
    return Perceptron(
        np.hstack(inner).astype("<f2").tobytes(),
        [round(float(one), 5) for one in np.concatenate(bias)],
        [round(float(one) / NETWORKS, 5) for one in np.concatenate(outer)],
        float(np.mean(offset)),
    )


class _Network:
    """One that learns, by Adam on batches of the logistic loss, with dropout."""

    def __init__(self, width: int, seed: int) -> None:
        self._chance = np.random.default_rng(seed)
        inner = self._chance.standard_normal((width, HIDDEN), np.float32) / width**0.5
        outer = self._chance.standard_normal(HIDDEN, np.float32) / HIDDEN**0.5
        self.weights = [inner, np.zeros(HIDDEN, np.float32), outer, np.zeros(1, np.float32)]
        self._first = [np.zeros_like(one) for one in self.weights]
        self._second = [np.zeros_like(one) for one in self.weights]

    def learn(self, rows: Numbers, labels: Numbers) -> None:
        """Go through all rows, again and again."""
        batches = max(1, len(rows) // _BATCH)
        total = _EPOCHS * batches
        for epoch in range(_EPOCHS):
            order = self._chance.permutation(len(rows))
            for number, chosen in enumerate(np.array_split(order, batches)):
                slopes = self._slopes(rows[chosen], labels[chosen])
                self._move(slopes, epoch * batches + number + 1, total)

    def _slopes(self, rows: Numbers, labels: Numbers) -> list[Numbers]:
        inner, bias, outer, offset = self.weights
        seen = self._dropped(rows)
        hidden = self._dropped(np.maximum(seen @ inner + bias, 0))
        share = 1 / (1 + np.exp(-(hidden @ outer + offset)))
        wrong = (share - labels) / len(labels)
        back = (wrong[:, None] * outer) * (hidden > 0) / np.float32(1 - _DROPPED)
        return [seen.T @ back, back.sum(0), hidden.T @ wrong, wrong.sum(keepdims=True)]

    def _dropped(self, rows: Numbers) -> Numbers:
        kept = self._chance.random(rows.shape, np.float32) >= _DROPPED
        return rows * kept / np.float32(1 - _DROPPED)

    def _move(self, slopes: list[Numbers], step: int, total: int) -> None:
        pace = np.float32(_RATE * (1 - step / total) * (1 - 0.999**step) ** 0.5 / (1 - 0.9**step))
        parts = zip(self.weights, self._first, self._second, slopes, strict=True)
        for weight, first, second, slope in parts:
            first += np.float32(0.1) * (slope - first)
            second += np.float32(0.001) * (slope * slope - second)
            weight -= pace * first / (np.sqrt(second) + np.float32(1e-8))
