"""What is read in a prompt, and what two prompts are found to differ in."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.inference.semantic.verdict import Pair
from modelyard.inference.semantic.verifiers.features import NAMES, features
from modelyard.inference.semantic.verifiers.light import DIFFER, Light, hashed
from modelyard.inference.semantic.verifiers.model import LIGHT, record_of
from modelyard.inference.semantic.verifiers.words import Read, read


def texts(text: str) -> Read:
    return read(text, lambda word: min(1.0, len(word) / 10))


def vector(text: str) -> np.ndarray:
    """A unit vector that depends on the text's letters alone."""
    found = np.full(384, 0.01, np.float32)
    for at, letter in enumerate(text):
        found[(ord(letter) * 7 + at) % 384] += 1
    return found / np.linalg.norm(found)


def pair(one: str, other: str, cosine: float | None = None) -> Pair:
    asked, kept = vector(one), vector(other)
    return Pair(one, other, asked, kept, float(asked @ kept) if cosine is None else cosine)


def found(one: str, other: str) -> dict[str, float]:
    return dict(zip(NAMES, features([pair(one, other)], texts)[0].tolist(), strict=True))


@pytest.mark.parametrize(
    ("one", "other", "differs"),
    [
        ("What is 15% of 80?", "What is 15% of 90?", {"numbers_differ"}),
        ("Name three rivers", "Name four rivers", {"numbers_differ"}),
        ("Name 3 rivers", "Name three rivers", set()),
        ("It costs 1,000 euros", "It costs 1000.00 euros", set()),
        ("Books of 2019", "Books", {"numbers_one_side"}),
        ("How far is 5 km?", "How far is 5 miles?", {"units_differ"}),
        ("How far is 5 km?", "How far is 5 kilometers?", set()),
        ("Should I eat eggs?", "Should I not eat eggs?", {"negations_differ"}),
        ("Why can't I sleep?", "Why can I not sleep?", set()),
        ("How do I buy a house?", "Why do I buy a house?", {"question_differs"}),
        ("How many people live there?", "How do people live there?", {"question_differs"}),
        ("What is the reason for rain?", "Why is there rain?", set()),
        ("How do I enable it?", "How do I disable it?", {"opposed"}),
        ("the flight to Paris", "the flight to Berlin", {"names_differ"}),
        ("the flight to Paris", "the flight to paris", set()),
    ],
)
def test_what_differs(one: str, other: str, differs: set[str]):
    looked_at = {
        "numbers_differ", "numbers_one_side", "units_differ", "names_differ", "question_differs",
        "negations_differ", "opposed",
    }  # fmt: skip
    told = found(one, other)
    assert {name for name in looked_at if told[name]} == differs


def test_order_is_seen():
    assert found("from Paris to Rome", "from Rome to Paris")["moved"] == 1
    assert found("from Paris to Rome", "from Paris to Rome")["moved"] == 0


words = st.text(st.sampled_from("ab cde fgh 12 N'?$%éß東"), max_size=40)


@settings(max_examples=300)
@given(words, words)
def test_features_do_not_depend_on_the_order(one: str, other: str):
    rows = features([pair(one, other), pair(other, one)], texts)
    assert np.isfinite(rows).all()
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-5)


@given(words, words)
def test_hashed_words_do_not_depend_on_the_order(one: str, other: str):
    there, back = (hashed(each, texts, 1 << 15) for each in (pair(one, other), pair(other, one)))
    assert sorted(there) == sorted(back)


@given(words)
def test_a_text_differs_in_nothing_from_itself(text: str):
    told = found(text, text)
    assert told["equal_words"] == told["shared_weight"] == told["letters"] == 1
    assert not any(told[name] for name in NAMES if name.endswith("_differ") or name == "opposed")


def longest_common(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """By the table, as it is defined."""
    before = [0] * (len(other) + 1)
    for word in one:
        row = [0]
        for at, theirs in enumerate(other):
            row.append(before[at] + 1 if word == theirs else max(before[at + 1], row[at]))
        before = row
    return before[-1]


def alike(one: str, other: str) -> float:
    """Dice's share of common pairs of letters, as it is defined."""
    both = [{f" {word} "[at : at + 2] for at in range(len(word) + 1)} for word in (one, other)]
    return 2 * len(both[0] & both[1]) / (len(both[0]) + len(both[1]))


few = st.sampled_from(["the", "blue", "bird", "blues", "birds", "two-two", "3", "In", "in"])
repeated = st.lists(few, max_size=70).map(" ".join)


@settings(max_examples=300)
@given(repeated, repeated)
def test_the_longest_common_subsequence_is_that_of_its_definition(one: str, other: str):
    mine, theirs = texts(one).words, texts(other).words
    most = max(len(mine), len(theirs), 1)
    wanted = longest_common(mine[:64], theirs[:64]) / most
    assert found(one, other)["longest"] == pytest.approx(wanted, rel=1e-6)


@settings(max_examples=300)
@given(words, words)
def test_words_are_alike_as_defined(one: str, other: str):
    mine, theirs = texts(one).weights, texts(other).weights
    here = [name for name in mine if name not in theirs][:12]
    there = [name for name in theirs if name not in mine][:12]
    told = found(one, other)
    if not here or not there:
        assert told["near_least"] == 1
        return
    best = [max(alike(name, rest) for rest in there) for name in here]
    best += [max(alike(name, rest) for rest in here) for name in there]
    assert told["near_least"] == pytest.approx(min(best), rel=1e-6)
    assert told["near_mean"] == pytest.approx(sum(best) / len(best), rel=1e-6)


@given(st.text())
def test_shingles_are_of_letters_and_digits_alone(text: str):
    low = "".join(char if char.isalnum() else " " for char in text.lower())
    low = f" {' '.join(low.split())} "
    assert texts(text).shingles == {low[at : at + 3] for at in range(len(low) - 2)}


@pytest.fixture(scope="module")
def light() -> Light:
    return Light(record_of(Path(), LIGHT), texts)


@given(words, st.integers(0, 9999), st.integers(0, 9999))
def test_another_number_is_never_the_same_question(light: Light, text: str, one: int, other: int):
    told = light.confidence([pair(f"{text} {one}", f"{text} {other}", cosine=1.0)])[0]
    if f"{one}" != f"{other}":
        assert told <= DIFFER
    else:
        assert told > 0.5


@settings(max_examples=300)
@given(words, words)
def test_confidences_are_probabilities_of_both_orders(light: Light, one: str, other: str):
    there, back = light.confidence([pair(one, other), pair(other, one)])
    assert 0 <= there <= 1
    assert there == pytest.approx(back, rel=1e-4)


def test_the_light_verifier_tells_apart_what_cosine_does_not(light: Light):
    same = light.confidence(
        [
            pair("How do I reset my password?", "How can I reset my password?", 0.97),
            pair("What is the capital of France?", "what's the capital of France", 0.97),
        ]
    )
    other = light.confidence(
        [
            pair("How do I enable cookies?", "How do I disable cookies?", 0.97),
            pair("Why should I buy bitcoin?", "Why should I not buy bitcoin?", 0.97),
            pair("How far is it from Rome to Paris?", "How far is it from Rome to Delhi?", 0.97),
            pair("What is 15% of 80?", "What is 15% of 90?", 0.97),
        ]
    )
    assert min(same) > max(other)


def test_the_curve_that_ships_is_of_its_confidences(light: Light):
    thresholds = [threshold for threshold, _, _ in light.curve]
    recalls = [recall for _, _, recall in light.curve]
    assert thresholds == sorted(thresholds)
    assert recalls == sorted(recalls, reverse=True)
    assert light.duplicates > 1000
