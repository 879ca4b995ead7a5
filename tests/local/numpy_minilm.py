"""all-MiniLM-L6-v2 in plain numpy, from its weights: what the ONNX graph is compared with.

Written from the BERT paper (Devlin et al., 2018) and sentence-transformers' description of the
model, one text at a time and in float64: nothing is shared with the code under test but the
tokenizer.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

LAYERS, HEADS, WIDTH, LONGEST, EPSILON = 6, 12, 384, 256, 1e-12
Array = np.ndarray[Any, np.dtype[np.float64]]


def load(path: Path) -> dict[str, Array]:
    """The tensors of a safetensors file."""
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    found = {}
    for name, entry in header.items():
        if name != "__metadata__" and entry["dtype"] == "F32":
            start, stop = entry["data_offsets"]
            values = np.frombuffer(raw[8 + length + start : 8 + length + stop], "<f4")
            found[name] = values.reshape(entry["shape"]).astype(np.float64)
    return found


def erf(x: Array) -> Array:
    """The error function: its Taylor series near 0, else the continued fraction of erfc."""
    small = np.abs(x) < 3
    series, term = np.zeros_like(x), np.where(small, x, 0.0)
    for n in range(60):
        series += term / (2 * n + 1)
        term = -term * np.where(small, x, 0.0) ** 2 / (n + 1)
    y = np.where(small, 3.0, np.abs(x))
    fraction = np.zeros_like(x)
    for k in range(60, 0, -1):
        fraction = (k / 2) / (y + fraction)
    far = 1 - np.exp(-y * y) / (y + fraction) / np.sqrt(np.pi)
    return np.where(small, series * 2 / np.sqrt(np.pi), np.sign(x) * far)


class Model:
    """The encoder."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self.weights = weights

    def _norm(self, name: str, x: Array) -> Array:
        mean, spread = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        scaled = (x - mean) / np.sqrt(spread + EPSILON)
        return scaled * self.weights[name + ".weight"] + self.weights[name + ".bias"]

    def _dense(self, name: str, x: Array) -> Array:
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def embed(self, ids: list[int]) -> Array:
        """The unit vector of a text's tokens."""
        table = self.weights
        x = table["embeddings.word_embeddings.weight"][ids]
        x = x + table["embeddings.position_embeddings.weight"][: len(ids)]
        x = x + table["embeddings.token_type_embeddings.weight"][0]
        x = self._norm("embeddings.LayerNorm", x)
        size = WIDTH // HEADS
        for number in range(LAYERS):
            layer = f"encoder.layer.{number}."
            query, key, value = (
                self._dense(layer + "attention.self." + part, x)
                for part in ("query", "key", "value")
            )
            mixed = np.empty_like(x)
            for head in range(HEADS):
                at = slice(head * size, (head + 1) * size)
                scores = query[:, at] @ key[:, at].T / np.sqrt(size)
                shares = np.exp(scores - scores.max(-1, keepdims=True))
                mixed[:, at] = shares / shares.sum(-1, keepdims=True) @ value[:, at]
            out = self._dense(layer + "attention.output.dense", mixed)
            x = self._norm(layer + "attention.output.LayerNorm", out + x)
            wide = self._dense(layer + "intermediate.dense", x)
            wide = wide * (1 + erf(wide / np.sqrt(2))) / 2
            x = self._norm(
                layer + "output.LayerNorm", self._dense(layer + "output.dense", wide) + x
            )
        mean: Array = x.mean(0)
        return mean / np.linalg.norm(mean)
