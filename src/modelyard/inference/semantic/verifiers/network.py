"""The cross-encoder in torch: MiniLM's six layers, three apart and three across, and a head.

In the first layers each prompt attends to itself alone, as in MiniLM, which was made for one text;
in the last ones each word of the one is compared with each word of the other. Places are counted
anew in the second prompt, so that the order of the two makes no difference. The head sees how the
two means differ and where they agree. Weights go by the names of MiniLM's file; ``inner`` and
``last`` are the head's. Needs the extra ``train``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from modelyard.inference.semantic.verifiers.form import AGREE, APART, DIFFER, HIDDEN, SHAPE

FROZEN = ("embeddings.",)  # rare words keep what MiniLM knows of them
_WORDS = "embeddings.word_embeddings.weight"
HEAD = ("inner", "last")
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
    for name, out, into in (("inner", width, 2 * width), ("last", 1, width)):
        weights[f"{name}.weight"] = torch.randn(out, into) * _SPREAD
        weights[f"{name}.bias"] = torch.zeros(out)
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
        across = ((1 - shown) * HIDDEN)[:, None, None, :]
        other = (batch.side[:, :, None] != batch.side[:, None, :])[:, None]
        apart = across + other.to(hidden.dtype) * HIDDEN
        for number in range(SHAPE.layers):
            hiding = apart if number < APART else across
            hidden = self._layer(f"encoder.layer.{number}.", hidden, hiding)
        return self._decided(hidden.float(), shown.float(), batch.side.float())

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

    def _decided(self, hidden: Tensor, shown: Tensor, side: Tensor) -> Tensor:
        first, second = (_mean(hidden, shown * part) for part in (1 - side, side))
        first, second = functional.normalize(first), functional.normalize(second)
        parts = [(first - second).abs() * DIFFER, first * second * AGREE]
        inner = functional.gelu(self._linear("inner", torch.cat(parts, -1)))
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


def _mean(hidden: Tensor, shares: Tensor) -> Tensor:
    total = shares.sum(1, keepdim=True).clamp(min=1)
    return (hidden * shares[..., None]).sum(1) / total
