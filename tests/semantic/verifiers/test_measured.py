"""Calibration, curves and trees: what they must be whatever the data."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from modelyard.inference.semantic.verifiers.measured import calibrate, curve_of, recall_at
from modelyard.inference.semantic.verifiers.trees import Growth, grow

scored = st.lists(
    st.tuples(st.floats(-20, 20), st.integers(0, 1)), min_size=12, max_size=60
).filter(lambda found: 0 < sum(label for _, label in found) < len(found))


@given(scored)
def test_calibration_keeps_the_order(found: list[tuple[float, int]]):
    scores, labels = (np.array(part, np.float64) for part in zip(*found, strict=True))
    told = calibrate(scores, labels).probability(np.sort(scores))
    assert ((told > 0) & (told < 1)).all()
    assert (np.diff(told) >= 0).all()


def test_calibration_finds_the_probabilities():
    chance = np.random.default_rng(1)
    scores = chance.normal(size=20_000)
    labels = (chance.random(20_000) < 1 / (1 + np.exp(-(2 * scores - 1)))).astype(float)
    found = calibrate(scores, labels)
    assert abs(found.slope - 2) < 0.15
    assert abs(found.offset + 1) < 0.1


@given(scored)
def test_a_curve_says_what_thresholds_give(found: list[tuple[float, int]]):
    values, labels = (np.array(part, np.float64) for part in zip(*found, strict=True))
    curve = curve_of(values, labels)
    thresholds = [threshold for threshold, _, _ in curve]
    assert thresholds == sorted(set(thresholds))
    for threshold, precision, recall in curve:
        hits = labels[values >= threshold]
        assert precision == hits.mean()
        assert recall == hits.sum() / labels.sum()


def test_recall_at_a_precision_is_of_whole_thresholds():
    values, labels = np.array([0.9, 0.8, 0.8, 0.1]), np.array([1.0, 1.0, 0.0, 1.0])
    assert recall_at(0.99, values, labels) == 1 / 3  # the two of 0.8 cannot be divided
    assert recall_at(0.75, values, labels) == 1.0
    assert recall_at(1.0, np.array([0.5, 0.4]), np.array([0.0, 1.0])) == 0.0


def test_trees_learn_what_no_line_tells():
    chance = np.random.default_rng(2)
    rows = chance.random((3000, 4)).astype(np.float32)
    rows[:, 3] = 1.0  # a column that tells nothing
    labels = (abs(rows[:, 0] - rows[:, 1] ** 2) < 0.3).astype(np.float64)
    steps: list[int] = []
    trees = grow(
        rows[:2000],
        labels[:2000],
        (rows[2000:], labels[2000:]),
        Growth(trees=60, depth=4, rate=0.3, columns=1.0),
        lambda number, _: steps.append(number),
    )
    found = trees.ready()(rows[2000:]) > 0
    assert (found == labels[2000:]).mean() > 0.95
    assert len(trees.columns) <= len(steps)
    assert not any(3 in columns for columns in trees.columns)
