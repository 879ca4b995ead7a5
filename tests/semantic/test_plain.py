"""Which questions are the same without asking a verifier."""

import pytest

from modelyard.inference.semantic.plain import same_question

SAME = [
    ("What is a cat?", "what is  a cat"),
    ("How do I reset it? ", "how do i reset it"),
    ("What's the time ?", "what's the time"),
    ("I am lost. And what now??", "I am lost. and what now"),
    ("Tell me of Paris.", "tell me of paris"),
    ("Will it rain?", "will it rain?"),
    ("A cat", "a cat"),
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
    ("What is 5!", "What is 5"),
    ("He left.", "He left?"),
    ("It is done", "It is done?"),
    ("Go on...", "Go on."),
    ("Really!", "Really?"),
    ("What is X?", "What is x?"),
    ("may", "May"),
    ("ICE trains", "Ice trains"),
    ("Vitamin a", "Vitamin A"),
    ("Is it polish?", "Is it Polish?"),
    ("Who is Will's wife?", "Who is will's wife?"),
    ("Wo sind Sie?", "Wo sind sie?"),
    ("us", "US"),
    ("WHAT DO AIDS DO", "what do aids do"),
    ("What are Maße?", "What are Masse?"),
    ("one\ntwo", "one two"),
    ("What is -5", "What is 5"),
    ("?", "."),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_same(one: str, other: str) -> None:
    assert same_question(one, other) and same_question(other, one)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_other(one: str, other: str) -> None:
    assert not same_question(one, other) and not same_question(other, one)
