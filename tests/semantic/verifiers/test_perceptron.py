"""The perceptron: it learns what needs both vectors, and says the same of both orders."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.inference.semantic.verifiers.perceptron import Perceptron, inputs, learn

WIDTH = 6


def drawn(count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unit vectors by pairs; a pair is alike if its vectors are, or if both are of one subject."""
    chance = np.random.default_rng(seed)
    both = chance.standard_normal((2, count, WIDTH)).astype(np.float32)
    both[1, ::2] = both[0, ::2] + 0.2 * both[1, ::2]
    asked, kept = both / np.linalg.norm(both, axis=-1, keepdims=True)
    alike = ((asked * kept).sum(1) > 0.8) | ((asked[:, 0] > 0.4) & (kept[:, 0] > 0.4))
    return asked, kept, alike.astype(np.float64)


@pytest.fixture(scope="module")
def learned() -> Perceptron:
    asked, kept, labels = drawn(4_000, 1)
    scale = np.float32((WIDTH / 384) ** 0.5)  # entries as small as MiniLM's
    return learn(inputs(asked * scale, kept * scale), labels)


def test_it_tells_apart_what_it_did_not_see(learned: Perceptron) -> None:
    asked, kept, labels = drawn(2_000, 2)
    scale = np.float32((WIDTH / 384) ** 0.5)
    told = learned.ready()(asked * scale, kept * scale)
    assert ((told > 0) == labels).mean() > 0.9 > max(labels.mean(), 1 - labels.mean())


@given(st.integers(0, 2**32 - 1))
def test_order_and_a_file_make_no_difference(learned: Perceptron, seed: int) -> None:
    asked, kept, _ = drawn(4, seed)
    there = learned.ready()(asked, kept)
    np.testing.assert_allclose(learned.ready()(kept, asked), there, rtol=1e-4, atol=1e-4)
    read = msgspec.json.decode(msgspec.json.encode(learned), type=Perceptron)
    np.testing.assert_array_equal(read.ready()(asked, kept), there)
