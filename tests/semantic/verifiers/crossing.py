"""What the tests of the cross-encoder need; importing it needs torch."""

import onnx as onnx
import torch as torch

from modelyard.inference.local.graph import read_weights as read_weights
from modelyard.inference.local.install import fetch as fetch
from modelyard.inference.semantic.verifiers.crosstraining import train_cross as train_cross
from modelyard.inference.semantic.verifiers.exporting import build as build
from modelyard.inference.semantic.verifiers.network import Batch as Batch
from modelyard.inference.semantic.verifiers.network import Encoder as Encoder
from modelyard.inference.semantic.verifiers.network import begin as begin
from modelyard.inference.semantic.verifiers.tuning import Plan as Plan
from modelyard.inference.semantic.verifiers.tuning import Progress as Progress
from modelyard.inference.semantic.verifiers.tuning import Run as Run
from modelyard.inference.semantic.verifiers.tuning import rows_of as rows_of
