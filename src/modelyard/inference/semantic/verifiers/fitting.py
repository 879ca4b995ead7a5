"""Training the light verifier on labelled pairs: numpy alone, minutes for tens of thousands.

Two models look at what a tree cannot: which words make a difference, and which places of the
vectors. Their answers are columns of the trees. On the pairs that the trees learn from they are
given by models that did not see the pair, or the trees would trust them too much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from modelyard.inference.semantic.verdict import Pair
from modelyard.inference.semantic.verifiers.features import NAMES, Texts, features
from modelyard.inference.semantic.verifiers.light import (
    LEARNED,
    WORDS,
    Numbers,
    guarded,
    learned_teller,
    left_words,
    vectors,
    words_teller,
)
from modelyard.inference.semantic.verifiers.measured import (
    Calibration,
    Scores,
    calibrate,
    curve_of,
)
from modelyard.inference.semantic.verifiers.model import Learned, Model, Words
from modelyard.inference.semantic.verifiers.trees import Growth, Trees, grow

FOLDS = 4
HASHES = 16_384
_STEPS = 120
_WORDS_RIDGE, _LEARNED_RIDGE = 15.0, 3.0

Tell = Callable[[str, float], None]  # a step's name, and how much of it is done


class Part(NamedTuple):
    """Pairs and their labels."""

    pairs: list[Pair]
    labels: Scores


def train_light(
    name: str, parts: tuple[Part, Part, Part], made_of: str, texts: Texts, tell: Tell
) -> Model:
    """A light verifier from pairs to fit, to stop and calibrate on, and to measure."""
    fit, tuning, held = parts
    words, told_words = _crossed(_WordsFit(fit, texts), fit, tell, "Which words differ")
    learned, told = _crossed(_LearnedFit(fit), fit, tell, "Where vectors differ")

    tell_words, tell_learned = words_teller(words, texts), learned_teller(learned)

    def whole(part: Part) -> tuple[Numbers, Numbers]:
        rows = features(part.pairs, texts)
        more = [tell_words(part.pairs), tell_learned(*vectors(part.pairs))]
        return rows, np.hstack([rows, np.array(more, np.float32).T])

    tell("Features", 0.0)
    rows = np.hstack([features(fit.pairs, texts), np.array([told_words, told], np.float32).T])
    tuned, measured = whole(tuning), whole(held)
    growth = Growth()
    trees = grow(
        rows,
        fit.labels,
        (tuned[1], tuning.labels),
        growth,
        lambda number, _: tell("Trees", (number + 1) / growth.trees),
    )
    calibration = calibrate(trees.ready()(tuned[1]), tuning.labels)
    return Model(
        name=name,
        kind="light",
        made_of=made_of,
        pairs=len(fit.pairs),
        held_out=len(held.pairs),
        duplicates=int(held.labels.sum()),
        curve=_curve(trees, calibration, measured, held.labels),
        calibration=calibration,
        features=[*NAMES, WORDS, LEARNED],
        trees=trees,
        learned=learned,
        words=words,
    )


def _curve(
    trees: Trees,
    calibration: Calibration,
    rows: tuple[Numbers, Numbers],
    labels: Scores,
) -> list[tuple[float, float, float]]:
    found = calibration.probability(trees.ready()(rows[1]))
    return curve_of(guarded(rows[0], found), labels)


M = TypeVar("M")


class _Fits(Protocol[M]):
    def fit(self, chosen: NDArray[np.bool_]) -> M: ...

    def told(self, model: M) -> Scores: ...


class _WordsFit:
    """Fits ``Words``."""

    def __init__(self, part: Part, texts: Texts) -> None:
        found = [left_words(pair, texts, HASHES) for pair in part.pairs]
        self._of = np.repeat(np.arange(len(found)), list(map(len, found)))
        self._places = np.array([place for row in found for place in row], np.int64)
        self._labels = part.labels

    def fit(self, chosen: NDArray[np.bool_]) -> Words:
        """From these pairs."""
        of, places, count = self._of, self._places, len(chosen)
        weights = _logistic(
            lambda weights: _sums(of, weights[places], count),
            lambda slope: _sums(places, slope[of], HASHES),
            (self._labels, chosen),
            (HASHES, _WORDS_RIDGE, 0.05),
        )
        return Words([round(float(weight), 4) for weight in weights[:-1]], float(weights[-1]))

    def told(self, model: Words) -> Scores:
        """Of all pairs."""
        return _sums(self._of, np.array(model.weights)[self._places], len(self._labels)) + (
            model.offset
        )


class _LearnedFit:
    """Fits ``Learned``."""

    _SCALES = 20.0, 400.0  # so that the columns' spread is about 1

    def __init__(self, part: Part) -> None:
        self._vectors = vectors(part.pairs)
        asked, kept = self._vectors
        differ, agree = self._SCALES
        self._rows = np.hstack([np.abs(asked - kept) * differ, asked * kept * agree])
        self._labels = part.labels

    def fit(self, chosen: NDArray[np.bool_]) -> Learned:
        """From these pairs."""
        rows = self._rows
        weights = _logistic(
            lambda weights: (rows @ weights.astype(np.float32)).astype(np.float64),
            lambda slope: (slope.astype(np.float32) @ rows).astype(np.float64),
            (self._labels, chosen),
            (rows.shape[1], _LEARNED_RIDGE, 0.02),
        )
        half = rows.shape[1] // 2
        differ, agree = weights[:half] * self._SCALES[0], weights[half:-1] * self._SCALES[1]
        return Learned(
            [round(float(one), 4) for one in differ],
            [round(float(one), 4) for one in agree],
            float(weights[-1]),
        )

    def told(self, model: Learned) -> Scores:
        """Of all pairs."""
        return learned_teller(model)(*self._vectors)


def _crossed(fits: _Fits[M], part: Part, tell: Tell, step: str) -> tuple[M, Scores]:
    """A model of all pairs, and what models that did not see a pair told of it."""
    fold = np.random.default_rng(0).integers(0, FOLDS, len(part.pairs))
    told = np.zeros(len(part.pairs))
    for number in range(FOLDS):
        tell(step, number / (FOLDS + 1))
        told[fold == number] = fits.told(fits.fit(fold != number))[fold == number]
    tell(step, FOLDS / (FOLDS + 1))
    return fits.fit(np.ones(len(part.pairs), bool)), told


def _sums(places: NDArray[np.int64], values: Scores, size: int) -> Scores:
    """The sum of the values at each place."""
    found: Scores = np.bincount(places, values, size).astype(np.float64)
    return found


def _logistic(
    forward: Callable[[Scores], Scores],
    backward: Callable[[Scores], Scores],
    labels: tuple[Scores, NDArray[np.bool_]],
    form: tuple[int, float, float],
) -> Scores:
    """Weights and an offset of a ridge regression, by Adam over all chosen pairs at once."""
    goal, chosen = labels
    size, ridge, rate = form
    weights, first, second = np.zeros((3, size + 1))
    for step in range(1, _STEPS + 1):
        share = 1 / (1 + np.exp(-(forward(weights[:-1]) + weights[-1])))
        slope = (share - goal) * chosen
        bend = np.append(backward(slope) + ridge * weights[:-1], slope.sum())
        first += 0.1 * (bend - first)
        second += 0.01 * (bend**2 - second)
        pace = rate * (1 - step / _STEPS) * (1 - 0.99**step) ** 0.5 / (1 - 0.9**step)
        weights = weights - pace * first / (np.sqrt(second) + 1e-8)
    return weights
