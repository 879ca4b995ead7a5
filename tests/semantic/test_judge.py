"""When two answers count as the same."""

import numpy as np
import pytest

from modelyard.inference.semantic.judge import same
from semantic.bench import vector

PAIRS = [
    ("Paris.", "paris", 0.0, True),
    ("The capital is  Paris", "the capital is Paris!", 0.0, True),
    ("It is Paris, on the Seine.", "Paris, on the Seine, it is.", 0.97, True),
    ("It is Paris.", "It is Lyon.", 0.85, False),
    ("Yes, that is possible.", "No, that is not possible.", 0.97, False),
    ("It costs 20 dollars.", "It costs 30 dollars.", 0.99, False),
    ("x < y", "x > y", 0.89, False),
    ("long " * 100, "long " * 99 + "longer", 0.82, True),
    ("long " * 100, "other " * 100, 0.7, False),
]


@pytest.mark.parametrize(("one", "other", "cosine", "expected"), PAIRS)
def test_same(one: str, other: str, cosine: float, expected: bool) -> None:
    first, second = vector("one"), vector("two")
    second = second - first * float(first @ second)
    second /= np.linalg.norm(second)
    turned = cosine * first + (1 - cosine**2) ** 0.5 * second
    right, similarity = same(one, other, np.stack([first, turned.astype(np.float32)]))
    assert similarity == pytest.approx(cosine, abs=1e-5)
    assert right is expected
