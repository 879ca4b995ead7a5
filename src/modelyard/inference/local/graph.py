"""A BERT encoder's weights as an ONNX graph, with the pooling of sentence-transformers in it.

Input: ``input_ids`` and ``attention_mask``, both int64 of texts × tokens. Output: ``embedding``,
float32 of texts × width, unit vectors: the mean of the tokens that the mask shows, normalised.
The operators are ONNX's own (opset 20), so that any runtime of it can run the graph.

Needs the packages ``numpy`` and ``onnx``: imported by ``install`` only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 20
_IR = 9  # of ONNX 1.15, which introduced the opset: older runtimes read it too
_HIDDEN = 3e4  # taken from the score of a token that the mask hides; exp makes it 0

Tensor = np.ndarray[Any, np.dtype[Any]]


class Shape(NamedTuple):
    """What the weights' configuration says of the encoder."""

    layers: int
    heads: int
    width: int
    longest: int  # tokens of a text at most
    epsilon: float


def read_weights(path: Path) -> dict[str, Tensor]:
    """Every float32 tensor of a safetensors file by name. Raises ValueError for another file.

    The format: 8 bytes of length (little endian), so many of JSON, then the tensors' bytes.
    """
    data = np.memmap(path, mode="r", dtype=np.uint8)
    length = int.from_bytes(data[:8].tobytes(), "little")
    if not 0 < length <= len(data) - 8:
        raise ValueError(f"{path.name} is no safetensors file")
    header = json.loads(data[8 : 8 + length].tobytes())
    found = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, stop = (8 + length + offset for offset in entry["data_offsets"])
        found[name] = data[start:stop].view("<f4").reshape(entry["shape"])
    return found


class Graph:
    """Nodes and constants in the order in which they are added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: Tensor) -> str:
        """Add a constant; its name."""
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def add(self, kind: str, output: str, *inputs: str, **attributes: Any) -> str:
        """Add an operator with one output; the output's name."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output


def build(weights: Mapping[str, Tensor], shape: Shape) -> onnx.ModelProto:
    """The whole model. Raises KeyError for a weight that is missing."""
    graph = Graph()
    shapes(graph, shape)
    mask = hiding(graph)
    hidden = _embedded(graph, weights, shape)
    for number in range(shape.layers):
        layer = f"encoder.layer.{number}."
        hidden = attention(graph, weights, shape, layer, hidden)
        hidden = feed_forward(graph, weights, shape, layer, hidden)
    _pooled(graph, hidden, mask)
    axes: list[Any] = ["texts", "tokens"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "embedder",
            [
                helper.make_tensor_value_info("input_ids", TensorProto.INT64, axes),
                helper.make_tensor_value_info("attention_mask", TensorProto.INT64, axes),
            ],
            [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["texts", shape.width])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="modelyard",
    )
    model.ir_version = _IR
    onnx.checker.check_model(model)
    return model


def shapes(graph: Graph, shape: Shape) -> None:
    """The integers that other parts refer to by name."""
    for name, value in {
        "zero": [0], "one": [1], "two": [2],
        "by_head": [0, 0, shape.heads, shape.width // shape.heads], "merged": [0, 0, shape.width],
    }.items():  # fmt: skip
        graph.constant(name, np.array(value, np.int64))


def hiding(graph: Graph) -> str:
    """1.0 for each token that counts; beside it ``hiding``, what is taken from the others."""
    graph.add("Cast", "mask", "attention_mask", to=TensorProto.FLOAT)
    unit = graph.constant("unit", np.array(1, np.float32))
    graph.constant("hidden_score", np.array(_HIDDEN, np.float32))
    graph.constant("mask_axes", np.array([1, 2], np.int64))
    graph.add("Sub", "shown", "mask", unit)
    graph.add("Mul", "taken", "shown", "hidden_score")
    graph.add("Unsqueeze", "hiding", "taken", "mask_axes")
    return "mask"


def _embedded(graph: Graph, weights: Mapping[str, Tensor], shape: Shape) -> str:
    """Words, positions and the one sort of segment, added up and normalised."""
    start = "embeddings."
    words = graph.constant("words", weights[start + "word_embeddings.weight"])
    segment = weights[start + "token_type_embeddings.weight"][0]
    places = weights[start + "position_embeddings.weight"][: shape.longest] + segment
    graph.constant("places", places)
    graph.add("Gather", "word", words, "input_ids")
    graph.add("Shape", "shape", "input_ids")
    graph.add("Slice", "length", "shape", "one", "two", "zero")
    graph.add("Slice", "place", "places", "zero", "length", "zero")
    graph.add("Add", "placed", "word", "place")
    return normalised(graph, weights, shape, start + "LayerNorm", "placed")


def normalised(
    graph: Graph, weights: Mapping[str, Tensor], shape: Shape, name: str, hidden: str
) -> str:
    """A layer's normalisation."""
    scale = graph.constant(name + ".weight", weights[name + ".weight"])
    bias = graph.constant(name + ".bias", weights[name + ".bias"])
    return graph.add(
        "LayerNormalization", name, hidden, scale, bias, axis=-1, epsilon=shape.epsilon
    )


def dense(graph: Graph, name: str, weight: Tensor, bias: Tensor, hidden: str) -> str:
    """A product with a matrix, output by input, and a sum."""
    graph.constant(name + ".weight", weight.T)
    graph.constant(name + ".bias", bias)
    graph.add("MatMul", name + ".product", hidden, name + ".weight")
    return graph.add("Add", name, name + ".product", name + ".bias")


def linear(graph: Graph, weights: Mapping[str, Tensor], name: str, hidden: str) -> str:
    """The same of the weights of that name."""
    return dense(graph, name, weights[name + ".weight"], weights[name + ".bias"], hidden)


def attention(
    graph: Graph,
    weights: Mapping[str, Tensor],
    shape: Shape,
    layer: str,
    hidden: str,
    hiding: str = "hiding",
) -> str:
    """A layer's first half; ``hiding`` is added to its scores."""
    own = layer + "attention.self."
    scale = (shape.width / shape.heads) ** -0.5
    parts = {}
    for part, order in (("query", [0, 2, 1, 3]), ("key", [0, 2, 3, 1]), ("value", [0, 2, 1, 3])):
        name = own + part
        factor = np.float32(scale if part == "query" else 1.0)  # instead of scaling each score
        weight, bias = weights[name + ".weight"] * factor, weights[name + ".bias"] * factor
        dense(graph, name, weight, bias, hidden)
        graph.add("Reshape", name + ".heads", name, "by_head")
        parts[part] = graph.add("Transpose", name + ".turned", name + ".heads", perm=order)
    graph.add("MatMul", own + "scores", parts["query"], parts["key"])
    graph.add("Add", own + "masked", own + "scores", hiding)
    graph.add("Softmax", own + "shares", own + "masked", axis=-1)
    graph.add("MatMul", own + "mixed", own + "shares", parts["value"])
    graph.add("Transpose", own + "turned", own + "mixed", perm=[0, 2, 1, 3])
    graph.add("Reshape", own + "merged", own + "turned", "merged")
    out = linear(graph, weights, layer + "attention.output.dense", own + "merged")
    added = graph.add("Add", layer + "attention.added", out, hidden)
    return normalised(graph, weights, shape, layer + "attention.output.LayerNorm", added)


def feed_forward(
    graph: Graph, weights: Mapping[str, Tensor], shape: Shape, layer: str, hidden: str
) -> str:
    """A layer's second half, of weights named as BERT names them."""
    wide = linear(graph, weights, layer + "intermediate.dense", hidden)
    bent = graph.add("Gelu", layer + "gelu", wide, approximate="none")
    out = linear(graph, weights, layer + "output.dense", bent)
    added = graph.add("Add", layer + "added", out, hidden)
    return normalised(graph, weights, shape, layer + "output.LayerNorm", added)


def _pooled(graph: Graph, hidden: str, mask: str) -> None:
    """The mean of what the mask shows, of length 1; a text's own markers always count."""
    graph.add("Unsqueeze", "row", mask, "one")
    graph.add("MatMul", "summed", "row", hidden)  # a mean's direction is that of its sum
    graph.add("Squeeze", "sum", "summed", "one")
    graph.add("LpNormalization", "embedding", "sum", axis=-1, p=2)
