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
    Learned,
    Linear,
    Model,
    NoVerifier,
    Words,
)

Numbers = NDArray[np.float32]
WORDS, LEARNED = "left_words", "learned"  # the columns after those of NAMES
DIFFER = 0.02  # confidence at most where the numbers differ: another number, another answer
_CONTRARY = tuple(NAMES.index(name) for name in ("numbers_differ", "numbers_one_side"))


class Light:
    """A verifier of features; below a millisecond for a pair."""

    def __init__(self, model: Model, texts: Texts) -> None:
        if model.features != [*NAMES, WORDS, LEARNED]:
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
        self._learned = learned_teller(model.learned) if model.learned else None

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
        if self._learned is not None:
            more[:, 1] = self._learned(*vectors(pairs))
        return np.hstack([rows, more])


def _logits(model: Model) -> Callable[[Numbers], NDArray[np.float64]]:
    if model.trees is not None:
        return model.trees.ready()
    if model.linear is not None:
        return linear(model.linear, model.features)
    raise NoVerifier(f"The verifier '{model.name}' has neither trees nor weights.")


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


def learned_teller(model: Learned) -> Callable[[Numbers, Numbers], NDArray[np.float64]]:
    """The function from both sides' vectors to logits."""
    differ, agree = np.array(model.differ), np.array(model.agree)

    def told(asked: Numbers, kept: Numbers) -> NDArray[np.float64]:
        found: NDArray[np.float64] = np.abs(asked - kept) @ differ + (asked * kept) @ agree
        return found + model.offset

    return told


def left_words(pair: Pair, texts: Texts, size: int) -> list[int]:
    """The hashes of what only one side has, the sides' order aside."""
    one, other = texts(pair.asked), texts(pair.kept)
    mine, theirs = set(one.words), set(other.words)
    left = sorted(mine ^ theirs)
    swapped = sorted(f"{min(a, b)}|{max(a, b)}" for a in mine - theirs for b in theirs - mine)
    asked = "|".join(sorted({one.question, other.question}))
    return [zlib.crc32(name.encode()) % size for name in (*left, *swapped[:64], f"?{asked}")]


def words_teller(model: Words, texts: Texts) -> Callable[[Sequence[Pair]], list[float]]:
    """The function from pairs to logits of the words that only one side has."""
    weights, size = np.array(model.weights), len(model.weights)

    def told(pairs: Sequence[Pair]) -> list[float]:
        return [
            model.offset + float(weights[left_words(pair, texts, size)].sum()) for pair in pairs
        ]

    return told


def open_light(model: Model, minilm: Path) -> Light:
    """With the vocabulary of an installed MiniLM. Raises NoVerifier."""
    if not (minilm / "tokenizer.json").exists():
        raise NoVerifier("all-MiniLM-L6-v2 is not installed: 'modelyard local install minilm'.")
    return Light(model, reader(minilm))
