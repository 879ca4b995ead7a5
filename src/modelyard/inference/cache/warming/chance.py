"""How likely a prompt is asked within a time: a logistic regression that learns as it goes."""

from __future__ import annotations

from math import exp, log, sqrt

from msgspec import Struct, field

_RATE = 0.1  # of learning
_HOLD = 0.0005  # pulls the weights to where they began
_FAR = 6.0  # logits beyond are as good as certain

FEATURES = (
    "constant",
    "rate",  # logit of the chance by rate, rhythm and sequence
    "sequence",  # chance that it follows what was just asked
    "overdue",  # log of the time since it was asked, in its mean gaps
    "age",  # log of how often it was asked
    "recent",  # it was asked within the last hour
    "yesterday",  # it was asked within this window one day before
    "last_week",  # … seven days before
    "yesterday_regular",  # … times how often it kept to its time of the day or the week
    "last_week_regular",
)
_BEGIN = (0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)


def logit(chance: float) -> float:
    """The log odds, within ±6."""
    if chance <= 0.0025:
        return -_FAR
    return min(_FAR, log(chance / (1.0 - chance))) if chance < 0.9975 else _FAR


def sigmoid(x: float) -> float:
    """The chance of log odds."""
    return 1.0 / (1.0 + exp(-max(-30.0, min(30.0, x))))


class Chance(Struct):
    """Weights of the features, one set for a workspace's model.

    Untaught it believes the rate. Each forecast whose outcome is known teaches it a step
    (AdaGrad, Duchi et al., 2011), so that where nothing returns, little is expected soon.
    """

    weights: list[float] = field(default_factory=lambda: list(_BEGIN))
    gradients: list[float] = field(default_factory=lambda: [1.0] * len(_BEGIN))  # of squares
    taught: int = 0

    def of(self, features: tuple[float, ...]) -> float:
        """The chance, 0 to 1."""
        total = 0.0
        for weight, value in zip(self.weights, features, strict=True):
            total += weight * value
        return sigmoid(total)

    def teach(self, features: tuple[float, ...], happened: bool) -> None:
        """Learn from one outcome."""
        error = self.of(features) - happened
        weights, gradients = self.weights, self.gradients
        for i, value in enumerate(features):
            slope = error * value + _HOLD * (weights[i] - _BEGIN[i])
            gradients[i] += slope * slope
            weights[i] -= _RATE * slope / sqrt(gradients[i])
        self.taught += 1
