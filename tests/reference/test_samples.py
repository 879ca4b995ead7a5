"""Every JSON body of the document has an example, and it is one."""

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from modelyard.reference.openapi import document
from modelyard.reference.samples import sample
from modelyard.server import routes

DOCUMENT = json.loads(json.dumps(document(routes(), "1.0.0")))


def bodies() -> Iterator[tuple[str, dict[str, Any]]]:
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            sent = operation.get("requestBody", {}).get("content", {})
            got = [(code, one.get("content", {})) for code, one in operation["responses"].items()]
            for where, content in [("request", sent), *got]:
                for kind, media in content.items():
                    if kind == "application/json" and (where == "request" or int(where) < 300):
                        yield f"{method} {path} {where}", media


def test_every_body_has_an_example_of_its_schema() -> None:
    found = dict(bodies())
    assert len(found) > 60
    for where, media in found.items():
        schema = {**media["schema"], "components": DOCUMENT["components"]}
        errors = list(jsonschema_rs.Draft202012Validator(schema).iter_errors(media["example"]))
        assert not errors, (where, errors[0].message)


def test_an_answer_shows_what_was_sent() -> None:
    users = DOCUMENT["paths"]["/v1/auth/users"]["post"]
    sent = users["requestBody"]["content"]["application/json"]["example"]
    shown = users["responses"]["201"]["content"]["application/json"]["example"]
    assert shown["login"] == sent["login"]
    assert "password" not in shown


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "pattern": "^[a-z]+:[a-z]+$"}, "key:read"),
        ({"type": "string", "minLength": 12}, "exampleeeeee"),
        ({"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 7}]}, 7),
        ({"type": "array", "items": {"type": "boolean"}, "minItems": 2}, [True, True]),
        ({"$ref": "#/components/schemas/Loop"}, None),
    ],
)
def test_samples(schema: dict[str, Any], value: Any) -> None:
    loop = {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Loop"}}}
    made = sample(schema, {"Loop": loop})
    if value is None:
        json.dumps(made)  # it ends
    else:
        assert made == value
