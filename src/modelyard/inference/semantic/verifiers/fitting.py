"""Training the light verifier on labelled pairs: numpy alone, minutes for tens of thousands.

Two models look at what a tree cannot: which words make a difference, and what the vectors' places
tell. Their answers are columns of the trees. On the pairs that the trees learn from they are given
by models that saw neither of the pair's texts, or the trees would trust them too much.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from modelyard.inference.semantic.verdict import Pair
from modelyard.inference.semantic.verifiers.features import NAMES, Texts, features
from modelyard.inference.semantic.verifiers.light import (
    VECTORS,
    WORDS,
    Numbers,
    guarded,
    hashed,
    joined,
    vectors,
    words_teller,
)
from modelyard.inference.semantic.verifiers.measured import (
    Calibration,
    Scores,
    calibrate,
    curve_of,
)
from modelyard.inference.semantic.verifiers.model import Model, Words
from modelyard.inference.semantic.verifiers.pairs import lots
from modelyard.inference.semantic.verifiers.perceptron import Perceptron, inputs, learn
from modelyard.inference.semantic.verifiers.trees import Growth, Trees, grow

FOLDS = 4
HASHES = 32_768
_STEPS = 120
_RIDGE = 50.0

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
    perceptron, told = _crossed(_VectorsFit(fit), fit, tell, "What vectors tell")

    tell_words, tell_vectors = words_teller(words, texts), perceptron.ready()

    def whole(part: Part) -> tuple[Numbers, Numbers]:
        rows = features(part.pairs, texts)
        more = [tell_words(part.pairs), tell_vectors(*vectors(part.pairs))]
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
    calibration = calibrate(joined(trees)(tuned[1]), tuning.labels)
    return Model(
        name=name,
        kind="light",
        made_of=made_of,
        pairs=len(fit.pairs),
        held_out=len(held.pairs),
        duplicates=int(held.labels.sum()),
        curve=_curve(trees, calibration, measured, held.labels),
        calibration=calibration,
        features=[*NAMES, WORDS, VECTORS],
        trees=trees,
        perceptron=perceptron,
        words=words,
    )


def _curve(
    trees: Trees,
    calibration: Calibration,
    rows: tuple[Numbers, Numbers],
    labels: Scores,
) -> list[tuple[float, float, float]]:
    found = calibration.probability(joined(trees)(rows[1]))
    return curve_of(guarded(rows[0], found), labels)


M = TypeVar("M")


class _Fits(Protocol[M]):
    def fit(self, chosen: NDArray[np.bool_]) -> M: ...

    def told(self, model: M) -> Scores: ...


class _WordsFit:
    """Fits ``Words``."""

    def __init__(self, part: Part, texts: Texts) -> None:
        found = [hashed(pair, texts, HASHES) for pair in part.pairs]
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
            (HASHES, _RIDGE, 0.05),
        )
        return Words([round(float(weight), 4) for weight in weights[:-1]], float(weights[-1]))

    def told(self, model: Words) -> Scores:
        """Of all pairs."""
        return _sums(self._of, np.array(model.weights)[self._places], len(self._labels)) + (
            model.offset
        )


class _VectorsFit:
    """Fits ``Perceptron``."""

    def __init__(self, part: Part) -> None:
        self._vectors = vectors(part.pairs)
        self._rows = inputs(*self._vectors)
        self._labels = part.labels

    def fit(self, chosen: NDArray[np.bool_]) -> Perceptron:
        """From these pairs."""
        return learn(self._rows[chosen], self._labels[chosen])

    def told(self, model: Perceptron) -> Scores:
        """Of all pairs."""
        return model.ready()(*self._vectors)


def _crossed(fits: _Fits[M], part: Part, tell: Tell, step: str) -> tuple[M, Scores]:
    """A model of all pairs, and what models that did not see a pair told of it."""
    lot = lots([(pair.asked, pair.kept) for pair in part.pairs], "folds")
    fold = (np.array(lot) * FOLDS).astype(int)
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
