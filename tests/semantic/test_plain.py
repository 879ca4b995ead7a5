"""Which questions are the same without asking a verifier."""

import pytest

from modelyard.inference.semantic.plain import same_question

SAME = [
    ("What is a cat?", "what is  a cat"),
    ("HOW DO I RESET IT", "How do I reset it?"),
    ("Who was Marie Curie?", "who was marie curie"),
    ("x = 1", "x = 1"),
]
OTHER = [
    ("What is a cat?", "What is a dog?"),
    ("Is it for US?", "Is it for us?"),
    ("What does IT do?", "what does it do"),
    ("print(A)", "print(a)"),
    ("a < b", "a  <  b"),
    ("Let's eat, grandma", "Let's eat grandma"),
    ("It costs 1.5", "It costs 15"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one: str, other: str) -> None:
    assert same_question(one, other) and same_question(other, one)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_other(one: str, other: str) -> None:
    assert not same_question(one, other) and not same_question(other, one)
