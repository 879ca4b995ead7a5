"""Instances of JSON Schemas."""

import re
import time
from contextlib import suppress
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.inference.providers.sandbox_pattern import PatternTooLong, example
from modelyard.inference.providers.sandbox_schema import NoInstance, instance

NODE = {
    "type": "object",
    "properties": {
        "value": {"type": "number"},
        "left": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
        "right": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
    },
    "required": ["value", "left", "right"],
    "additionalProperties": False,
}
SCHEMAS: list[Any] = [
    True,
    {},
    {"enum": ["x", "y"]},
    {"const": None},
    {"type": "null"},
    {"type": "boolean"},
    {"type": ["integer", "null"], "minimum": 3},
    {"type": "integer", "minimum": 7, "maximum": 9, "multipleOf": 4},
    {"type": "integer", "maximum": -5, "multipleOf": 2},
    {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 2},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.5},
    {"type": "number", "maximum": -1},
    {"type": "string", "minLength": 30, "maxLength": 31},
    {"type": "string", "maxLength": 0},
    {"type": "string", "format": "date-time"},
    {"type": "string", "format": "uuid"},
    {"type": "string", "format": "email"},
    {"type": "string", "format": "ipv6"},
    {"type": "string", "pattern": r"^[A-Z]{3}-\d{4}(-[a-z]+)?$"},
    {"type": "string", "pattern": r"^(foo|bar)+\.\w{2,5}$", "minLength": 20},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "items": NODE["properties"]["value"], "maxItems": 0},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    {
        "type": "array",
        "minItems": 2,
        "uniqueItems": True,
        "items": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
    },
    {"type": "object", "minProperties": 3, "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
    {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
            {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
        ]
    },
    {"oneOf": [{"type": "object", "properties": {"k": {"const": 1}}, "required": ["k"]}]},
    {"properties": {"a": {"type": "string"}}, "anyOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"$ref": "#/$defs/node", "$defs": {"node": NODE}},
    {"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"type": "string", "minLength": 2}}},
    {
        "type": "object",
        "properties": {
            "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]},
            "children": {"type": "array", "items": {"$ref": "#"}},
        },
        "required": ["next", "children"],
    },
]


def laughs(depth: int) -> dict[str, Any]:
    """A schema whose instances double with each level."""
    levels: dict[str, Any] = {
        f"d{level}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/$defs/d{level + 1}"} for name in "ab"},
            "required": ["a", "b"],
        }
        for level in range(depth)
    }
    levels[f"d{depth}"] = {"type": "string"}
    return {"$ref": "#/$defs/d0", "$defs": levels}


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema, "minItems": 1}
    return schema


HOSTILE: list[Any] = [
    False,
    {"enum": []},
    {"type": "object", "required": ["a"], "additionalProperties": False},
    {"type": "integer", "minimum": 2, "maximum": 1},
    {"type": "string", "minLength": 2, "maxLength": 1},
    laughs(20),
    nested(900),
    {"$ref": "#"},
    {"$ref": "#/nowhere"},
    {"$ref": "https://example.com/schema"},
    {"allOf": [{"$ref": "#"}]},
    {"anyOf": [{"$ref": "#"}] * 50},
    {"allOf": [{"type": "string"}] * 1000},
    {"type": "string", "minLength": 10**9},
    {"type": "array", "minItems": 10**9},
    {"type": "object", "minProperties": 10**12},
    {"type": "number", "minimum": "x"},
    {"type": "object", "properties": [1]},
    {"type": "object", "required": 5},
    {"pattern": "(" * 500},
    {"pattern": "(a{1000}){1000}"},
    {"description": "x" * 200_000},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: str(schema)[:60])
def test_the_instance_is_valid_and_the_same_each_time(schema: Any) -> None:
    value = instance(schema)
    assert jsonschema_rs.is_valid(schema, value), value
    assert instance(schema) == value


@pytest.mark.parametrize("schema", HOSTILE, ids=lambda schema: str(schema)[:60])
def test_what_has_no_instance_is_refused_soon(schema: Any) -> None:
    start = time.process_time()
    with pytest.raises(NoInstance):
        instance(schema)
    assert time.process_time() - start < 2


_leaves = st.one_of(
    st.builds(
        lambda low, span: {"type": "integer", "minimum": low, "maximum": low + span},
        st.integers(-1000, 1000),
        st.integers(0, 50),
    ),
    st.builds(
        lambda low, span: {"type": "number", "minimum": low, "maximum": low + span},
        st.integers(-1000, 1000),
        st.integers(0, 50),
    ),
    st.builds(
        lambda low, span: {"type": "string", "minLength": low, "maxLength": low + span},
        st.integers(0, 40),
        st.integers(0, 40),
    ),
    st.builds(lambda values: {"enum": values}, st.lists(st.integers() | st.text(), min_size=1)),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}]),
)


def _deeper(schemas: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.text("abcdef", min_size=1, max_size=3)
    return st.one_of(
        st.builds(
            lambda items, least: {"type": "array", "items": items, "minItems": least},
            schemas,
            st.integers(0, 3),
        ),
        st.builds(
            lambda properties: {
                "type": "object",
                "properties": properties,
                "required": sorted(properties)[::2],
                "additionalProperties": False,
            },
            st.dictionaries(names, schemas, max_size=4),
        ),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(schemas, min_size=1, max_size=3)),
    )


@given(st.recursive(_leaves, _deeper, max_leaves=12))
def test_any_schema_of_these_parts_has_a_valid_instance(schema: Any) -> None:
    assert jsonschema_rs.is_valid(schema, instance(schema))


_keywords = st.sampled_from(
    [
        *("type", "properties", "items", "required", "anyOf", "allOf", "enum", "$ref", "minimum"),
        *("maximum", "minLength", "pattern", "minItems", "prefixItems", "multipleOf", "format"),
    ]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(_keywords, parts, max_size=4),
    max_leaves=15,
)


@given(st.dictionaries(_keywords, _json, max_size=6))
def test_no_nonsense_does_more_than_have_no_instance(schema: Any) -> None:
    with suppress(NoInstance):
        instance(schema)


@pytest.mark.parametrize(
    "pattern",
    [
        r"^[a-z]+@[a-z]+\.com$",
        r"^\+?[1-9]\d{1,14}$",
        r"^#([0-9a-fA-F]{3}){1,2}$",
        r"^(?:red|green)(?P<number>\d)?$",
        r"^[^a-zA-Z]{4}$",
        r"^\u0041\x42{2}$",
        r"^a{2,}b?c*$",
        r"^v\d+\.\d+\.\d+$",
        "",
        "abc",
    ],
)
@pytest.mark.parametrize("least", [0, 9])
def test_a_pattern_matches_its_example(pattern: str, least: int) -> None:
    text = example(pattern, least)
    assert re.search(pattern, text), text


@given(st.text(r"ab()[]{}|*+?\d^$-,:<>=!1", max_size=40), st.integers(0, 30))
def test_no_pattern_does_more_than_be_too_long(pattern: str, least: int) -> None:
    with suppress(PatternTooLong):
        assert len(example(pattern, least)) <= 10_000
