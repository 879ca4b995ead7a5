"""The OpenAPI 3.1 document, from the routes' declarations and the types they name."""

import inspect
import re
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from modelyard.kernel.route import Route
from modelyard.protocol import shape
from modelyard.protocol.asgi import FORM, JSON
from modelyard.protocol.errors import DOCS, REGISTRY
from modelyard.reference.samples import sample

SSE = "text/event-stream"
OCTETS = "application/octet-stream"
REF = "#/components/"

_DESCRIPTION = """\
A self-hosted AI platform: one server for inference and for the life of models.

Every path under `/v1/` is also served under `/api/v1/`. Field names may be sent in snake_case or \
camelCase. Errors have one form, and each code has a page at `/docs/errors/{code}`."""

_HEADERS = {
    "X-Request-ID": "The request's id: the one sent, else a generated one.",
    "X-API-Version": "Version of this API: major.minor.patch.",
}
_RETRY = {"Retry-After": "Seconds until the request is worth another try, where that is known."}
_RETRIED = ("429", "503")
_PARAMETERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Request-ID": (
        "Taken over as the request's id if it is 1 to 128 printable ASCII characters without "
        "spaces; replaced otherwise.",
        {"type": "string"},
    ),
    "API-Version": (
        "The date of the API's behaviour to use; echoed.",
        {"type": "string", "format": "date"},
    ),
}


class ErrorBody(Struct, kw_only=True, omit_defaults=True):
    """What went wrong. Absent fields are left out."""

    code: str
    message: str
    request_id: str
    timestamp: str
    documentation: str
    retryable: bool
    number: str | None = None
    details: dict[str, Any] | None = None
    retry_after_seconds: float | None = None
    fallback_available: bool | None = None
    model_version: str | None = None


class Error(Struct):
    """The one error envelope."""

    error: ErrorBody


def document(routes: Iterable[Route], version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of ``routes``. Raises ValueError for an operationId used twice."""
    shown = [route for route in routes if not route.hidden]
    schemas = _Schemas(shown)
    paths: dict[str, Any] = {}
    ids: set[str] = set()
    for route in sorted(shown, key=lambda route: (route.path, route.method)):
        operation = _operation(route, schemas)
        if operation["operationId"] in ids:
            raise ValueError(f"operationId {operation['operationId']} is used twice")
        ids.add(operation["operationId"])
        paths.setdefault(_template(route.path), {})[route.method.lower()] = operation
    fields = _HEADERS | _RETRY
    for route in shown:
        fields = fields | route.sends
    used = {code for route in shown if not route.failure for code in _codes(route)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Modelyard",
            "version": version,
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(route.tag for route in shown)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "parameters": {
                name: _header_parameter(name, *about) for name, about in _PARAMETERS.items()
            },
            "headers": {
                name: {"description": text, "schema": {"type": "string"}}
                for name, text in fields.items()
            },
            "examples": {code: _error_example(code) for code in sorted(used)},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
                "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


class _Schemas:
    """The schema of every type that the routes name; those of queries become parameters."""

    def __init__(self, routes: list[Route]) -> None:
        types: list[Any] = [Error]
        for route in routes:
            types += [route.request, route.query, route.response, route.stream, route.failure]
        self._types = list(dict.fromkeys(type_ for type_ in types if type_ is not None))
        self.components: dict[str, dict[str, Any]]
        found, self.components = msgspec.json.schema_components(
            self._types, ref_template=REF + "schemas/{name}"
        )
        for schema in self.components.values():
            _tell(schema)
        self._found = dict(zip(self._types, found, strict=True))
        queries = dict.fromkeys(route.query for route in routes if route.query is not None)
        self.queries = {query: self._taken(query) for query in queries}

    def of(self, type_: Any) -> dict[str, Any]:
        """A reference to the schema of a type, or the schema itself where it has no name."""
        found: dict[str, Any] = self._found[type_]
        return found

    def media(self, type_: Any, example: Any, given: Any = None) -> dict[str, Any]:
        """A JSON body of a type, with its own example or one that is made of its schema."""
        schema = self.of(type_)
        if example is None:
            example = sample(schema, self.components, given)
        return _media(schema, example)

    def _taken(self, query: Any) -> dict[str, Any]:
        name = self._found[query]["$ref"].rpartition("/")[2]
        return self.components.pop(name)


def _tell(schema: Any) -> None:
    """Patterns as JSON Schema has them, at every depth."""
    inner = schema.values() if isinstance(schema, dict) else schema
    if isinstance(schema, dict) and isinstance(found := schema.get("pattern"), str):
        schema["pattern"] = shape.pattern(found)
    for one in inner if isinstance(schema, dict | list) else ():
        _tell(one)


def _operation(route: Route, schemas: _Schemas) -> dict[str, Any]:
    described = route.description or inspect.getdoc(route.serve) or ""
    operation: dict[str, Any] = {
        "operationId": route.operation or _operation_id(route),
        "summary": route.summary or route.path,
        "description": described if route.serve or route.description else "",
        "tags": [route.tag],
        "parameters": _parameters(route, schemas),
        "security": [] if route.permission is None else [{"bearer": []}, {"apiKey": []}],
        "responses": _responses(route, schemas),
    }
    if route.permission:
        operation["x-permission"] = route.permission
    if route.request is not None:
        media = schemas.media(route.request, route.examples.get("request"))
        required = not _all_optional(route.request)
        kind = FORM if route.form else JSON
        operation["requestBody"] = {"required": required, "content": {kind: media}}
    if route.inflow:
        media = _media({"type": "string", "format": "binary"}, "the bytes")
        operation["requestBody"] = {"required": True, "content": {OCTETS: media}}
    return {name: value for name, value in operation.items() if value != ""}


def _parameters(route: Route, schemas: _Schemas) -> list[dict[str, Any]]:
    found = [
        {
            "name": shape.camel(name.rstrip("*")),
            "in": "path",
            "required": True,
            "schema": {"type": "string", "minLength": 1},
        }
        for name in re.findall(r"{([^}]+)}", route.path)
    ]
    if route.query is not None:
        found += _query_parameters(schemas.queries[route.query])
    for name, text in route.headers.items():
        if name not in _PARAMETERS:
            found.append(_header_parameter(name, text, {"type": "string"}))
    return [*found, *({"$ref": f"{REF}parameters/{name}"} for name in _PARAMETERS)]


def _query_parameters(schema: dict[str, Any]) -> list[dict[str, Any]]:
    required = schema.get("required", [])
    found = []
    for name, field in schema["properties"].items():
        inner = _without_null(field)
        parameter = {"name": name, "in": "query", "required": name in required, "schema": inner}
        if text := inner.pop("description", ""):
            parameter["description"] = text
        found.append(parameter)
    return found


def _without_null(field: dict[str, Any]) -> dict[str, Any]:
    """A query cannot say null: what may be null may be left out."""
    inner = dict(field)
    options = [option for option in inner.pop("anyOf", []) if option != {"type": "null"}]
    if inner.get("default", 0) is None:
        del inner["default"]
    if len(options) == 1:
        inner |= options[0]
    elif options:
        inner["anyOf"] = options
    return inner


def _header_parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": schema,
    }


def _responses(route: Route, schemas: _Schemas) -> dict[str, Any]:
    headers = _header_references(_HEADERS)
    sent = headers | _header_references(route.sends)
    found: dict[str, Any] = {
        str(route.status): {"description": route.summary or "Success", "headers": sent}
    }
    if content := _content(route, schemas):
        found[str(route.status)]["content"] = content
    by_status: dict[str, list[str]] = {}
    for code in _codes(route):
        if REGISTRY[code].status:
            by_status.setdefault(str(REGISTRY[code].status), []).append(code)
    for status, codes in sorted(by_status.items()):
        media: dict[str, Any] = {"schema": schemas.of(route.failure or Error)}
        if route.failure is None:
            media["examples"] = {code: {"$ref": f"{REF}examples/{code}"} for code in codes}
        described = "; ".join(f"`{code}`: {REGISTRY[code].meaning or code}" for code in codes)
        more = _header_references(_RETRY if status in _RETRIED else ())
        found[status] = {
            "description": described,
            "headers": headers | more,
            "content": {JSON: media},
        }
    return found


def _header_references(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"{REF}headers/{name}"} for name in names}


def _content(route: Route, schemas: _Schemas) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if route.response is not None:
        example = route.examples.get("response")
        if route.produces == JSON:
            given = route.examples.get("request")
            found[JSON] = schemas.media(route.response, example, given)
        else:
            found[route.produces] = _media({"type": "string"}, example)
    found |= {media: _media({"type": "string"}, None) for media in route.also}
    if route.stream is not None:
        schema = _event(schemas.of(route.stream))
        found[SSE] = _media(schema, route.examples.get("stream"))
    return found


def _event(data: dict[str, Any]) -> dict[str, Any]:
    """The schema of one event of a stream, as OpenAPI 3.2 has it for ``itemSchema``."""
    name = data.get("$ref", "").rpartition("/")[2]
    described = {"description": f"JSON: a {name}."} if name else {}
    text = {"type": "string", "contentMediaType": JSON, "contentSchema": data}
    return {
        "type": "object",
        "required": ["data"],
        "properties": {
            "event": {"type": "string"},
            "id": {"type": "string"},
            "data": text | described,
        },
    }


def _media(schema: dict[str, Any], example: Any) -> dict[str, Any]:
    return {"schema": schema} if example is None else {"schema": schema, "example": example}


def _codes(route: Route) -> list[str]:
    """The codes a route can answer with: its own, and those that follow from its declaration."""
    found = ["INVALID_REQUEST", *route.errors, "INTERNAL"]
    if route.permission is not None:
        found += ["UNAUTHENTICATED", "PERMISSION_DENIED"]
    if route.request is not None:
        found += ["REQUEST_TIMEOUT", "PAYLOAD_TOO_LARGE", "UNSUPPORTED_MEDIA_TYPE"]
    return list(dict.fromkeys(found))


def _error_example(symbol: str) -> dict[str, Any]:
    code = REGISTRY[symbol]
    error = {
        "code": symbol,
        "number": code.number,
        "message": (code.meaning or symbol).partition(";")[0] + ".",
        "request_id": "req_4f1c2a9b7d3e5f60a1b2c3d4",
        "timestamp": "2026-01-15T10:30:00.123Z",
        "documentation": DOCS + symbol,
        "retryable": code.retryable,
    }
    shown = {name: value for name, value in error.items() if value is not None}
    return {"summary": code.meaning or symbol, "value": {"error": shown}}


def _all_optional(type_: Any) -> bool:
    """Whether ``{}`` is a body of this type, so that none at all will do."""
    try:
        msgspec.convert({}, type_)
    except msgspec.ValidationError:
        return False
    return True


def _template(path: str) -> str:
    return re.sub(r"{([^}*]+)\*?}", lambda match: "{" + shape.camel(match.group(1)) + "}", path)


def _operation_id(route: Route) -> str:
    """A name made of method and path: ``GET /v1/notes/{note_id}`` -> ``getNotesByNoteId``."""
    path = route.path.removeprefix("/v1").replace("{", "by_").strip("/")
    words = re.split(r"[^A-Za-z0-9]+", path)
    return route.method.lower() + "".join(word[:1].upper() + word[1:] for word in words)
