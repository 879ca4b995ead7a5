"""A BERT encoder's weights as an ONNX graph, with the pooling of sentence-transformers in it.

Input: ``input_ids`` and ``attention_mask``, both int64 of texts × tokens. Output: ``embedding``,
float32 of texts × width, unit vectors: the mean of the tokens that the mask shows, normalised.
The operators are ONNX's own (opset 23), so that any runtime of it can run the graph. A short text
takes what its operators take to be called, and what the weights take to be read: so attention is
one operator and not twelve, on one product that makes queries, keys and values.

Needs the packages ``numpy``, ``onnx`` and ``onnxruntime``: imported where a graph is made only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

OPSET = 23
IR = 11  # of ONNX 1.18, which introduced the opset: older runtimes read it too
_IN_BYTES = ["MatMul", "Gather"]  # whose weights are: the quantiser's "Attention" is not ONNX's
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

    def split(self, name: str, whole: str, outputs: Sequence[str]) -> None:
        """Add the equal parts of a tensor's last axis."""
        found = helper.make_node(
            "Split", [whole], outputs, name=name, axis=-1, num_outputs=len(outputs)
        )
        self.nodes.append(found)


def build(weights: Mapping[str, Tensor], shape: Shape) -> onnx.ModelProto:
    """The whole model. Raises KeyError for a weight that is missing."""
    graph = Graph()
    shapes(graph)
    mask = hiding(graph)
    hidden = _embedded(graph, weights, shape)
    square = _square(graph)
    for number in range(shape.layers):
        layer = f"encoder.layer.{number}."
        hidden = attention(graph, weights, shape, layer, hidden, square)
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
    model.ir_version = IR
    onnx.checker.check_model(model)
    return model


def quantized(graph: onnx.ModelProto | Path, into: Path, leaving: Sequence[str] = ()) -> None:
    """Write a graph with weights of one byte each, but for those of the nodes ``leaving``."""
    quantize_dynamic(
        graph,
        into,
        weight_type=QuantType.QInt8,
        per_channel=True,
        op_types_to_quantize=_IN_BYTES,
        nodes_to_exclude=list(leaving),
    )


def shapes(graph: Graph) -> None:
    """The integers that other parts refer to by name."""
    for name, value in {"zero": 0, "one": 1, "two": 2}.items():
        graph.constant(name, np.array([value], np.int64))


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


def _square(graph: Graph) -> str:
    """``hiding`` of each token to each."""
    graph.add("Concat", "rows", "one", "one", "length", "one", axis=0)
    return graph.add("Expand", "hiding_each", "hiding", "rows")


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
    graph: Graph, weights: Mapping[str, Tensor], shape: Shape, layer: str, hidden: str, hiding: str
) -> str:
    """A layer's first half; ``hiding`` is added to its scores: texts × (1 or heads) × tokens²."""
    own = layer + "attention.self."
    parts = [own + part for part in ("query", "key", "value")]
    weight, bias = (
        np.concatenate([weights[part + kind] for part in parts]) for kind in (".weight", ".bias")
    )
    graph.split(own + "parts", dense(graph, own + "all", weight, bias, hidden), parts)
    heads = {"q_num_heads": shape.heads, "kv_num_heads": shape.heads}
    graph.add("Attention", own + "mixed", *parts, hiding, **heads)
    out = linear(graph, weights, layer + "attention.output.dense", own + "mixed")
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
