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

from modelyard.inference.local.graph import (
    IR,
    OPSET,
    Graph,
    Tensor,
    attention,
    feed_forward,
    hiding,
    linear,
    normalised,
    quantized,
    shapes,
)
from modelyard.inference.semantic.verifiers.form import AGREE, DIFFER, SHAPE


def export(weights: Mapping[str, Tensor], path: Path) -> None:
    """Write the graph of weights named as BERT names them, with the head's ``inner``, ``last``."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        whole = Path(folder) / "whole.onnx"
        onnx.save(build(weights), whole)
        quantized(whole, path, leaving=["inner.product", "last.product"])


def build(weights: Mapping[str, Tensor]) -> onnx.ModelProto:
    """The graph in float32. Raises KeyError for a weight that is missing."""
    graph = Graph()
    shapes(graph)
    mask = hiding(graph)
    _sides(graph)
    hidden = _embedded(graph, weights)
    for number in range(SHAPE.layers):
        layer = f"encoder.layer.{number}."
        scores = _across(graph, weights["across"][number], number)
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
    model.ir_version = IR
    onnx.checker.check_model(model)
    return model


def _sides(graph: Graph) -> None:
    """``other``: 1.0 where one token is of the one prompt and one of the other."""
    graph.constant("side_axes", np.array([1, 3], np.int64))
    graph.constant("other_axes", np.array([1, 2], np.int64))
    graph.add("Cast", "second_side", "side", to=TensorProto.FLOAT)
    graph.add("Sub", "first_side", "unit", "second_side")
    graph.add("Unsqueeze", "side_down", "second_side", "side_axes")
    graph.add("Unsqueeze", "side_along", "second_side", "other_axes")
    graph.add("Sub", "sides_differ", "side_down", "side_along")
    graph.add("Abs", "other", "sides_differ")


def _across(graph: Graph, heads: Tensor, number: int) -> str:
    """What is added to a layer's scores; ``heads``: to those of the other prompt's tokens."""
    graph.constant(f"across.{number}", heads.astype(np.float32)[None, :, None, None])
    graph.add("Mul", f"across_other.{number}", "other", f"across.{number}")
    return graph.add("Add", f"across_hiding.{number}", f"across_other.{number}", "hiding")


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
    """The head: how the means, of length 1, differ and agree, the first markers, the greatest."""
    means = []
    for side in ("first_side", "second_side"):
        shares = graph.add("Mul", side + ".shares", side, mask)
        total = _sum(graph, side, hidden, shares)  # a mean's direction is that of its sum
        means.append(graph.add("LpNormalization", side + ".mean", total, axis=-1, p=2))
    graph.constant("differ_scale", np.array(DIFFER, np.float32))
    graph.constant("agree_scale", np.array(AGREE, np.float32))
    graph.add("Sub", "means_apart", *means)
    graph.add("Abs", "means_differ", "means_apart")
    graph.add("Mul", "differ", "means_differ", "differ_scale")
    graph.add("Mul", "means_agree", *means)
    graph.add("Mul", "agree", "means_agree", "agree_scale")
    graph.add("Equal", "is_first", "place", graph.constant("no_place", np.array(0, np.int64)))
    graph.add("Cast", "first", "is_first", to=TensorProto.FLOAT)
    marks = _sum(graph, "marks", hidden, graph.add("Mul", "first.shares", "first", mask))
    graph.add("Concat", "seen", "differ", "agree", marks, _most(graph, hidden), axis=-1)
    inner = linear(graph, weights, "inner", "seen")
    bent = graph.add("Gelu", "bent", inner, approximate="none")
    linear(graph, weights, "last", bent)
    graph.add("Squeeze", "logit", "last", "one")


def _sum(graph: Graph, name: str, hidden: str, shares: str) -> str:
    """Of all tokens, each with its share."""
    graph.add("Unsqueeze", name + ".row", shares, "one")
    graph.add("MatMul", name + ".product", name + ".row", hidden)
    return graph.add("Squeeze", name + ".sum", name + ".product", "one")


def _most(graph: Graph, hidden: str) -> str:
    """The greatest of each feature over the tokens."""
    graph.add("Unsqueeze", "taken_away", "taken", "two")
    graph.add("Add", "shown_ones", hidden, "taken_away")
    return graph.add("ReduceMax", "most", "shown_ones", "one", keepdims=0)
