"""A trained cross-encoder as an ONNX graph with weights of one byte each.

Inputs, each int64 of pairs × tokens: ``input_ids``, ``attention_mask``, ``side``, 1 for the second
prompt's tokens, and ``place``. Output: ``logit``, float32 of pairs. See ``network.Encoder``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from modelyard.inference.local.graph import (
    OPSET,
    Graph,
    Tensor,
    attention,
    feed_forward,
    hiding,
    linear,
    normalised,
    shapes,
)
from modelyard.inference.semantic.verifiers.form import AGREE, APART, DIFFER, HIDDEN, SHAPE

_IR = 9


def export(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write the graph of weights named as BERT names them, with the head's ``inner``, ``last``."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / "whole.onnx"
        onnx.save(build(weights), whole)
        quantize_dynamic(
            whole,
            path,
            weight_type=QuantType.QInt8,
            per_channel=True,
            nodes_to_exclude=["inner.product", "last.product"],
        )


def build(weights: Mapping[str, Tensor]) -> onnx.ModelProto:
    """The graph in float32. Raises KeyError for a weight that is missing."""
    graph = Graph()
    shapes(graph, SHAPE)
    mask = hiding(graph)
    _apart(graph)
    hidden = _embedded(graph, weights)
    for number in range(SHAPE.layers):
        layer = f"encoder.layer.{number}."
        scores = "hiding_apart" if number < APART else "hiding"
        hidden = attention(graph, weights, SHAPE, layer, hidden, scores)
        hidden = feed_forward(graph, weights, SHAPE, layer, hidden)
    _decided(graph, weights, hidden, mask)
    names = ("input_ids", "attention_mask", "side", "place")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "cross_encoder",
            [
                helper.make_tensor_value_info(name, TensorProto.INT64, ["pairs", "tokens"])
                for name in names
            ],
            [helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["pairs"])],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="modelyard",
    )
    model.ir_version = _IR
    onnx.checker.check_model(model)
    return model


def _apart(graph: Graph) -> None:
    """``hiding_apart``: what is taken from the scores of the other prompt's tokens, too."""
    graph.constant("side_axes", np.array([1, 3], np.int64))
    graph.constant("other_axes", np.array([1, 2], np.int64))
    graph.constant("other_score", np.array(-HIDDEN, np.float32))
    graph.add("Cast", "second_side", "side", to=TensorProto.FLOAT)
    graph.add("Sub", "first_side", "unit", "second_side")
    graph.add("Unsqueeze", "side_down", "second_side", "side_axes")
    graph.add("Unsqueeze", "side_along", "second_side", "other_axes")
    graph.add("Sub", "sides_differ", "side_down", "side_along")
    graph.add("Abs", "sides_other", "sides_differ")
    graph.add("Mul", "other_hidden", "sides_other", "other_score")
    graph.add("Sub", "hiding_apart", "hiding", "other_hidden")


def _embedded(graph: Graph, weights: Mapping[str, Tensor]) -> str:
    start = "embeddings."
    words = graph.constant("words", weights[start + "word_embeddings.weight"])
    kind = weights[start + "token_type_embeddings.weight"][0]
    graph.constant("places", weights[start + "position_embeddings.weight"] + kind)
    graph.add("Gather", "word", words, "input_ids")
    graph.add("Gather", "placed_at", "places", "place")
    graph.add("Add", "placed", "word", "placed_at")
    return normalised(graph, weights, SHAPE, start + "LayerNorm", "placed")


def _decided(graph: Graph, weights: Mapping[str, Tensor], hidden: str, mask: str) -> None:
    """The head: how the two means, of length 1, differ and where they agree."""
    means = [_mean(graph, side, hidden, mask) for side in ("first_side", "second_side")]
    graph.constant("differ_scale", np.array(DIFFER, np.float32))
    graph.constant("agree_scale", np.array(AGREE, np.float32))
    graph.add("Sub", "means_apart", *means)
    graph.add("Abs", "means_differ", "means_apart")
    graph.add("Mul", "differ", "means_differ", "differ_scale")
    graph.add("Mul", "means_agree", *means)
    graph.add("Mul", "agree", "means_agree", "agree_scale")
    graph.add("Concat", "seen", "differ", "agree", axis=-1)
    inner = linear(graph, weights, "inner", "seen")
    bent = graph.add("Gelu", "bent", inner, approximate="none")
    linear(graph, weights, "last", bent)
    graph.add("Squeeze", "logit", "last", "one")


def _mean(graph: Graph, side: str, hidden: str, mask: str) -> str:
    """The direction of a prompt's mean: that of the sum."""
    shares = graph.add("Mul", side + ".shares", side, mask)
    graph.add("Unsqueeze", side + ".row", shares, "one")
    graph.add("MatMul", side + ".product", side + ".row", hidden)
    graph.add("Squeeze", side + ".sum", side + ".product", "one")
    return graph.add("LpNormalization", side + ".mean", side + ".sum", axis=-1, p=2)
