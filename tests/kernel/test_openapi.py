from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator, OpenAPIV31SpecValidator

from kernel.client import by_name
from kernel.notes import Notes
from modelyard.kernel.http import Application
from modelyard.kernel.route import Route
from modelyard.protocol.errors import REGISTRY
from modelyard.reference import docs
from modelyard.reference.openapi import document
from modelyard.reference.openapi30 import downgrade, schema30
from modelyard.server import routes as server_routes

Document = dict[str, Any]


def of_notes() -> list[Route]:
    found = Notes().routes()
    return [*found, *docs.routes(lambda: found)]


@pytest.fixture(params=[of_notes, server_routes], ids=["notes", "server"])
def declared(request: pytest.FixtureRequest) -> list[Route]:
    return request.param()


def test_both_documents_are_valid(declared: list[Route]) -> None:
    found = document(declared, "1.0.0")
    OpenAPIV31SpecValidator(found).validate()
    OpenAPIV30SpecValidator(downgrade(found)).validate()


def test_a_wrong_document_would_be_noticed() -> None:
    found = document(of_notes(), "1.0.0")
    old = downgrade(found)
    old["components"]["schemas"]["Part"]["required"] = []
    assert list(OpenAPIV30SpecValidator(old).iter_errors())
    del found["info"]["title"]
    assert list(OpenAPIV31SpecValidator(found).iter_errors())


def test_every_shown_route_is_there(declared: list[Route]) -> None:
    paths = document(declared, "1.0.0")["paths"]
    shown = [route for route in declared if not route.hidden]
    assert sum(len(methods) for methods in paths.values()) == len(shown)
    operations = [operation for methods in paths.values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(shown)
    assert all(operation["summary"] for operation in operations)


def test_every_reference_leads_somewhere(declared: list[Route]) -> None:
    found = document(declared, "1.0.0")
    for whole in (found, downgrade(found)):
        for reference in references(whole):
            place: Any = whole
            for step in reference.removeprefix("#/").split("/"):
                place = place[step]


def references(node: Any) -> set[str]:
    if isinstance(node, list):
        return set().union(*map(references, node))
    if not isinstance(node, dict):
        return set()
    here = {node["$ref"]} if isinstance(node.get("$ref"), str) else set()
    return here.union(*map(references, node.values()))


def test_an_operation() -> None:
    create = document(of_notes(), "1.0.0")["paths"]["/v1/notes"]["post"]
    assert create["operationId"] == "postNotes"
    assert create["security"] == [{"bearer": []}, {"apiKey": []}]
    assert create["x-permission"] == "note:write"
    assert create["requestBody"]["required"] is True
    statuses = ["201", "400", "401", "403", "408", "413", "415", "500"]
    assert list(create["responses"]) == statuses
    schema = {"$ref": "#/components/schemas/Note"}
    made = create["responses"]["201"]["content"]["application/json"]
    assert made["schema"] == schema
    assert set(made["example"]) == {"title", "parts", "labels", "score"}
    unauthenticated = create["responses"]["401"]["content"]["application/json"]
    assert unauthenticated["schema"] == {"$ref": "#/components/schemas/Error"}
    assert list(unauthenticated["examples"]) == ["UNAUTHENTICATED"]


def test_parameters() -> None:
    paths = document(of_notes(), "1.0.0")["paths"]
    search = {p["name"]: p for p in paths["/v1/notes"]["get"]["parameters"] if "name" in p}
    assert set(search) == {"page_size", "page_token", "tags", "kind"}
    assert search["kind"]["schema"] == {"enum": ["image", "text"]} or search["kind"]["schema"][
        "enum"
    ] == ["text", "image"]
    assert search["page_size"]["schema"]["minimum"] == 0
    assert search["page_size"]["description"]
    version = paths["/v1/books/{name}/versions/{version}"]["get"]["parameters"]
    assert [p["name"] for p in version if "name" in p] == ["name", "version"]
    [note_id] = [p for p in paths["/v1/notes/{noteId}"]["get"]["parameters"] if "name" in p]
    assert (note_id["name"], note_id["in"], note_id["required"]) == ("noteId", "path", True)


def test_public_routes_ask_for_no_key() -> None:
    page = document(of_notes(), "1.0.0")["paths"]["/docs/errors/{code}"]["get"]
    assert page["security"] == []
    assert "401" not in page["responses"]
    assert list(page["responses"]["200"]["content"]) == ["text/html; charset=utf-8"]


def test_a_stream_and_an_envelope_of_its_own() -> None:
    route = Route(
        method="POST",
        path="/v1/talk",
        permission="inference:create",
        summary="Talk",
        tag="Talk",
        request=dict[str, str],
        response=str,
        stream=int,
        failure=dict[str, int],
        headers={"X-Mood": "How to talk."},
        sends={"X-Feeling": "How it felt."},
        errors=("RATE_LIMITED",),
        examples={"request": {"say": "hello"}, "stream": "data: 1"},
    )
    talk = document([route], "1.0.0")["paths"]["/v1/talk"]["post"]
    assert set(talk["responses"]["200"]["content"]) == {"application/json", "text/event-stream"}
    assert talk["responses"]["200"]["content"]["text/event-stream"] == {
        "schema": {
            "type": "object",
            "required": ["data"],
            "properties": {
                "event": {"type": "string"},
                "id": {"type": "string"},
                "data": {
                    "type": "string",
                    "contentMediaType": "application/json",
                    "contentSchema": {"type": "integer"},
                },
            },
        },
        "example": "data: 1",
    }
    assert "X-Feeling" in talk["responses"]["200"]["headers"]
    assert "X-Feeling" not in talk["responses"]["429"]["headers"]
    assert "Retry-After" in talk["responses"]["429"]["headers"]
    refused = talk["responses"]["429"]["content"]["application/json"]
    assert refused["schema"]["additionalProperties"] == {"type": "integer"}
    assert "examples" not in refused
    assert talk["requestBody"]["content"]["application/json"]["example"] == {"say": "hello"}
    assert "X-Mood" in [p.get("name") for p in talk["parameters"]]


def test_an_operation_id_used_twice_is_refused() -> None:
    first, *_ = Notes().routes()
    twice = Route(method="PUT", path="/x", permission=None, summary="", tag="", operation="getPage")
    with pytest.raises(ValueError, match="getPage"):
        document([first, twice], "1.0.0")


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (True, {}),
        ({"const": 1}, {"enum": [1]}),
        ({"type": "null"}, {"type": "string", "nullable": True, "enum": [None]}),
        (
            {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}], "default": None},
            {"type": "integer", "minimum": 1, "nullable": True, "default": None},
        ),
        (
            {"anyOf": [{"$ref": "#/x"}, {"type": "null"}], "description": "d"},
            {"allOf": [{"$ref": "#/x"}], "nullable": True, "description": "d"},
        ),
        (
            {"anyOf": [{"type": "string"}, {"const": 1}, {"type": "null"}]},
            {"anyOf": [{"type": "string"}, {"enum": [1]}], "nullable": True},
        ),
        ({"$ref": "#/x", "default": {}}, {"allOf": [{"$ref": "#/x"}], "default": {}}),
        ({"exclusiveMinimum": 0}, {"minimum": 0, "exclusiveMinimum": True}),
        ({"type": ["string", "integer"]}, {"anyOf": [{"type": "string"}, {"type": "integer"}]}),
        ({"type": "string", "examples": ["a", "b"]}, {"type": "string", "example": "a"}),
        (
            {"type": "array", "prefixItems": [{"const": 1}], "items": False, "minItems": 1},
            {"type": "array", "items": {"anyOf": [{"enum": [1]}]}, "minItems": 1},
        ),
        ({"type": "array"}, {"type": "array", "items": {}}),
        (
            {"type": "string", "contentEncoding": "base64"},
            {"type": "string", "format": "byte"},
        ),
        (
            {"type": "object", "properties": {"a": {"const": 1}}, "propertyNames": {}},
            {"type": "object", "properties": {"a": {"enum": [1]}}},
        ),
        (
            {"type": "object", "additionalProperties": {"type": "null"}},
            {
                "type": "object",
                "additionalProperties": {"type": "string", "nullable": True, "enum": [None]},
            },
        ),
    ],
)
def test_a_schema_as_3_0(new: Any, old: Any) -> None:
    before = repr(new)
    assert schema30(new) == old
    assert repr(new) == before


class TestReference:
    @pytest.fixture
    def app(self) -> Application:
        return Application(of_notes(), authenticate=by_name, ports=Notes().ports)

    async def test_the_documents_are_served(self, app: Application) -> None:
        client = Notes().client(None)
        client.app = app
        new = await client.get("/openapi.json")
        old = await client.get("/openapi-3.0.json")
        assert (new.json["openapi"], old.json["openapi"]) == ("3.1.0", "3.0.3")
        assert set(new.json["paths"]) == set(old.json["paths"])
        assert new.headers["content-type"] == "application/json"

    async def test_the_rendered_reference_needs_no_other_server(self, app: Application) -> None:
        client = Notes().client(None)
        client.app = app
        page = await client.get("/docs")
        assert page.status == 200
        text = page.body.decode()
        assert "http://" not in text
        assert "https://" not in text
        for path in ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"):
            assert f"/docs/assets/{path}" in text
            asset = await client.get(f"/docs/assets/{path}")
            assert asset.status == 200
            assert len(asset.body) > 500
            assert "max-age" in asset.headers["cache-control"]
        assert "'sha256-" in page.headers["content-security-policy"]

    @pytest.mark.parametrize("name", ["x.js", "..%2F__init__.py", "swagger-ui.css.map"])
    async def test_no_other_file_is_served(self, app: Application, name: str) -> None:
        client = Notes().client(None)
        client.app = app
        assert (await client.get(f"/docs/assets/{name}")).status == 404

    async def test_every_code_has_a_page(self, app: Application) -> None:
        client = Notes().client(None)
        client.app = app
        overview = (await client.get("/docs/errors")).body.decode()
        for symbol, code in REGISTRY.items():
            page = await client.get(f"/docs/errors/{symbol}")
            assert page.status == 200
            text = page.body.decode()
            assert symbol in overview
            assert symbol in text
            assert str(code.status or "none") in text
            assert text.index("Cause") < text.index("What to do")
            assert "$" not in text.partition("<body>")[2]

    @pytest.mark.parametrize("name", ["rate_limited", "INFER_004", "AI_RATE_LIMITED"])
    async def test_a_code_is_found_by_its_other_names(self, app: Application, name: str) -> None:
        client = Notes().client(None)
        client.app = app
        assert "<h1>RATE_LIMITED</h1>" in (await client.get(f"/docs/errors/{name}")).body.decode()

    async def test_an_unknown_code_is_404(self, app: Application) -> None:
        client = Notes().client(None)
        client.app = app
        reply = await client.get("/docs/errors/%3Cscript%3E")
        assert (reply.status, reply.code) == (404, "NOT_FOUND")
