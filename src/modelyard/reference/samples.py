"""An example of what a schema describes, for routes that declare none of their own."""

import re
from typing import Any

TIME = "2026-01-15T10:30:00.123Z"
_FORMATS = {"date-time": TIME, "date": "2026-01-15", "uri": "https://example.com"}
# By the field's name: what people would expect to see there.
_NAMES: dict[str, Any] = {
    "id": "a1b2c3d4e5f60718",
    "workspace": "default",
    "created_by": "admin",
    "updated_by": "admin",
    "etag": "a1b2c3d4-1",
    "labels": {"team": "vision"},
    "model": "gpt-4o-mini",
    "name": "example",
}
_TEXTS = (
    "example",
    "a1b2",
    "key:read",
    "2026-01-15",
    "1",
    "ada@example.com",
    "key.create",
    "text/csv",
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",  # SHA-256 of nothing
)
_KINDS: dict[Any, type | tuple[type, ...]] = {
    "array": list,
    "object": dict,
    "string": str,
    "integer": int,
    "number": (int, float),
}
DEEPEST = 8  # levels; what lies below is left empty


def sample(schema: dict[str, Any], schemas: dict[str, Any], given: Any = None) -> Any:
    """A value of ``schema``; the fields of ``given`` are taken where the schema has them.

    ``schemas`` are the named ones that references lead to (``#/components/schemas/…``).
    """
    return _value(schema, schemas, given if isinstance(given, dict) else {}, "", 0)


def _value(
    schema: dict[str, Any], schemas: dict[str, Any], given: dict[str, Any], name: str, depth: int
) -> Any:
    schema = _resolved(schema, schemas)
    if name in given and depth <= 2 and _fits(schema, schemas, given[name]):
        return given[name]
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if schema.get("default") not in (None, [], {}, ""):
        return schema["default"]
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        return _object(schema, schemas, given, name, depth)
    if kind == "array":
        return _array(schema, schemas, given, depth)
    if kind == "string":
        return _text(schema, name)
    if kind in ("integer", "number"):
        return schema.get("minimum", 1)
    return True if kind == "boolean" else None if kind == "null" else {}


def _fits(schema: dict[str, Any], schemas: dict[str, Any], value: Any) -> bool:
    """Whether what was sent under a name may be what is answered under it."""
    schema = _resolved(schema, schemas)
    if not isinstance(value, _KINDS.get(schema.get("type"), object)):
        return False
    if isinstance(value, dict):
        return set(schema.get("required", ())) <= set(value)
    items = schema.get("items")
    if isinstance(value, list) and isinstance(items, dict):
        return all(_fits(items, schemas, one) for one in value)
    return True


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """The schema itself: behind its reference, and of several the first that says something."""
    while True:
        if "$ref" in schema:
            schema = schemas[schema["$ref"].rpartition("/")[2]]
        elif options := schema.get("anyOf") or schema.get("oneOf"):
            said = [option for option in options if option.get("type") != "null"]
            schema = {**(said or options)[0], "default": schema.get("default")}
        else:
            return schema


def _object(
    schema: dict[str, Any], schemas: dict[str, Any], given: dict[str, Any], name: str, depth: int
) -> Any:
    fields = schema.get("properties", {})
    if depth >= DEEPEST:
        fields = {key: fields[key] for key in schema.get("required", ())}
    if not fields and isinstance(_NAMES.get(name), dict):
        return _NAMES[name]
    return {
        key: _value(inner, schemas, given, key, depth + 1)
        for key, inner in fields.items()
        if depth < DEEPEST + 3
    }


def _array(
    schema: dict[str, Any], schemas: dict[str, Any], given: dict[str, Any], depth: int
) -> list[Any]:
    if "prefixItems" in schema:
        return [_value(one, schemas, given, "", depth + 1) for one in schema["prefixItems"]]
    items = schema.get("items")
    if not isinstance(items, dict) or depth >= DEEPEST:
        return []
    count = max(1, schema.get("minItems", 1))
    return [_value(items, schemas, given, "", depth + 1) for _ in range(count)]


def _text(schema: dict[str, Any], name: str) -> str:
    if schema.get("format") in _FORMATS:
        return _FORMATS[schema["format"]]
    liked = _NAMES.get(name)
    texts = [liked, *_TEXTS] if isinstance(liked, str) else list(_TEXTS)
    if pattern := schema.get("pattern"):
        texts = [text for text in texts if re.search(pattern, text)] or texts
    text = next((text for text in texts if len(text) <= schema.get("maxLength", 100)), "")
    return text.ljust(schema.get("minLength", 0), "e")
