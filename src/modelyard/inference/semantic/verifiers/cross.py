"""The cross-encoder at work: int8 in onnxruntime, joined with a light verifier.

What it says is joined with what a light verifier says that learned from the same pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from modelyard.inference.local.engine import opened
from modelyard.inference.semantic.verdict import Pair
from modelyard.inference.semantic.verifiers.features import Texts, reader
from modelyard.inference.semantic.verifiers.light import Light, guarded
from modelyard.inference.semantic.verifiers.model import Model, NoVerifier
from modelyard.inference.semantic.verifiers.tokens import LONGEST, Tokens, batch

_ROWS = 8  # pairs computed together


class Reading:
    """The graph in memory: from pairs of texts to logits."""

    def __init__(self, graph: Path, tokens: Tokens, threads: int = 1) -> None:
        self._tokens = tokens
        self._session = opened(graph, threads)

    def logits(self, texts: Sequence[tuple[str, str]]) -> NDArray[np.float64]:
        """One for each; minus infinity where a text is too long to be read whole."""
        ones = self._tokens.split([one for one, _ in texts])
        others = self._tokens.split([other for _, other in texts])
        found = np.zeros(len(texts))
        rows = []
        for number, one, other in zip(range(len(texts)), ones, others, strict=True):
            if max(len(one), len(other)) > LONGEST:
                found[number] = -np.inf
            else:
                rows.append((number, one, other))
        rows.sort(key=lambda row: len(row[1]) + len(row[2]))
        for start in range(0, len(rows), _ROWS):
            part = rows[start : start + _ROWS]
            told = self._run([(one, other) for _, one, other in part])
            found[[number for number, _, _ in part]] = told
        return found

    def _run(self, pairs: Sequence[tuple[list[int], list[int]]]) -> NDArray[np.float64]:
        names = ("input_ids", "attention_mask", "side", "place")
        told = self._session.run(None, dict(zip(names, batch(pairs), strict=True)))[0]
        return np.asarray(told, np.float64)


class Cross:
    """A verifier that reads both prompts together."""

    def __init__(self, model: Model, reading: Reading, texts: Texts) -> None:
        self.name = model.name
        self.curve: Sequence[tuple[float, float, float]] = model.curve
        self.duplicates = model.duplicates
        self._model = model
        self._reading = reading
        self._light = Light(model, texts)

    def confidence(self, pairs: Sequence[Pair]) -> list[float]:
        """See ``Verifier``."""
        if not pairs:
            return []
        logits = self._reading.logits([(pair.asked, pair.kept) for pair in pairs])
        rows, light = self._light.logits(pairs)
        joined = self._model.share * logits + (1 - self._model.share) * light
        found = guarded(rows, self._model.calibration.probability(joined))
        return list(map(float, found))


def open_cross(model: Model, folder: Path, minilm: Path) -> Cross:
    """From its folder. Raises NoVerifier."""
    if not (folder / "model.onnx").exists() or not (folder / "tokenizer.json").exists():
        raise NoVerifier(
            f"{folder} lacks model.onnx or tokenizer.json. Train it again with 'modelyard semantic "
            f"train PAIRS --name {model.name}'."
        )
    return Cross(model, Reading(folder / "model.onnx", Tokens(folder)), reader(folder))
