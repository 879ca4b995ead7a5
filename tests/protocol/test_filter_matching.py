from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel.filters import FIELDS, TREES
from modelyard.protocol.filter_grammar import parse
from modelyard.protocol.filtering import And, Field, Filter, Not, Or
from modelyard.protocol.matching import SEARCHED, matches, words

RESOURCE: dict[str, Any] = {
    "name": "Report",
    "createdAt": 1_768_473_000.5,
    "size": 7,
    "cost": 2.5,
    "active": False,
    "dueAt": "2026-01-15T10:30:00.000Z",
    "tags": ["red", "blue*"],
    "labels": {"team": "search", "tier": ""},
    "": "Über the hills, far_away: Straße 42",
}


def seen(text: str, **changed: Any) -> bool:
    tree = parse(text, FIELDS)
    assert tree is not None
    values = RESOURCE | changed
    return matches(tree, lambda field: values.get(field.name))


@pytest.mark.parametrize(
    "text",
    [
        "name = Report", "name != report", "name > Rep", "name = Rep*", "name = *port",
        "name = *epor*", "name != *x", "size = 7", "size > 6", "size <= 7", "cost < 3",
        "cost = 2.5", "active = false", "active != true", "createdAt > 2026-01-15T10:30:00Z",
        "dueAt = 2026-01-15T10:30:00Z", "dueAt < 2026-01-15T10:30:00.001Z", "spec.headVersion=null",
        "NOT spec.headVersion:*", "NOT spec.headVersion = 1", "tags:red", "tags:r*", "tags:*",
        r'tags:"blue\*"', "labels:team", "labels:te*", "labels.team = search", "labels.team:*rch",
        "labels.tier:*", 'labels.tier = ""', "labels.team != x", "NOT labels.x:*", "über", "ÜBER",
        '"the HILLS"', "away", "strasse", "hills far 42", "no OR size:7", "(name:Report size=7)",
    ],
)  # fmt: skip
def test_what_matches(text: str) -> None:
    assert seen(text)


@pytest.mark.parametrize(
    "text",
    [
        "name = report", "name = Rep", "name != Rep*", "size = 8", "size < 7", "cost > 2.5",
        "active = true", "active = null", "spec.headVersion = 1", "spec.headVersion != 1",
        "spec.headVersion < z", "spec.headVersion:*", "tags:blue", "tags:RED", "labels:tea",
        "labels:search", "labels.team:x", "labels.x != y", "labels.x:*", "ub", "hill", "str",
        "hills no", "name:Report AND size:8", "dueAt > 2026-01-15T10:30:00Z",
    ],
)  # fmt: skip
def test_what_does_not_match(text: str) -> None:
    assert not seen(text)


@pytest.mark.parametrize(
    ("text", "changed"),
    [
        ("size = 7", {"size": "7"}), ("size = 1", {"size": True}), ("name < z", {"name": 5}),
        ("name != z", {"name": 5}), ("active = true", {"active": 1}), ("name = a*", {"name": 1}),
        ("tags:*", {"tags": []}), ("labels:*", {"labels": {}}), ("tags:*", {"tags": None}),
        ("a", {"": None}),
    ],
)  # fmt: skip
def test_a_value_of_another_type_or_an_empty_one_matches_nothing(
    text: str, changed: dict[str, Any]
) -> None:
    assert not seen(text, **changed)


def test_a_time_as_a_client_reads_it() -> None:
    at = "2026-01-15T10:30:00.500Z"
    assert seen("createdAt > 2026-01-15T10:30:00Z", createdAt=at)
    assert seen("createdAt = 2026-01-15T10:30:00.5Z", createdAt=at)
    assert not seen("createdAt > 2026-01-15T10:30:01Z", createdAt=at)


def test_whole_numbers_and_fractions_compare() -> None:
    assert seen("cost = 2", cost=2)
    assert seen("size = 7", size=7.0)


def test_a_prefix_and_a_suffix_do_not_overlap_into_a_text_that_has_neither() -> None:
    assert not seen("name = *ortx*")
    assert seen("tags:*", tags=["*"])


def test_empty_parts() -> None:
    nothing: Filter = Or(())
    assert not matches(nothing, lambda _: None)
    assert matches(And(()), lambda _: None)
    assert matches(Not(nothing), lambda _: None)


def test_words() -> None:
    assert words("far_away, 42nd Straße!") == ["far", "away", "42nd", "strasse"]


VALUES = st.fixed_dictionaries(
    {},
    optional={
        "name": st.text(max_size=3), "size": st.integers(-9, 9), "cost": st.floats(-9, 9),
        "active": st.booleans(), "tags": st.lists(st.text(max_size=3)), "": st.text(max_size=9),
        "labels": st.dictionaries(st.text(max_size=2), st.text(max_size=2)),
        "createdAt": st.floats(0, 2e9), "dueAt": st.just("2026-01-15T10:30:00.000Z"),
    },
)  # fmt: skip


@given(TREES, VALUES)
def test_a_tree_or_its_negation_matches_any_resource(tree: Filter, values: dict[str, Any]) -> None:
    def value_of(field: Field) -> Any:
        return values.get(field.name)

    found = matches(tree, value_of)
    assert matches(Not(tree), value_of) is not found
    assert matches(Or((tree, Not(tree))), value_of)
    assert values.get("") == value_of(SEARCHED)
