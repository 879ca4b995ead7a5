"""What the OpenAPI document may not take away: small documents, one change each."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

import check_additive
from check_additive import compare

ROOT = Path(__file__).resolve().parent.parent
Document = dict[str, Any]

NOTE = {
    "type": "object",
    "properties": {
        "id": {"type": "string"},
        "kind": {"enum": ["text", "image"]},
        "size": {"type": "integer", "minimum": 1, "maximum": 9},
        "at": {"type": "string", "format": "date-time"},
        "tags": {"type": "array", "items": {"type": "string"}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "parent": {"anyOf": [{"$ref": "#/components/schemas/Note"}, {"type": "null"}]},
    },
    "required": ["id"],
}
ASK = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 10},
        "kind": {"enum": ["text", "image"]},
        "size": {"type": ["integer", "null"], "minimum": 1},
        "count": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"},
        "target": {"anyOf": [{"$ref": "#/components/schemas/A"},
                             {"$ref": "#/components/schemas/B"}]},
    },
    "required": ["title"],
}  # fmt: skip
OLD: Document = {
    "paths": {
        "/notes": {
            "get": {
                "operationId": "listNotes",
                "parameters": [
                    {"name": "size", "in": "query", "schema": {"type": "integer", "maximum": 9}},
                    {"$ref": "#/components/parameters/Trace"},
                ],
                "responses": {"200": {"$ref": "#/components/responses/Notes"}},
            },
            "post": {
                "operationId": "createNote",
                "requestBody": {"content": {"application/json": {
                    "schema": {"$ref": "#/components/schemas/Ask"}}}},
                "responses": {
                    "201": {
                        "headers": {"ETag": {}},
                        "content": {
                            "application/json": {"schema": {"$ref": "#/components/schemas/Note"}}
                        },
                    },
                    "409": {"description": "taken"},
                },
            },
        },
        "/about": {"get": {"operationId": "about", "responses": {"200": {}}}},
    },
    "components": {
        "parameters": {"Trace": {"name": "X-Trace", "in": "header", "schema": {"type": "string"}}},
        "responses": {"Notes": {"content": {"application/json": {"schema": {
            "type": "array", "items": {"$ref": "#/components/schemas/Note"}}}}}},
        "schemas": {
            "Note": NOTE,
            "Ask": ASK,
            "A": {"type": "object", "properties": {"a": {"type": "string"}}},
            "B": {"type": "object", "properties": {"b": {"type": "string"}}},
        },
    },
}  # fmt: skip
SCHEMAS = "components.schemas"
NOTE_AT, ASK_AT = f"{SCHEMAS}.Note.properties", f"{SCHEMAS}.Ask.properties"
LIST, MAKE = "paths./notes.get", "paths./notes.post"
BODY = "requestBody.content"
GONE = object()


def changed(place: str, value: Any) -> Document:
    """The old document with another value at a place."""
    document = copy.deepcopy(OLD)
    node: Any = document
    *way, last = place.split(".")
    for name in way:
        node = node[int(name)] if isinstance(node, list) else node[name]
    if value is GONE:
        del node[int(last) if isinstance(node, list) else last]
    elif isinstance(node, list):
        node.insert(int(last), value)
    else:
        node[last] = value
    return document


def parameter(**more: Any) -> Document:
    return {"name": "new", "in": "query", "schema": {"type": "string"}} | more


@pytest.mark.parametrize(
    ("place", "value", "where", "what"),
    [
        ("paths./about", GONE, "/about", "is gone"),
        ("paths./notes.post", GONE, "POST /notes", "is gone"),
        (f"{LIST}.operationId", "all", "GET /notes", "has operationId all, not listNotes"),
        # parameters
        (f"{LIST}.parameters.0", GONE, "GET /notes size", "is gone from the query"),
        (f"{LIST}.parameters.1", GONE, "GET /notes X-Trace", "is gone from the header"),
        (f"{LIST}.parameters.0", parameter(required=True), "GET /notes new",
         "is required in the query now"),
        ("components.parameters.Trace.required", True, "GET /notes X-Trace",
         "is required in the header now"),
        (f"{LIST}.parameters.0.schema.maximum", 5, "GET /notes size",
         "has maximum 5, not maximum 9"),
        (f"{LIST}.parameters.0.schema.type", "string", "GET /notes size",
         "no longer takes integer"),
        # request bodies
        (f"{MAKE}.requestBody.required", True, "POST /notes body", "is required now"),
        (f"{MAKE}.requestBody", GONE, "POST /notes body", "has no application/json any more"),
        (f"{MAKE}.{BODY}", {}, "POST /notes body", "has no application/json any more"),
        (f"{SCHEMAS}.Ask.required", ["title", "kind"], "Ask.kind", "is required now"),
        (f"{ASK_AT}.kind", GONE, "Ask.kind", "is gone from the request"),
        (f"{ASK_AT}.kind.enum", ["text"], "Ask.kind", "has no value 'image' any more"),
        (f"{ASK_AT}.title.enum", ["x"], "Ask.title", "takes listed values only"),
        (f"{ASK_AT}.title.maxLength", 9, "Ask.title", "has maxLength 9, not maxLength 10"),
        (f"{ASK_AT}.title.minLength", 1, "Ask.title", "has minLength 1, not no minLength"),
        (f"{ASK_AT}.title.pattern", "^a", "Ask.title", "has pattern ^a, not no pattern"),
        (f"{ASK_AT}.title.type", "integer", "Ask.title", "no longer takes string"),
        (f"{ASK_AT}.title.format", "uuid", "Ask.title", "has format uuid, not no format"),
        (f"{ASK_AT}.size.type", "integer", "Ask.size", "no longer takes null"),
        (f"{ASK_AT}.at.format", GONE, "Ask.at", "has no format, not format date-time"),
        (f"{SCHEMAS}.Ask.additionalProperties", False, "Ask", "allows no additionalProperties"),
        (f"{SCHEMAS}.B.properties.b", GONE, "B.b", "is gone from the request"),
        (f"{ASK_AT}.target", {"$ref": "#/components/schemas/A"}, "B.b", "is gone from the request"),
        # responses
        (f"{MAKE}.responses.409", GONE, "POST /notes", "has no response 409 any more"),
        (f"{MAKE}.responses.201.headers", {}, "POST /notes 201", "has no header ETag any more"),
        (f"{MAKE}.responses.201.content", {}, "POST /notes 201",
         "has no application/json any more"),
        (f"{NOTE_AT}.size", GONE, "Note.size", "is gone from the response"),
        (f"{SCHEMAS}.Note.required", [], "Note.id", "may be absent now"),
        (f"{NOTE_AT}.kind.enum", ["text"], "Note.kind", "has no value 'image' any more"),
        (f"{NOTE_AT}.id.type", ["string", "null"], "Note.id", "may be null now"),
        (f"{NOTE_AT}.id", {"anyOf": [{"type": "string"}, {"type": "null"}]}, "Note.id",
         "may be null now"),
        (f"{NOTE_AT}.id", {"type": "integer"}, "Note.id", "may be integer now"),
        (f"{NOTE_AT}.id", {}, "Note.id", "may be anything now"),
        (f"{NOTE_AT}.size.type", "number", "Note.size", "may be number now"),
        (f"{NOTE_AT}.at.format", "date", "Note.at", "has format date, not format date-time"),
        (f"{NOTE_AT}.tags.items.type", "integer", "Note.tags[]", "may be integer now"),
        (f"{NOTE_AT}.labels.additionalProperties.type", "integer", "Note.labels[]",
         "may be integer now"),
    ],
)  # fmt: skip
def test_what_is_taken_away(place: str, value: Any, where: str, what: str) -> None:
    assert compare(OLD, changed(place, value)) == [(where, what)]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("info", {"version": "2"}),
        ("paths./new", {"get": {"responses": {}}}),
        ("paths./about.post", {"responses": {}}),
        (f"{LIST}.parameters.0", parameter()),
        (f"{LIST}.parameters.0.schema.maximum", 10),
        (f"{LIST}.parameters.0.schema.maximum", GONE),
        (f"{LIST}.responses.404", {}),
        (f"{MAKE}.{BODY}.text/csv", {}),
        (f"{MAKE}.responses.201.headers.Age", {}),
        (f"{SCHEMAS}.Ask.required", []),
        (f"{ASK_AT}.new", {"type": "string"}),
        (f"{ASK_AT}.title.maxLength", 11),
        (f"{ASK_AT}.title.type", ["string", "null"]),
        (f"{ASK_AT}.count.type", "number"),
        (f"{ASK_AT}.count", {}),
        (f"{ASK_AT}.kind.enum", ["text", "image", "film"]),
        (f"{ASK_AT}.kind", {"type": "string"}),
        (f"{ASK_AT}.target.anyOf.2", {"type": "string"}),
        (f"{SCHEMAS}.Note.required", ["id", "size"]),
        (f"{NOTE_AT}.new", {"type": "string"}),
        (f"{NOTE_AT}.kind.enum", ["text", "image", "film"]),
        (f"{NOTE_AT}.parent", {"$ref": "#/components/schemas/Note"}),
        (f"{NOTE_AT}.size.maximum", 5),
        (f"{NOTE_AT}.id.description", "the id"),
    ],
)
def test_what_may_be_added(place: str, value: Any) -> None:
    assert compare(OLD, changed(place, value)) == []


def test_the_newest_release_counts(tmp_path: Path) -> None:
    assert list(check_additive.check(tmp_path)) == []
    for name, document in (("released/0.9.0", {"paths": {}}), ("released/0.10.0", OLD)):
        path = tmp_path / f"api/{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document))
    now = tmp_path / "api/openapi.json"
    now.write_text(json.dumps(changed("paths./about", GONE)))
    (found,) = check_additive.check(tmp_path)
    assert (found.where, found.what) == ("/about", "is gone (since 0.10.0).")
    now.write_text(json.dumps(OLD))
    assert list(check_additive.check(tmp_path)) == []


def test_a_released_document_takes_nothing_from_itself() -> None:
    released = check_additive.last(ROOT)
    assert released is not None
    document = json.loads(released.read_text())
    assert compare(document, document) == []
    bare = copy.deepcopy(document)
    bare["components"]["schemas"]["ApiKey"]["properties"].pop("hint")
    assert ("ApiKey.hint", "is gone from the response") in compare(document, bare)
