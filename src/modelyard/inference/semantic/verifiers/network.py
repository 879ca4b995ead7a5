"""The cross-encoder in torch: MiniLM's six layers over both prompts, and a head.

Places are counted anew in the second prompt, and what tells the prompts apart is a number for each
head that is added to the scores of the other prompt's tokens: so the order of the two makes no
difference. The head sees how the two means differ and where they agree, the sum of their first
markers, and the greatest of each feature over all tokens, where a single word that differs shows.
Weights go by the names of MiniLM's file; ``across``, ``inner`` and ``last`` are its own. Needs the
extra ``train``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from modelyard.inference.semantic.verifiers.form import (
    ACROSS,
    AGREE,
    DIFFER,
    HIDDEN,
    SHAPE,
)

FROZEN = ("embeddings.",)  # rare words keep what MiniLM knows of them
_WORDS = "embeddings.word_embeddings.weight"
HEAD = ("across", "inner", "last")
_SPREAD = 0.02  # of the head's weights at the beginning
_SKIPPED = ("pooler.", "embeddings.position_ids")

Weights = dict[str, Tensor]


class Batch(NamedTuple):
    """Pairs × tokens: ``mask`` is 1 for a token, ``side`` 1 for the second prompt's, ``place``
    where in its prompt it is."""

    ids: Tensor
    mask: Tensor
    side: Tensor
    place: Tensor


def begin(found: Mapping[str, NDArray[np.float32]]) -> Weights:
    """MiniLM's weights and those of an untrained head."""
    weights = {
        name: torch.from_numpy(np.array(value))
        for name, value in found.items()
        if not name.startswith(_SKIPPED)
    }
    width = SHAPE.width
    for name, out, into in (("inner", width, 4 * width), ("last", 1, width)):
        weights[f"{name}.weight"] = torch.randn(out, into) * _SPREAD
        weights[f"{name}.bias"] = torch.zeros(out)
    weights["across"] = torch.tensor(ACROSS)[:, None].repeat(1, SHAPE.heads)
    for name, value in weights.items():
        value.requires_grad_(not name.startswith(FROZEN))
    return weights


class Encoder:
    """Computes logits: whether two prompts mean the same. ``dropout`` is 0 but in training."""

    def __init__(self, weights: Weights, dropout: float) -> None:
        self._weights, self._dropout = weights, dropout

    def logits(self, batch: Batch) -> Tensor:
        """One for each pair."""
        hidden = self._embedded(batch)
        shown = batch.mask.to(hidden.dtype)
        hidden_ones = ((1 - shown) * HIDDEN)[:, None, None, :]
        other = (batch.side[:, :, None] != batch.side[:, None, :])[:, None].to(hidden.dtype)
        for number in range(SHAPE.layers):
            across = self._weights["across"][number][:, None, None]
            hidden = self._layer(f"encoder.layer.{number}.", hidden, hidden_ones + other * across)
        return self._decided(hidden.float(), batch)

    def _embedded(self, batch: Batch) -> Tensor:
        start = "embeddings."
        words = functional.embedding(batch.ids, self._weights[_WORDS])
        places = self._weights[start + "position_embeddings.weight"]
        kind = self._weights[start + "token_type_embeddings.weight"][0]
        hidden = words + functional.embedding(batch.place, places) + kind
        return self._normalised(start + "LayerNorm", hidden)

    def _layer(self, name: str, hidden: Tensor, hiding: Tensor) -> Tensor:
        own = name + "attention."
        query, key, value = (
            self._heads(self._linear(f"{own}self.{part}", hidden))
            for part in ("query", "key", "value")
        )
        # Spelt out: going backwards, torch's own function takes a third of a step's time on a CPU.
        scores = query @ key.transpose(-1, -2) * (SHAPE.width // SHAPE.heads) ** -0.5
        mixed = (scores + hiding).softmax(-1).to(value.dtype) @ value
        merged = mixed.transpose(1, 2).reshape(hidden.shape)
        mixed = self._dropped(name, self._linear(own + "output.dense", merged))
        hidden = self._normalised(own + "output.LayerNorm", hidden + mixed)
        wide = functional.gelu(self._linear(name + "intermediate.dense", hidden))
        narrow = self._dropped(name, self._linear(name + "output.dense", wide))
        return self._normalised(name + "output.LayerNorm", hidden + narrow)

    def _decided(self, hidden: Tensor, batch: Batch) -> Tensor:
        shown, side = batch.mask.float(), batch.side.float()
        first, second = (_sum(hidden, shown * part) for part in (1 - side, side))
        first, second = functional.normalize(first), functional.normalize(second)
        marks = _sum(hidden, shown * (batch.place == 0))
        most = (hidden + ((1 - shown) * HIDDEN)[..., None]).amax(1)
        seen = torch.cat([(first - second).abs() * DIFFER, first * second * AGREE, marks, most], -1)
        inner = functional.gelu(self._linear("inner", self._dropped("inner", seen)))
        return self._linear("last", self._dropped("last", inner)).squeeze(-1)

    def _heads(self, hidden: Tensor) -> Tensor:
        rows, tokens, width = hidden.shape
        return hidden.view(rows, tokens, SHAPE.heads, width // SHAPE.heads).transpose(1, 2)

    def _linear(self, name: str, hidden: Tensor) -> Tensor:
        return functional.linear(
            hidden, self._weights[name + ".weight"], self._weights[name + ".bias"]
        )

    def _normalised(self, name: str, hidden: Tensor) -> Tensor:
        weight, bias = self._weights[name + ".weight"], self._weights[name + ".bias"]
        return functional.layer_norm(hidden, (SHAPE.width,), weight, bias, SHAPE.epsilon)

    def _dropped(self, name: str, hidden: Tensor) -> Tensor:
        if not self._dropout or name.startswith(FROZEN):
            return hidden
        return functional.dropout(hidden, self._dropout)


def _sum(hidden: Tensor, shares: Tensor) -> Tensor:
    return (hidden * shares[..., None]).sum(1)
