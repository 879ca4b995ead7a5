"""The cross-encoder's form, as torch trains it and the ONNX graph computes it."""

from __future__ import annotations

from modelyard.inference.local.graph import Shape

SHAPE = Shape(layers=6, heads=12, width=384, longest=512, epsilon=1e-12)  # MiniLM's
# What is added at first to the scores of the other prompt's tokens, layer by layer: MiniLM was made
# for one text. It is learned for each head.
ACROSS = (-3.0, -2.0, -1.0, 0.0, 0.0, 0.0)
DIFFER, AGREE = 20.0, 400.0  # unit vectors' entries are small: their spread is made about 1
HIDDEN = -3e4  # added to the score of a token that is not seen
