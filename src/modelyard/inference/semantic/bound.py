"""From which confidence on hits may be given so that no more of them are wrong than allowed.

The confidences are divided into strata. Of each it is known how often a candidate falls into it,
and how often a candidate of it was wrong: from the verifier's held-out pairs, and from answers
that were compared since. A threshold holds the bound when an upper confidence limit of the share
of wrong hits above it does (Wilson's score, one-sided 95 %, with Kish's effective sample size
because strata are not checked equally often). The lowest such threshold is used, but none at
which the verifier takes a pair for wrong rather than right: answers that are the same for a while,
as when a provider excuses itself, teach nothing of other questions. There may be none, and then no
hit is given. Questions that are the same to the letter (``plain``) are a stratum of their own,
which is believed until a check tells otherwise.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from math import sqrt

from msgspec import Struct

from modelyard.inference.semantic.plain import SURE as SAME

SURE = 1.6449  # standard deviations: one-sided 95 %
HALF_LIFE = 30 * 86_400.0  # seconds in which evidence loses half its weight: traffic changes
_STRATA = (1.0, 0.8, 0.6, 0.45, 0.3, 0.2, 0.12, 0.07, 0.04, 0.02, 0.01, 0.005)  # of recall
_LEAST_PRECISION = 0.5
_LEAST_CONFIDENCE = 0.5  # of a hit: what the verifier thinks wrong stays so, whatever checks tell
_UNSAID = 1_000  # duplicates held out, where the verifier does not tell
_HELD_CHECKS = 3.0  # times 1 / error: what held-out pairs count as at most, in each stratum
_HELD_SEEN = 20.0  # candidates whose distribution the held-out pairs stand for
_VERY_FIRST = 20  # checks of all hits, so that a verifier that knows nothing is seen at once
_FIRST = 2.7  # times 1 / error: the checks, all right, that show the bound on their own …
_FIRST_SHARE = 10.0  # … until when so many times the sample is checked
_ENOUGH = 2_000  # checks of a stratum after which watching is sampled, too


class Evidence(Struct):
    """What is known of each stratum. Weights fade with time."""

    seen: list[float]
    checks: list[float]
    wrong: list[float]
    at: float = 0.0  # Unix seconds, when it was faded last

    def fade(self, now: float) -> None:
        """Let old evidence count less."""
        if self.at and now > self.at:
            kept = 0.5 ** ((now - self.at) / HALF_LIFE)
            for weights in (self.seen, self.checks, self.wrong):
                weights[:] = [one * kept for one in weights]
        self.at = now


class Curve:
    """A verifier's strata, and what its held-out pairs tell of them."""

    def __init__(
        self,
        points: Sequence[tuple[float, float, float]],
        error: float,
        duplicates: int | None = None,
    ) -> None:
        chosen = _spread(points)
        self.thresholds = [*(threshold for threshold, _, _ in chosen), SAME]
        total = duplicates or _UNSAID
        right = [recall * total for _, _, recall in chosen] + [0.0]
        wrong = [
            recall * total * (1 / precision - 1) if precision else 0.0
            for _, precision, recall in chosen
        ] + [0.0]
        self.held = self.none()
        most, mass = _HELD_CHECKS / error, right[0] + wrong[0]
        for number in range(len(chosen)):
            good = max(0.0, right[number] - right[number + 1])
            bad = max(0.0, wrong[number] - wrong[number + 1])
            if not good + bad:
                continue
            scale = min(1.0, most / (good + bad))
            self.held.checks[number] = (good + bad) * scale
            self.held.wrong[number] = bad * scale
            self.held.seen[number] = _HELD_SEEN * (good + bad) / mass
        self.held.checks[-1], self.held.seen[-1] = most, 1.0

    def none(self) -> Evidence:
        """Of which nothing is known."""
        size = len(self.thresholds)
        return Evidence([0.0] * size, [0.0] * size, [0.0] * size)

    def stratum(self, confidence: float) -> int:
        """The stratum of a confidence; -1 below them all."""
        return bisect_right(self.thresholds, confidence) - 1


class Bound:
    """What is known of one verifier's errors, in all workspaces and in each, and what follows.

    ``error`` is the share of hits that may be wrong; ``sample`` the share of hits that is checked.
    """

    def __init__(self, curve: Curve, error: float, sample: float) -> None:
        self.curve = curve
        self.error = error
        self.sample = sample
        self.all = curve.none()
        self.own: dict[str, Evidence] = {}
        self._levels: dict[str, int | None] = {}

    def restore(self, all_: Evidence, own: dict[str, Evidence]) -> None:
        """Go on from what was known."""
        self.all, self.own = all_, own
        self._levels.clear()

    def saw(self, workspace: str, confidence: float) -> None:
        """A candidate of such a confidence came."""
        number = self.curve.stratum(confidence)
        if number >= 0:
            self.all.seen[number] += 1
            self._of(workspace).seen[number] += 1

    def check(self, workspace: str, confidence: float, right: bool, now: float) -> None:
        """Such a candidate's answer was compared with a fresh one."""
        number = self.curve.stratum(confidence)
        if number < 0:
            return
        for one in (self.all, self._of(workspace)):
            one.fade(now)
            one.checks[number] += 1
            one.wrong[number] += not right
        self._levels.clear()

    def threshold(self, workspace: str) -> float | None:
        """The least confidence of a hit; None: no threshold is shown to hold the bound."""
        if workspace not in self._levels:
            if len(self._levels) > 10_000:
                self._levels.clear()
            self._levels[workspace] = self._level(self._of(workspace))
        level = self._levels[workspace]
        return None if level is None else self.curve.thresholds[level]

    def chance(self, confidence: float, hit: bool) -> float:
        """The share of such candidates that is to be compared.

        A hit's comparison costs a call; that of a candidate that was not good enough is free, as
        its request is asked anyway.
        """
        number = self.curve.stratum(confidence)
        if number < 0:
            return 0.0
        if hit:
            checks = sum(self.all.checks[number:])
            if checks < _VERY_FIRST and self.sample:
                return 1.0
            return min(1.0, self.sample * (_FIRST_SHARE if checks < _FIRST / self.error else 1.0))
        checks = self.all.checks[number]
        return 1.0 if checks < _ENOUGH else min(1.0, self.sample * _FIRST_SHARE)

    def upper(self, level: int) -> float | None:
        """The upper limit of the share of wrong hits from a stratum upwards; None: unknown."""
        share, size = self._share(level)
        return None if size is None else wilson(share, size, SURE)

    def known(self, workspace: str) -> tuple[float, float]:
        """The checks of a workspace and those that were wrong, as far as they still count."""
        own = self.own.get(workspace)
        return (sum(own.checks), sum(own.wrong)) if own else (0.0, 0.0)

    def _level(self, own: Evidence) -> int | None:
        for level, threshold in enumerate(self.curve.thresholds):
            if threshold < _LEAST_CONFIDENCE:
                continue
            upper = self.upper(level)
            if upper is not None and upper <= self.error and not self._contradicted(level, own):
                return level
        return None

    def _contradicted(self, level: int, own: Evidence) -> bool:
        """Whether the workspace's own checks show that the bound does not hold in it."""
        strata = self._strata(level)
        checks = sum(own.checks[number] for number in strata)
        wrong = sum(own.wrong[number] for number in strata)
        return checks > 0 and wilson(wrong / checks, checks, -SURE) > self.error

    def _strata(self, level: int) -> Sequence[int]:
        """Those from a level up. The last holds easy ones, which make up for no error of others."""
        last = len(self.curve.thresholds) - 1
        return range(level, last) if level < last else (last,)

    def _share(self, level: int) -> tuple[float, float | None]:
        """The share of wrong hits, and the number of checks that it stands on."""
        known, held = self.all, self.curve.held
        seen = [one + other for one, other in zip(known.seen, held.seen, strict=True)]
        strata = self._strata(level)
        total = sum(seen[number] for number in strata)
        share = spread = 0.0
        for number in strata:
            if not seen[number]:
                continue
            before = held.checks[number]  # what was held out gives way to what is seen here
            left = max(0.0, 1 - known.checks[number] / before) if before else 0.0
            checks = known.checks[number] + left * before
            if not checks:
                return 0.0, None
            weight = seen[number] / total
            share += weight * (known.wrong[number] + left * held.wrong[number]) / checks
            spread += weight * weight / checks
        return share, 1 / spread if spread else None

    def _of(self, workspace: str) -> Evidence:
        own = self.own.get(workspace)
        if own is None:
            own = self.own[workspace] = self.curve.none()
        return own


def wilson(share: float, size: float, deviations: float) -> float:
    """Wilson's score limit of a share of ``size`` trials: the upper one, below 0 the lower."""
    square = deviations * deviations
    middle = share + square / (2 * size)
    width = sqrt(max(0.0, share * (1 - share) / size + square / (4 * size * size)))
    return (middle + deviations * width) / (1 + square / size)


def _spread(
    points: Sequence[tuple[float, float, float]],
) -> list[tuple[float, float, float]]:
    """A dozen points of a curve, evenly over its recall: strata that hold enough to be judged."""
    useful = [
        one for one in sorted(points) if one[0] < SAME and one[1] >= _LEAST_PRECISION and one[2] > 0
    ]
    if not useful:
        return []
    most = useful[0][2]
    chosen: list[tuple[float, float, float]] = []
    for share in _STRATA:
        point = next((one for one in useful if one[2] <= share * most), None)
        if point is not None and (not chosen or point[0] > chosen[-1][0]):
            chosen.append(point)
    return chosen
