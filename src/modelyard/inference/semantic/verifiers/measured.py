"""From a model's scores to probabilities, and how good they are: calibration and the curve."""

from __future__ import annotations

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

_ROUNDS = 50
_RIDGE = 1e-3
POINTS = 200  # of a curve at most

Scores = NDArray[np.float64]
Curve = list[tuple[float, float, float]]


class Calibration(Struct, frozen=True):
    """A logistic function of the score; it keeps the scores' order."""

    slope: float
    offset: float

    def probability(self, scores: Scores) -> Scores:
        """Of each score, strictly between 0 and 1."""
        return 1 / (1 + np.exp(-np.clip(self.slope * scores + self.offset, -35, 35)))


def calibrate(scores: Scores, labels: NDArray[np.float64]) -> Calibration:
    """Fit by Newton's method, with Platt's targets: never quite 0 or 1 from few pairs."""
    right, wrong = labels.sum(), (1 - labels).sum()
    goal = np.where(labels == 1, (right + 1) / (right + 2), 1 / (wrong + 2))
    design = np.stack([scores, np.ones_like(scores)])
    weights = np.array([1.0, 0.0])
    for _ in range(_ROUNDS):
        share = 1 / (1 + np.exp(-np.clip(weights @ design, -35, 35)))
        slope = design @ (share - goal) + _RIDGE * weights
        bend = (design * (share * (1 - share))) @ design.T + _RIDGE * np.eye(2)
        step = np.linalg.solve(bend, slope)
        weights = weights - step * min(1.0, 2 / float(np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(max(float(weights[0]), 1e-6), float(weights[1]))


def curve_of(confidences: Scores, labels: NDArray[np.float64]) -> Curve:
    """(threshold, precision, recall) with the thresholds ascending, POINTS at most.

    Closer together where recall is small: there are the precisions that are wanted.
    """
    order = np.argsort(-confidences, kind="stable")
    value, right = confidences[order], labels[order].cumsum()
    count = np.arange(1, len(value) + 1)
    last = np.append(value[1:] < value[:-1], True)  # equal confidences cannot be divided
    places = np.flatnonzero(last)
    ranks = np.unique(np.geomspace(10, len(value), POINTS).astype(int)) - 1
    places = np.unique(places[np.minimum(np.searchsorted(places, ranks), len(places) - 1)])
    total = max(1.0, float(labels.sum()))
    return [
        (float(value[at]), float(right[at] / count[at]), float(right[at] / total))
        for at in places[::-1]
    ]


def recall_at(precision: float, scores: Scores, labels: NDArray[np.float64]) -> float:
    """The largest share of the right pairs that some threshold finds at this precision."""
    order = np.argsort(-scores, kind="stable")
    value, right = scores[order], labels[order].cumsum()
    last = np.append(value[1:] < value[:-1], True)
    good = np.flatnonzero(last & (right / np.arange(1, len(value) + 1) >= precision))
    return float(right[good[-1]] / labels.sum()) if len(good) else 0.0
