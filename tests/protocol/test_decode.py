import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from kernel.notes import Note, Notes, Search
from modelyard.protocol import decode
from modelyard.protocol.errors import Failure
from modelyard.protocol.paging import Paging

BAD_BODIES: list[tuple[str, bytes, str, str]] = [
    ("nothing", b"", "title", "required"),
    ("blank", b" ", "body", "json"),
    ("cut", b'{"title":', "body", "json"),
    ("no JSON", b"title=a", "body", "json"),
    ("trailing", b'{"title":"a"} x', "body", "json"),
    ("NUL", b'{"title":"a"}\0', "body", "json"),
    ("BOM", b'\xef\xbb\xbf{"title":"a"}', "body", "json"),
    ("comment", b'{"title":"a" /* */}', "body", "json"),
    ("NaN", b'{"title":"a","score":NaN}', "body", "json"),
    ("Infinity", b'{"title":"a","score":-Infinity}', "body", "json"),
    ("lone surrogate", b'{"title":"\\ud800"}', "body", "json"),
    ("UTF-8", b'{"title":"\xff"}', "body", "encoding"),
    ("UTF-16", '{"title":"a"}'.encode("utf-16"), "body", "json"),
    ("null", b"null", "body", "type"),
    ("array", b"[]", "body", "type"),
    ("string", b'"a"', "body", "type"),
    ("brackets", b"[" * 20_000, "body", "type"),
    ("nested brackets", b'{"labels":' + b'{"a":' * 20_000, "labels[...]", "type"),
    ("unknown brackets", b'{"x":' + b"[" * 20_000, "x", "unknown_field"),
    ("type", b'{"title":7}', "title", "type"),
    ("number as text", b'{"title":"a","score":"1"}', "score", "type"),
    ("huge number", b'{"title":"a","score":1e999}', "score", "range"),
    ("huge integer", b'{"title":"a","parts":[{"size_limit":' + b"9" * 5000 + b"}]}", "", "range"),
    ("half", b'{"title":"a","parts":[{"size_limit":1.5}]}', "parts[0].size_limit", "type"),
    ("null title", b'{"title":null}', "title", "type"),
    ("missing", b"{}", "title", "required"),
    ("empty title", b'{"title":""}', "title", "length"),
    ("long title", b'{"title":"abcdefghijk"}', "title", "length"),
    ("unknown", b'{"title":"a","colour":1}', "colour", "unknown_field"),
    (
        "both cases",
        b'{"title":"a","parts":[{"sizeLimit":1,"size_limit":2}]}',
        "sizeLimit",
        "repeated",
    ),
    ("deep unknown", b'{"title":"a","parts":[{"x":1}]}', "parts[0].x", "unknown_field"),
    ("range", b'{"title":"a","parts":[{},{"size_limit":0}]}', "parts[1].size_limit", "range"),
    ("negative", b'{"title":"a","parts":[{"size_limit":-5}]}', "parts[0].size_limit", "range"),
    ("choice", b'{"title":"a","parts":[{"kind":"film"}]}', "parts[0].kind", "enum"),
    ("map value", b'{"title":"a","labels":{"x":1}}', "labels[...]", "type"),
]


@pytest.mark.parametrize(("body", "field", "rule"), [case[1:] for case in BAD_BODIES],
                         ids=[case[0] for case in BAD_BODIES])  # fmt: skip
async def test_a_bad_body_names_field_and_rule(body: bytes, field: str, rule: str) -> None:
    notes = Notes()
    reply = await notes.client().post("/v1/notes", body)
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
    details = reply.error["details"]
    assert details["rule"] == rule, details
    assert details["field"] == field or not field, details
    assert len(reply.error["message"]) < 400
    assert notes.calls == notes.events == []


async def test_brackets_within_any_value() -> None:
    with pytest.raises(Failure) as raised:
        decode.decode(b"[" * 20_000, list)
    assert raised.value.details["rule"] == "depth"


@pytest.mark.parametrize(
    ("body", "allowed"),
    [
        (b'{"title":"a","parts":[{"kind":"film"}]}', ["image", "text"]),
        (b'{"title":"a","parts":[{"size_limit":0}]}', "integer >= 1"),
        (b'{"title":"a","parts":[{"x":0}]}', ["size_limit", "kind"]),
        (b'{"title":"abcdefghijk"}', "string of length <= 10"),
        (b'{"title":"a","score":"x"}', "number or null"),
    ],
)
async def test_what_is_allowed_is_told(body: bytes, allowed: Any) -> None:
    reply = await Notes().client().post("/v1/notes", body)
    assert reply.error["details"]["allowed"] == allowed


async def test_a_near_miss_is_suggested_and_a_value_never_echoed() -> None:
    reply = await Notes().client().post("/v1/notes", b'{"titel":"my-secret"}')
    assert "did you mean 'title'" in reply.error["message"]
    reply = (
        await Notes().client().post("/v1/notes", b'{"title":"a","parts":[{"kind":"my-secret"}]}')
    )
    assert b"my-secret" not in reply.body


async def test_a_repeated_field_counts_once() -> None:
    reply = await Notes().client().post("/v1/notes", b'{"title":"a","title":"b"}')
    assert (reply.status, reply.json["title"]) == (201, "b")


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin-1", ""],
)
async def test_another_content_type_is_415(content_type: str) -> None:
    headers = {"Content-Type": content_type}
    reply = await Notes().client().post("/v1/notes", b'{"title":"a"}', headers=headers)
    assert (reply.status, reply.code) == (415, "UNSUPPORTED_MEDIA_TYPE")
    assert reply.error["details"]["supported"] == ["application/json"]


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "APPLICATION/JSON", "application/json; charset=UTF-8",
     'application/json;charset="utf8"', "application/merge-patch+json"],
)  # fmt: skip
async def test_json_content_types(content_type: str) -> None:
    headers = {"Content-Type": content_type}
    reply = await Notes().client().post("/v1/notes", b'{"title":"a"}', headers=headers)
    assert reply.status == 201


@pytest.mark.parametrize(
    ("query", "field", "rule"),
    [
        ("colour=1", "colour", "unknown_field"),
        ("page_sizes=1", "page_sizes", "unknown_field"),
        ("page_size=abc", "page_size", "type"),
        ("page_size=", "page_size", "type"),
        ("page_size=-1", "page_size", "range"),
        ("page_size=1.5", "page_size", "type"),
        ("page_size=" + "9" * 5000, "page_size", "range"),
        ("page_size=1&page_size=2", "page_size", "repeated"),
        ("page_size=1&pageSize=2", "page_size", "repeated"),
        ("kind=film", "kind", "enum"),
        ("kind=null", "kind", "type"),
        ("tags=%FF", "query", "encoding"),
        ("page_token=" + "x" * 1025, "page_token", "length"),
        ("&".join(f"tags={i}" for i in range(101)), "query", "encoding"),
    ],
)
async def test_a_bad_query_names_field_and_rule(query: str, field: str, rule: str) -> None:
    reply = await Notes().client().get("/v1/notes?" + query)
    assert (reply.status, reply.code) == (400, "INVALID_REQUEST"), reply.body
    details = reply.error["details"]
    assert (details["field"], details["rule"]) == (field, rule), details


async def test_a_query_is_decoded() -> None:
    notes = Notes()
    reply = await notes.client().get("/v1/notes?tags=a&tags=b%20c&pageSize=3&kind=text")
    assert reply.json == ["a", "b c"]
    assert (notes.calls[0].page_size, notes.calls[0].kind) == (3, "text")


async def test_a_parameter_where_there_are_none_is_named() -> None:
    reply = await Notes().client().get("/v1/notes/1?verbose=1")
    assert (reply.status, reply.error["details"]["field"]) == (400, "verbose")
    assert (await Notes().client().get("/page?verbose=1")).status == 200


class Open(Struct):
    size: int = 1


def test_what_nobody_asks_for_is_each_ones_own() -> None:
    one = decode.query(b"", Search)
    one.tags.append("mine")
    assert decode.query(b"", Search).tags == []
    free = decode.query(b"", Open)
    free.size = 2
    assert decode.query(b"", Open).size == 1
    assert decode.query(b"", Paging) == decode.query(b"", Paging)


FIELDS = ["title", "parts", "labels", "score", "size_limit", "sizeLimit", "kind"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(FIELDS), inner),
)


@given(JSON.map(lambda value: json.dumps(value).encode("utf-8", "surrogatepass")) | st.binary())
def test_no_body_is_worse_than_invalid(body: bytes) -> None:
    try:
        note = decode.decode(body, Note, either_case=True)
    except Failure as failure:
        assert failure.code.symbol == "INVALID_REQUEST"
        assert failure.details["field"]
    else:
        assert isinstance(note, Note)
        assert note.score is None or math.isfinite(note.score)


@given(st.binary() | st.text("pages_iztokn=&%12F+").map(str.encode))
def test_no_query_is_worse_than_invalid(raw: bytes) -> None:
    try:
        decode.query(raw, Search)
    except Failure as failure:
        assert failure.code.symbol == "INVALID_REQUEST"
