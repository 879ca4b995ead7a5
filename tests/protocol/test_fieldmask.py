import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from modelyard.protocol.errors import Failure
from modelyard.protocol.fieldmask import apply, parse


class Limits(Struct, rename="camel"):
    per_day: int = 0
    burst: int | None = None


class Target(Struct, rename="camel"):
    model_id: str = ""


class Plan(Struct, rename="camel"):
    name: str
    max_cost: float = 0
    limits: Limits | None = None
    tags: list[str] = []
    targets: list[Target] = []
    labels: dict[str, str] = {}
    regions: dict[str, Limits] = {}
    options: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("text", "mask"),
    [
        ("", None),
        (" ", None),
        ("*", ((),)),
        ("name", (("name",),)),
        ("name,max_cost", (("name",), ("maxCost",))),
        (" name , maxCost ", (("name",), ("maxCost",))),
        ("limits.per_day", (("limits", "perDay"),)),
        ("limits.perDay,limits", (("limits", "perDay"), ("limits",))),
        ("labels.cost_center", (("labels", "cost_center"),)),
        ("labels.`a.b/c, d`", (("labels", "a.b/c, d"),)),
        ("regions.eu_west.per_day", (("regions", "eu_west", "perDay"),)),
        ("options.a.b.c", (("options", "a", "b", "c"),)),
        ("name,*", (("name",), ())),
    ],
)
def test_a_mask(text: str, mask: Any) -> None:
    assert parse(text, Plan) == mask


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        ("nam", "unknown_field", "names 'nam', which is not known here; did you mean 'name'"),
        ("limits.perHour", "unknown_field", "did you mean 'limits.perDay'"),
        ("limits.*", "unknown_field", "names 'limits.*'"),
        ("regions.eu.x", "unknown_field", "names 'regions.eu.x'"),
        ("tags.0", "path", "leads into 'tags', which can be replaced as a whole only"),
        ("targets.model_id", "path", "leads into 'targets'"),
        ("name.first", "path", "leads into 'name'"),
        ("labels.team.x", "path", "whole only; a key with dots stands in backticks"),
        ("labels.*", "path", "leads into 'labels'"),
        ("name,", "syntax", "must be paths such as"),
        (",", "syntax", "must be paths"),
        ("name max_cost", "syntax", "must be paths"),
        ("labels.`a", "syntax", "must be paths"),
        ("limits..burst", "syntax", "must be paths"),
        (".name", "syntax", "must be paths"),
        ("name," * 500 + "name", "syntax", "at most 2,000 characters"),
    ],
)
def test_a_mask_that_is_refused(text: str, rule: str, said: str) -> None:
    with pytest.raises(Failure) as caught:
        parse(text, Plan)
    assert caught.value.code.symbol == "INVALID_REQUEST"
    assert (caught.value.details["field"], caught.value.details["rule"]) == ("update_mask", rule)
    assert said in caught.value.message


CURRENT: dict[str, Any] = {
    "name": "a",
    "limits": {"perDay": 1, "burst": 2},
    "tags": ["x", "y"],
    "labels": {"team": "t", "tier": "1"},
    "note": None,
}


@pytest.mark.parametrize(
    ("mask", "sent", "changed"),
    [
        (None, {}, {}),
        (None, {"name": "b"}, {"name": "b"}),
        (None, {"tags": ["z"], "limits": {"perDay": 5}}, {"tags": ["z"], "limits": {"perDay": 5}}),
        (None, {"labels": {"a": "b"}}, {"labels": {"a": "b"}}),
        (None, {"name": None}, {"name": None}),
        ("name", {"name": "b", "tags": []}, {"name": "b"}),
        ("limits.perDay", {"limits": {"perDay": 5}}, {"limits": {"perDay": 5, "burst": 2}}),
        ("limits.perDay", {"limits": {}}, {"limits": {"burst": 2}}),
        ("limits.perDay", {}, {"limits": {"burst": 2}}),
        ("limits.perDay", {"limits": None}, {"limits": {"burst": 2}}),
        ("limits.perDay", {"limits": {"perDay": None}}, {"limits": {"perDay": None, "burst": 2}}),
        ("limits", {"limits": {"perDay": 5}}, {"limits": {"perDay": 5}}),
        ("limits,limits.perDay", {"limits": {"perDay": 5}}, {"limits": {"perDay": 5}}),
        ("limits.perDay,limits", {"limits": {"perDay": 5}}, {"limits": {"perDay": 5}}),
        ("labels.team", {"labels": {"team": "u", "x": 1}}, {"labels": {"team": "u", "tier": "1"}}),
        ("labels.team", {}, {"labels": {"tier": "1"}}),
        ("note.a.b", {"note": {"a": {"b": 1}}}, {"note": {"a": {"b": 1}}}),
        ("note.a.b", {}, {}),
        ("new.a", {"new": {"a": 1, "b": 2}}, {"new": {"a": 1}}),
        ("new.a", {}, {}),
        ("tags", {"tags": ["z"]}, {"tags": ["z"]}),
    ],
)  # fmt: skip
def test_what_an_update_leaves(mask: str | None, sent: Any, changed: dict[str, Any]) -> None:
    paths = tuple(tuple(path.split(".")) for path in mask.split(",")) if mask else None
    before = copy.deepcopy(CURRENT)
    assert apply(CURRENT, sent, paths) == CURRENT | changed
    assert before == CURRENT


def test_what_is_absent_goes() -> None:
    assert apply({"a": 1, "b": 2}, {}, (("a",),)) == {"b": 2}
    assert apply({"a": 1, "b": 2}, {"c": 3}, ((),)) == {"c": 3}


DOCUMENTS = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(0, 3), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | st.integers(0, 3), max_size=3),
)
PATHS = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple)
_ABSENT = object()


def at(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        document = document.get(name, _ABSENT) if isinstance(document, dict) else _ABSENT
    return document


@given(DOCUMENTS, DOCUMENTS, PATHS, PATHS)
def test_a_path_is_as_sent_and_what_lies_elsewhere_as_before(
    current: dict[str, Any], sent: dict[str, Any], path: tuple[str, ...], other: tuple[str, ...]
) -> None:
    after = apply(current, sent, (path,))
    assert at(after, path) == at(sent, path)
    if path[: len(other)] != other and other[: len(path)] != path:
        shared = next(n for n, (a, b) in enumerate(zip(path, other, strict=False)) if a != b)
        if isinstance(at(current, path[:shared]), dict):  # else a value gave way to an object
            assert at(after, other) == at(current, other)
