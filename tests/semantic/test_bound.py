"""The share of wrong hits stays below the bound, whatever the verifier claims."""

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.inference.semantic.bound import HALF_LIFE, SURE, Bound, Curve, Evidence, wilson

Wrong = Callable[[float], float]  # the chance that a candidate of such a confidence is wrong
DUPLICATES = 5_000


def curve(claimed: Wrong) -> list[tuple[float, float, float]]:
    """What a verifier would report whose confidences are even from 0 to 1."""
    points = []
    for number in range(100):
        low = number / 100
        at = [low + (1 - low) * (step + 0.5) / 50 for step in range(50)]
        right = 1 - sum(map(claimed, at)) / len(at)
        points.append((low, right, (1 - low) * right))
    most = points[0][2]
    return [(threshold, right, recall / most) for threshold, right, recall in points]


def traffic(
    bound: Bound, truth: Wrong, count: int, seed: int, workspace: str = "w"
) -> tuple[int, int, int]:
    """Candidates as they come: hits, those that were wrong, and those that were checked."""
    draw = random.Random(seed)
    hits = wrong = paid = 0
    for _ in range(count):
        confidence = draw.random()
        is_wrong = draw.random() < truth(confidence)
        threshold = bound.threshold(workspace)
        bound.saw(workspace, confidence)
        hit = threshold is not None and confidence >= threshold
        hits += hit
        wrong += hit and is_wrong
        if draw.random() < bound.chance(confidence, hit):
            paid += hit
            bound.check(workspace, confidence, not is_wrong, 1.0)
    return hits, wrong, paid


def honest(confidence: float) -> float:
    return 0.8 * (1 - confidence) ** 2


@settings(max_examples=12, deadline=None)
@given(
    error=st.sampled_from([0.01, 0.02, 0.05]),
    worst=st.floats(0.05, 1.0),
    power=st.sampled_from([1.0, 2.0, 3.0]),
    seed=st.integers(0, 10_000),
)
def test_an_honest_verifier_keeps_the_bound(
    error: float, worst: float, power: float, seed: int
) -> None:
    def truth(confidence: float) -> float:
        return float(worst * (1 - confidence) ** power)

    bound = Bound(Curve(curve(truth), error, DUPLICATES), error, 0.02)
    hits, wrong, _ = traffic(bound, truth, 15_000, seed)
    assert wrong <= error * hits + 3 * (error * hits) ** 0.5 + 1


@pytest.mark.parametrize("seed", range(4))
def test_one_that_claims_too_much_is_held_to_it(seed: int) -> None:
    """It errs ten times as often as it says: hits are given from a higher confidence on."""
    bound = Bound(Curve(curve(honest), 0.02, DUPLICATES), 0.02, 0.02)
    first = bound.threshold("w")

    def truth(confidence: float) -> float:
        return min(1.0, 10 * honest(confidence))

    hits, wrong, _ = traffic(bound, truth, 20_000, seed)
    now = bound.threshold("w")
    assert first is not None and now is not None and first < now
    assert wrong <= 0.02 * hits + 3 * (0.02 * hits) ** 0.5 + 1


@pytest.mark.parametrize("seed", range(4))
def test_one_that_knows_nothing_is_turned_off(seed: int) -> None:
    """Its confidence tells nothing and one hit of five is wrong: no threshold would do."""
    bound = Bound(Curve(curve(lambda _: 0.0), 0.01, DUPLICATES), 0.01, 0.02)
    assert bound.threshold("w") != 1.0, "at first it is believed"
    hits, _, _ = traffic(bound, lambda _: 0.2, 20_000, seed)
    assert bound.threshold("w") == 1.0, "only what is the same to the letter is left"
    assert hits < 100, "it took few hits to see it"


def test_more_is_given_when_more_is_known() -> None:
    """Nothing was held out: what is watched for nothing shows that hits can be given."""
    bound = Bound(Curve(curve(honest), 0.05, 1), 0.05, 0.02)
    assert bound.threshold("w") == 1.0
    hits, _, paid = traffic(bound, lambda _: 0.0, 5_000, seed=1)
    assert bound.threshold("w") != 1.0
    assert hits > 2_000
    assert paid < 0.15 * hits


def test_one_workspace_can_be_stricter_than_the_others() -> None:
    bound = Bound(Curve(curve(honest), 0.05, DUPLICATES), 0.05, 0.05)
    traffic(bound, lambda _: 0.0, 5_000, seed=1, workspace="good")
    for _ in range(30):
        bound.check("bad", 0.99, right=False, now=1.0)
    assert bound.threshold("bad") == 1.0
    for _ in range(30):
        bound.check("bad", 1.0, right=False, now=1.0)
    assert bound.threshold("bad") is None
    assert bound.known("bad") == (60, 60)
    lax = bound.threshold("good")
    assert lax is None or lax < 1.0


def test_a_verifier_without_a_curve_gives_no_hits_of_its_own() -> None:
    bound = Bound(Curve([], 0.01), 0.01, 0.02)
    assert bound.threshold("w") == 1.0
    assert bound.chance(0.99, hit=False) == 0.0
    bound.saw("w", 0.99)
    bound.check("w", 0.99, right=True, now=1.0)
    for _ in range(20):
        bound.check("w", 1.0, right=False, now=1.0)
    assert bound.threshold("w") is None


def test_old_evidence_fades() -> None:
    known = Evidence([4.0], [2.0], [1.0], at=1.0)
    known.fade(1.0 + HALF_LIFE)
    assert (known.seen, known.checks, known.wrong) == ([2.0], [1.0], [0.5])


def test_wilson() -> None:
    """Against the figures of the formula's author for 10 of 100, and for none."""
    assert wilson(0.1, 100, 1.96) == pytest.approx(0.1744, abs=1e-4)
    assert wilson(0.1, 100, -1.96) == pytest.approx(0.0552, abs=1e-4)
    assert wilson(0.0, 268, SURE) < 0.01 < wilson(0.0, 266, SURE)


def test_what_the_verifier_takes_for_wrong_is_never_a_hit() -> None:
    """A provider that says the same to everything for a while teaches nothing of questions."""
    bound = Bound(Curve(curve(honest), 0.05, DUPLICATES), 0.05, 0.02)
    hits, wrong, _ = traffic(bound, lambda _: 0.0, 20_000, 1)
    threshold = bound.threshold("w")
    assert hits and not wrong and threshold is not None and 0.5 <= threshold < SURE
    assert bound.curve.thresholds[0] < 0.5, "there are lower ones"
