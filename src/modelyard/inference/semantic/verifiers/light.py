"""The light verifier: features of the words and of the vectors, and a small model over them."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.inference.semantic.verdict import Pair
from modelyard.inference.semantic.verifiers.features import NAMES, Texts, features, reader
from modelyard.inference.semantic.verifiers.model import (
    Linear,
    Model,
    NoVerifier,
    Words,
)
from modelyard.inference.semantic.verifiers.trees import Trees

Numbers = NDArray[np.float32]
WORDS, VECTORS = "hashed_words", "perceptron"  # the columns after those of NAMES
_STRAIGHT = 0.2  # of the perceptron's own logit: trees hardly order what they are surest of
DIFFER = 0.02  # confidence at most where the numbers differ: another number, another answer
_CONTRARY = tuple(NAMES.index(name) for name in ("numbers_differ", "numbers_one_side"))


class Light:
    """A verifier of features; below a millisecond for a pair."""

    def __init__(self, model: Model, texts: Texts) -> None:
        if model.features != [*NAMES, WORDS, VECTORS]:
            raise NoVerifier(
                f"The verifier '{model.name}' was made of other features by another version. "
                "Train it again with 'modelyard semantic train --light'."
            )
        self.name = model.name
        self.curve: Sequence[tuple[float, float, float]] = model.curve
        self.duplicates = model.duplicates
        self._texts = texts
        self._model = model
        self._logits = _logits(model)
        self._words = words_teller(model.words, texts) if model.words else None
        self._perceptron = model.perceptron.ready() if model.perceptron else None

    def confidence(self, pairs: Sequence[Pair]) -> list[float]:
        """See ``Verifier``."""
        if not pairs:
            return []
        rows, logits = self.logits(pairs)
        found = guarded(rows, self._model.calibration.probability(logits))
        return list(map(float, found))

    def logits(self, pairs: Sequence[Pair]) -> tuple[Numbers, NDArray[np.float64]]:
        """The pairs' features, and the model's scores of them before they are calibrated."""
        rows = features(pairs, self._texts)
        return rows, self._logits(self._whole(pairs, rows))

    def _whole(self, pairs: Sequence[Pair], rows: Numbers) -> Numbers:
        more = np.zeros((len(pairs), 2), np.float32)
        if self._words is not None:
            more[:, 0] = self._words(pairs)
        if self._perceptron is not None:
            more[:, 1] = self._perceptron(*vectors(pairs))
        return np.hstack([rows, more])


def _logits(model: Model) -> Callable[[Numbers], NDArray[np.float64]]:
    if model.trees is not None:
        return joined(model.trees)
    if model.linear is not None:
        return linear(model.linear, model.features)
    raise NoVerifier(f"The verifier '{model.name}' has neither trees nor weights.")


def joined(trees: Trees) -> Callable[[Numbers], NDArray[np.float64]]:
    """The function from rows, the perceptron's logit last, to logits."""
    told = trees.ready()

    def logits(rows: Numbers) -> NDArray[np.float64]:
        found: NDArray[np.float64] = (1 - _STRAIGHT) * told(rows) + _STRAIGHT * rows[:, -1]
        return found

    return logits


def linear(weights: Linear, names: Sequence[str]) -> Callable[[Numbers], NDArray[np.float64]]:
    """The function from rows to logits."""
    columns = [names.index(name) for name in weights.weights]
    factors, low, high = np.array(list(weights.weights.values())).T

    def logits(rows: Numbers) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.clip(rows[:, columns], low, high) @ factors
        return found + weights.offset

    return logits


def guarded(rows: Numbers, confidences: NDArray[np.float64]) -> NDArray[np.float64]:
    """What no model may overrule: prompts with different numbers have different answers.

    A number that only one side has is one, too, unless the other side has none to differ from.
    """
    contrary = rows[:, _CONTRARY[0]] > 0
    return np.where(contrary, np.minimum(confidences, DIFFER), confidences)


def vectors(pairs: Sequence[Pair]) -> tuple[Numbers, Numbers]:
    """Both sides' vectors."""
    return np.array([one.asked_vector for one in pairs]), np.array(
        [one.kept_vector for one in pairs]
    )


def hashed(pair: Pair, texts: Texts, size: int) -> list[int]:
    """The hashes of words and of pairs of them that only one side has, and of those that both have.

    Those that both have tell what is asked about. The sides' order makes no difference.
    """
    one, other = texts(pair.asked), texts(pair.kept)
    mine, theirs = set(one.words), set(other.words)
    swapped = sorted(f"{min(a, b)}|{max(a, b)}" for a in mine - theirs for b in theirs - mine)
    follow, after = (set(zip(part.words, part.words[1:], strict=False)) for part in (one, other))
    names = [
        *sorted(mine ^ theirs),
        *swapped[:64],
        "?" + "|".join(sorted({one.question, other.question})),
        *(f"={word}" for word in sorted(mine & theirs)),
        *(f"={a} {b}" for a, b in sorted(follow & after)),
        *(f"-{a} {b}" for a, b in sorted(follow ^ after)),
    ]
    return [zlib.crc32(name.encode()) % size for name in names]


def words_teller(model: Words, texts: Texts) -> Callable[[Sequence[Pair]], list[float]]:
    """The function from pairs to logits of words."""
    weights, size = np.array(model.weights), len(model.weights)

    def told(pairs: Sequence[Pair]) -> list[float]:
        return [model.offset + float(weights[hashed(pair, texts, size)].sum()) for pair in pairs]

    return told


def open_light(model: Model, minilm: Path) -> Light:
    """With the vocabulary of an installed MiniLM. Raises NoVerifier."""
    if not (minilm / "tokenizer.json").exists():
        raise NoVerifier("all-MiniLM-L6-v2 is not installed: 'modelyard local install minilm'.")
    return Light(model, reader(minilm))
