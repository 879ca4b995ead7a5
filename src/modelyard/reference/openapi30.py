"""OpenAPI 3.0 from 3.1: the same document for tools that know no JSON Schema 2020-12."""

from typing import Any

_DROPPED = (
    "$defs",
    "contentMediaType",
    "contentSchema",
    "dependentRequired",
    "patternProperties",
    "propertyNames",
    "unevaluatedProperties",
)
_DATA = ("example", "value", "default", "enum")  # hold users' values, not schemas
_NULL = {"type": "null"}


def downgrade(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of a 3.1 document as 3.0.3."""
    found: dict[str, Any] = _walk(document)
    schemas = document["components"]["schemas"]
    found["components"]["schemas"] = {name: schema30(schema) for name, schema in schemas.items()}
    return found | {"openapi": "3.0.3"}


def _walk(node: Any) -> Any:
    if isinstance(node, list):
        return [_walk(item) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        name: schema30(value) if name == "schema" else value if name in _DATA else _walk(value)
        for name, value in node.items()
    }


def schema30(schema: Any) -> dict[str, Any]:
    """One schema: null becomes ``nullable``, const an enum of one, and so on."""
    if isinstance(schema, bool):
        return {} if schema else {"not": {}}
    found = {name: value for name, value in schema.items() if name not in _DROPPED}
    if found.get("required") == []:  # allowed since 3.1 only
        del found["required"]
    _types(found)
    _options(found)
    _values(found)
    _numbers(found)
    _arrays(found)
    for name in ("allOf", "anyOf", "oneOf"):
        if name in found:
            found[name] = [schema30(option) for option in found[name]]
    for name in ("items", "not", "additionalProperties"):
        if isinstance(found.get(name), dict):
            found[name] = schema30(found[name])
    if "properties" in found:
        found["properties"] = {n: schema30(value) for n, value in found["properties"].items()}
    if "$ref" in found and len(found) > 1:  # 3.0 ignores what stands beside a reference
        found["allOf"] = [{"$ref": found.pop("$ref")}]
    return found


def _types(found: dict[str, Any]) -> None:
    kinds = found.get("type")
    if kinds == "null":
        found |= {"type": "string", "nullable": True, "enum": [None]}
    if isinstance(kinds, list):
        del found["type"]
        found["anyOf"] = [{"type": kind} for kind in kinds]


def _options(found: dict[str, Any]) -> None:
    for name in ("anyOf", "oneOf"):
        options = found.get(name, [])
        if _NULL not in options:
            continue
        rest = [option for option in options if option != _NULL]
        found["nullable"] = True
        if len(rest) > 1:
            found[name] = rest
            continue
        del found[name]
        if "$ref" in rest[0]:
            found["allOf"] = rest
        else:
            found |= schema30(rest[0]) | found


def _values(found: dict[str, Any]) -> None:
    if "const" in found:
        found["enum"] = [found.pop("const")]
    if examples := found.pop("examples", None):
        found["example"] = examples[0]
    if found.pop("contentEncoding", None) == "base64":
        found["format"] = "byte"


def _numbers(found: dict[str, Any]) -> None:
    for bound in ("Minimum", "Maximum"):
        limit = found.get("exclusive" + bound)
        if limit is not None and not isinstance(limit, bool):
            found |= {bound.lower(): limit, "exclusive" + bound: True}


def _arrays(found: dict[str, Any]) -> None:
    places = found.pop("prefixItems", None)
    if places is not None:
        found["items"] = {"anyOf": places} if places else {}
    elif found.get("type") == "array" and not isinstance(found.get("items"), dict):
        found["items"] = {}
